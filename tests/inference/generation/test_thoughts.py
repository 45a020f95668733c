"""What a reasoning model thinks is no part of its text, whole or in pieces, however its tokens fall."""

from pathlib import Path
from typing import Any

import pytest

from tests.inference.generation.test_engine import TOKENIZER
from tests.training.base_models.family_tokenizers import load, save_tokenizer
from twin_assets.inference.generation.engine import EngineVersion, GenerationHandle
from twin_assets.inference.generation.sampling import Sampling
from twin_assets.inference.generation.text_stream import TextStream

HARMONY = "<|channel|>analysis<|message|>They greet me.<|end|><|start|>assistant"
# (family, what its model writes, the answer in it)
WRITTEN = [
    ("qwen35", "<think>\nSay  hello.\n</think>\n\nHello – 🦊!", "Hello – 🦊!"),
    ("smollm3", "<think>\n\n</think>\nHello.", "Hello."),
    ("smollm3", "Hello.", "Hello."),
    ("ministral", "[THINK]A greeting…[/THINK]Hello.", "Hello."),
    ("gptoss", f"{HARMONY}<|channel|>final<|message|>Hello.<|return|>", "Hello."),
    ("gptoss", f"{HARMONY}<|channel|>commentary to=functions.f <|constrain|>json<|message|>{{}}<|call|>", ""),
    ("gptoss", "Hello.<|end|><|start|>assistant<|channel|>analysis<|message|>Done?", "Hello."),
    ("qwen35", "<think>\nIt never ends", ""),
    ("qwen35", "Yes.<think>Or no?</think> Surely.", "Yes. Surely."),
]


def streamed(stream: TextStream, tokens: list[int]) -> str:
    pieces = [stream.add(token) for token in tokens]
    return "".join(pieces) + stream.rest()


@pytest.mark.parametrize(("family", "written", "answer"), WRITTEN)
def test_thoughts_are_left_out_of_the_stream(family: str, written: str, answer: str, tmp_path: Path) -> None:
    save_tokenizer(family, tmp_path)
    tokenizer = load(tmp_path)
    tokens = tokenizer(written, add_special_tokens=False)["input_ids"]
    assert streamed(TextStream(tokenizer), tokens) == answer


def test_a_thought_that_the_prompt_opened_is_one(tmp_path: Path) -> None:
    save_tokenizer("qwen35", tmp_path)
    tokenizer = load(tmp_path)
    opened, closed = (
        tokenizer(f"<|im_start|>assistant\n{text}", add_special_tokens=False)["input_ids"]
        for text in ("<think>\n", "<think>\n\n</think>\n\n")
    )
    tokens = tokenizer("Say hello.</think>Hello.", add_special_tokens=False)["input_ids"]
    assert streamed(TextStream(tokenizer, prompt=opened), tokens) == "Hello."
    assert streamed(TextStream(tokenizer, prompt=closed), tokens) == "Say hello.Hello."


@pytest.mark.parametrize(
    ("written", "answer"),
    [
        ("<think>Six o'clock.</think>\n\nThe ferry leaves at six.", "The ferry leaves at six."),
        ("<think>Six o'clock", ""),
        ("<thin ice", "<thin ice"),
        ("<th", "<th"),
        ("I write <think> in my notes.", "I write <think> in my notes."),
    ],
)
def test_marks_that_are_several_tokens_are_known_by_their_text(written: str, answer: str) -> None:
    tokens = TOKENIZER(written, add_special_tokens=False)["input_ids"]
    assert len(TOKENIZER("<think>", add_special_tokens=False)["input_ids"]) > 1
    assert streamed(TextStream(TOKENIZER), tokens) == answer
    assert streamed(TextStream(TOKENIZER, ("quay",)), tokens) == answer


def test_a_stop_string_in_a_thought_stops_nothing_and_a_thought_is_no_beginning(tmp_path: Path) -> None:
    save_tokenizer("qwen35", tmp_path)
    tokenizer = load(tmp_path)
    engine: Any = None
    handle = GenerationHandle(
        [], Sampling(100, stop=("STOP",)), EngineVersion(engine, tokenizer, frozenset())
    )
    pieces: list[Any] = []
    handle.hand_to(pieces.append)
    thought, answer = (
        tokenizer(text, add_special_tokens=False)["input_ids"]
        for text in ("<think>STOP here</think>", "Hello. STOP and more")
    )
    assert not any(handle.take(token) for token in thought)
    assert not handle.begun
    assert handle.hides(thought[0])
    assert not handle.hides(answer[0])
    assert any(handle.take(token) for token in answer)
    assert "".join(filter(None, pieces)).strip() == "Hello."
    assert handle.finish_reason == "stop"
