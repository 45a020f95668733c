"""Texts that are written together are the texts that would be written alone."""

import copy
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn.functional import scaled_dot_product_attention
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from twin_assets.core.records import Message
from twin_assets.inference.generation.batch_cache import BatchCache, cache_token_budget, token_bytes
from twin_assets.inference.generation.engine import Engine, EngineBusy, StepFailed
from twin_assets.inference.generation.grouped_attention import _attend, use_grouped_attention
from twin_assets.inference.generation.local import LocalGenerator
from twin_assets.inference.generation.paged.decoder import PagedDecoder
from twin_assets.inference.generation.sampling import (
    REPETITION_PENALTY,
    TOP_K,
    TOP_P,
    Sampling,
    new_random,
    next_tokens,
)
from twin_assets.inference.generation.text_stream import TextStream

TEXT = "The ferry leaves at six. “Lantern” cost 41,000 € — and naïve déjà vu 🚢 sails on 🌊.\n\nWe rehearse restores."
END = "<|end|>"


def make_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        [TEXT],
        trainers.BpeTrainer(
            vocab_size=320, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
        ),
    )
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END)
    wrapped.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"
    return wrapped


TOKENIZER = make_tokenizer()


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return TOKENIZER


@pytest.fixture(scope="module")
def model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    torch.manual_seed(5)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=48, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, eos_token_id=tokenizer.eos_token_id, initializer_range=0.3,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def decoder(model: LlamaForCausalLM) -> PagedDecoder:
    return PagedDecoder(model)


@pytest.fixture(params=["torch", "openvino"])
def engine(
    request: pytest.FixtureRequest,
    torch_engine: Engine,
    decoder: PagedDecoder,
    tokenizer: PreTrainedTokenizerFast,
) -> Engine:
    if request.param == "torch":
        return torch_engine
    return Engine(decoder, tokenizer, frozenset([tokenizer.eos_token_id]), max_rows=3)


@pytest.fixture
def torch_engine(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> Engine:
    served = copy.deepcopy(model)  # `model` stays as transformers has it, to compare with
    use_grouped_attention(served)
    assert (served.config._attn_implementation, model.config._attn_implementation) == ("grouped", "sdpa")
    return Engine(served, tokenizer, frozenset([tokenizer.eos_token_id]), max_rows=3)


def alone(model: LlamaForCausalLM, tokenizer: Any, prompt: list[int], tokens: int) -> str:
    """What transformers itself writes for one prompt, greedily."""
    with torch.inference_mode():
        whole = model.generate(
            torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), do_sample=False,
            max_new_tokens=tokens, repetition_penalty=REPETITION_PENALTY, pad_token_id=tokenizer.eos_token_id,
        )  # fmt: skip
    text = str(tokenizer.decode(whole[0, len(prompt) :], skip_special_tokens=True))
    return text.rstrip("\ufffd").strip()  # half a character at the end is not text


def test_requests_that_come_and_go_each_get_what_transformers_writes_for_them_alone(
    engine: Engine, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    prompts = [tokenizer(TEXT[at : at + length])["input_ids"] for at, length in
               ((0, 5), (3, 60), (10, 20), (0, 90), (40, 1), (7, 33), (2, 11))]  # fmt: skip
    lengths = [30, 7, 45, 12, 60, 3, 25]
    expected = [alone(model, tokenizer, p, n) for p, n in zip(prompts, lengths, strict=True)]
    tickets = [engine.submit(p, Sampling(n, temperature=0)) for p, n in zip(prompts, lengths, strict=True)]
    assert [t.result() for t in tickets] == expected
    for ticket, most in zip(tickets, lengths, strict=True):
        assert ticket.tokens_out <= most
        assert ticket.finish_reason == ("length" if ticket.tokens_out == most else "stop")
        assert 0 < ticket.first_token_seconds <= ticket.seconds
    assert len(set(expected)) == len(expected)
    again = engine.submit(prompts[0], Sampling(30, temperature=0))  # its thread had ended in between
    assert again.result() == expected[0]


def test_a_seed_gives_the_same_text_whoever_else_is_writing(
    engine: Engine, tokenizer: PreTrainedTokenizerFast
) -> None:
    prompt = tokenizer("The ferry")["input_ids"]
    first = engine.submit(prompt, Sampling(40, seed=9)).result()
    others = [engine.submit(tokenizer(TEXT[:n])["input_ids"], Sampling(40)) for n in (4, 30)]
    assert engine.submit(prompt, Sampling(40, seed=9)).result() == first
    assert engine.submit(prompt, Sampling(40, seed=10)).result() != first
    assert all(o.result() for o in others)


def test_a_reader_who_leaves_frees_the_row_and_a_full_queue_is_said(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    engine = Engine(model, tokenizer, frozenset(), max_rows=3)  # no token ends a text
    prompt = tokenizer("The")["input_ids"]
    endless = [engine.submit(prompt, Sampling(200, seed=n)) for n in range(3)]
    waiting = engine.submit(prompt, Sampling(2, seed=1))
    with pytest.raises(EngineBusy, match="1 requests wait"):
        engine.submit(prompt, Sampling(2), max_waiting=1)
    for ticket in endless:
        for _ in ticket:
            break
    waiting.result()
    assert waiting.finish_reason == "length"
    assert all(t.tokens_out < 200 for t in endless)


def test_an_answer_is_never_empty_though_a_model_would_end_at_once(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    word, space = (tokenizer(text)["input_ids"][-1] for text in ("A", " "))
    ends = frozenset(range(model.config.vocab_size)) - {word, space}
    engine = Engine(model, tokenizer, ends)
    prompt = tokenizer("The ferry leaves")["input_ids"]
    asked = [engine.submit(prompt, Sampling(60, 1.0, seed)) for seed in range(8)]
    assert {handle.result() for handle in asked} == {"A"}
    assert {handle.finish_reason for handle in asked} == {"stop"}


def test_a_batch_that_fails_says_so_to_its_readers_and_the_next_one_is_written(
    engine: Engine, tokenizer: PreTrainedTokenizerFast
) -> None:
    bad = engine.submit([10**6], Sampling(5))  # a token that the model does not have
    with pytest.raises(StepFailed) as failed:
        bad.result()
    assert isinstance(failed.value.__cause__, IndexError)
    assert [failed.value.first() for _ in range(2)] == [True, False]
    assert engine.submit(tokenizer("The")["input_ids"], Sampling(5, temperature=0)).tokens_out >= 0


@pytest.mark.parametrize(("room", "at_once"), [(None, 3), (60, 2), (20, 1)])
def test_a_batch_takes_no_more_texts_than_its_cache_has_room_for(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, room: int | None, at_once: int
) -> None:
    engine = Engine(model, tokenizer, frozenset(), max_rows=3, token_budget=room)
    prompt = tokenizer("The ferry leaves")["input_ids"]
    most = 30 - len(prompt)  # so that two fit into 60, and one alone is begun also where it does not fit
    tickets = [engine.submit(prompt, Sampling(most, temperature=0)) for _ in range(5)]
    texts = {ticket.result() for ticket in tickets}
    assert len(texts) == 1
    assert engine.done["tokens"] == 5 * most
    assert engine.done["reads"] >= 5 / at_once
    assert engine.done["steps"] + engine.done["reads"] >= 5 * most / at_once


def test_a_token_takes_what_the_cache_really_grows_by(model: LlamaForCausalLM) -> None:
    cache = BatchCache(model)
    with torch.inference_mode():
        cache.admit([[1, 2, 3], [4, 5]])
        cache.step([6, 7])
    held = sum(t.nbytes for layer in cache._cache.layers for t in (layer.keys, layer.values))
    assert token_bytes(model) == held / (2 * 4)  # two rows of four columns
    assert cache_token_budget(model) is None  # a CPU


def test_each_row_of_a_step_looks_where_pytorch_lets_it_look() -> None:
    torch.manual_seed(2)
    rows, heads, shared, columns, size = 3, 6, 2, 9, 8
    query = torch.randn(rows, heads, 1, size, dtype=torch.double)
    key, value = torch.randn(2, rows, shared, columns, size, dtype=torch.double)
    mask = (torch.arange(columns) >= torch.tensor([[0], [3], [8]])).view(rows, 1, 1, columns)
    for allowed in (mask, None):
        ours, _ = _attend(torch.nn.Module(), query, key, value, allowed)
        theirs = scaled_dot_product_attention(query, key, value, allowed, enable_gqa=True).transpose(1, 2)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def test_many_threads_at_once(engine: Engine, tokenizer: PreTrainedTokenizerFast) -> None:
    prompt, texts = tokenizer("We")["input_ids"], {}

    def ask(number: int) -> None:
        texts[number] = engine.submit(prompt, Sampling(8, seed=number % 4)).result()

    threads = [threading.Thread(target=ask, args=[n]) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(texts) == 20
    assert all(texts[n] == texts[n % 4] for n in range(20))


@given(st.integers(0, 2**31), st.floats(0.2, 1.5))
@settings(deadline=None, max_examples=30)
def test_only_tokens_of_the_nucleus_are_drawn(seed: int, temperature: float) -> None:
    logits = torch.randn(2, 2000, generator=torch.Generator().manual_seed(seed)) * 2
    seen = torch.zeros(2, 2000, dtype=torch.bool)
    drawn = next_tokens(logits, seen, [temperature, 0], [new_random(seed), new_random(seed)])
    assert drawn[1] == int(logits[1].argmax())
    likely = (logits[0] / temperature).topk(TOP_K)
    rank = likely.indices.tolist().index(drawn[0])
    assert rank == 0 or float(likely.values.softmax(dim=-1)[:rank].sum()) < TOP_P + 1e-4


def test_how_often_a_token_is_drawn_is_its_share() -> None:
    logits = torch.log(torch.tensor([[0.6, 0.3, 0.1]]))
    random, none = new_random(1), torch.zeros(1, 3, dtype=torch.bool)
    drawn = [next_tokens(logits, none, [1.0], [random])[0] for _ in range(3000)]
    assert [drawn.count(n) / 3000 for n in range(3)] == pytest.approx([0.6, 0.3, 0.1], abs=0.03)
    repeated = torch.tensor([[True, False, False]])
    assert next_tokens(torch.tensor([[1.0, 0.95, 0.0]]), repeated, [0], [random]) == [1]


@given(st.text(max_size=60))
@settings(deadline=None, max_examples=60)
def test_a_stream_gives_whole_characters_and_in_all_the_stripped_text(text: str) -> None:
    stream = TextStream(TOKENIZER)
    tokens = TOKENIZER(text)["input_ids"]
    pieces = [stream.add(token) for token in tokens]
    pieces.append(stream.rest())
    assert "".join(pieces) == text.replace(END, "").strip()
    assert not any("\ufffd" in piece for piece in pieces) or "\ufffd" in text


@pytest.mark.parametrize(
    ("text", "stop", "shown"),
    [
        (TEXT, ("\n\nWe", "###"), TEXT.split("\n\n")[0]),
        (
            "It leaves at six #x# and on",
            ("#x#",),
            "It leaves at six",
        ),  # the space before it is not shown either
    ],
)
def test_nothing_of_a_stop_string_is_shown(text: str, stop: tuple[str, ...], shown: str) -> None:
    stream = TextStream(TOKENIZER, stop)
    said = ""
    for token in TOKENIZER(text)["input_ids"]:
        said += stream.add(token)
        if stream.stopped:
            break
    assert (stream.stopped, said + stream.rest()) == (True, shown)


def test_a_model_folder_is_asked_by_conversation(
    tmp_path: Path, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    generator = LocalGenerator(tmp_path, "tiny")
    asked = [[Message(role="user", content=c)] for c in ("The ferry", "We rehearse")]
    both = generator.generate(asked, Sampling(12, 0.7, 3))
    assert [g.text for g in both] == [
        "".join(generator.stream(c, Sampling(12, 0.7, 3 + n))) for n, c in enumerate(asked)
    ]
    assert all(g.tokens_in > 5 and 0 < g.tokens_out <= 12 for g in both)
