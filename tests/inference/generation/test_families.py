"""Every family's own class in the engine: texts written together are those that transformers writes for each alone."""

from typing import Any

import pytest
import torch

from tests.families import FAMILIES, WITH_TOWERS, tiny
from tests.inference.generation.test_engine import TEXT, TOKENIZER, alone
from twin_assets.inference.generation.engine import Engine
from twin_assets.inference.generation.grouped_attention import use_grouped_attention
from twin_assets.inference.generation.sampling import Sampling


def text_model(family: str) -> Any:
    """The language model in it, with its own output layer."""
    from transformers import AutoModelForCausalLM

    whole = tiny(family, len(TOKENIZER), eos_token_id=TOKENIZER.eos_token_id)
    if family not in WITH_TOWERS:
        return whole.eval()
    if family == "llama4":
        return whole.language_model.eval()
    model = AutoModelForCausalLM.from_config(whole.config.get_text_config())
    model.model.load_state_dict(whole.model.language_model.state_dict())
    model.lm_head.load_state_dict(whole.lm_head.state_dict())
    return model.eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_that_come_and_go_are_those_that_are_written_alone(family: str) -> None:
    model = text_model(family)
    prompts = [TOKENIZER(TEXT[at : at + length])["input_ids"] for at, length in
               ((0, 5), (3, 60), (10, 20), (0, 90), (40, 2))]  # fmt: skip
    lengths = [30, 7, 25, 12, 40]
    expected = [alone(model, TOKENIZER, p, n) for p, n in zip(prompts, lengths, strict=True)]
    use_grouped_attention(model)
    engine = Engine(model, TOKENIZER, frozenset([TOKENIZER.eos_token_id]), max_rows=3)
    tickets = [engine.submit(p, Sampling(n, temperature=0)) for p, n in zip(prompts, lengths, strict=True)]
    assert [t.result() for t in tickets] == expected
    assert len(set(expected)) == len(expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_prompt_that_begins_as_the_one_before_gets_the_same_text(family: str) -> None:
    model = text_model(family)
    shared = TOKENIZER(TEXT * 2)["input_ids"]
    assert len(shared) > 48
    prompts = [shared + TOKENIZER(end)["input_ids"] for end in ("We sail", " at six, and the ferry", "!")]
    expected = [alone(model, TOKENIZER, p, 20) for p in prompts]
    engine = Engine(model, TOKENIZER, frozenset([TOKENIZER.eos_token_id]))
    first = engine.submit(prompts[0], Sampling(20, temperature=0)).result()
    rest = [engine.submit(p, Sampling(20, temperature=0)) for p in prompts[1:]]
    with torch.inference_mode():
        assert [first, *(t.result() for t in rest)] == expected
