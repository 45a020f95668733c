"""What OpenVINO computes with a model's weights, and adapters on them, is what torch computes."""

import gc
import logging
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from tests.core.models.tiny_llama import tiny_adapter, tiny_llama
from twin_assets.core.errors import TwinError
from twin_assets.core.models.cpu import CpuOptions
from twin_assets.core.models.registry import Registry
from twin_assets.core.models.whole import merge
from twin_assets.inference.generation.local import WholeModel
from twin_assets.inference.generation.paged.decoder import PagedDecoder, why_no_room
from twin_assets.inference.generation.paged.graph import BLOCK, why_not
from twin_assets.settings import Settings

TINY: dict[str, Any] = {
    "vocab_size": 96, "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256, "initializer_range": 0.3,
}  # fmt: skip
LLAMA3 = {"rope_type": "llama3", "rope_theta": 10_000.0, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}  # fmt: skip
YARN = {"rope_type": "yarn", "rope_theta": 10_000.0, "factor": 4.0, "original_max_position_embeddings": 64}
MODELS = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**TINY)),
    "tied": lambda: LlamaForCausalLM(LlamaConfig(**TINY, tie_word_embeddings=True)),
    "biases": lambda: LlamaForCausalLM(LlamaConfig(**TINY, attention_bias=True, mlp_bias=True)),
    "llama3": lambda: LlamaForCausalLM(LlamaConfig(**TINY, rope_parameters=LLAMA3)),
    "yarn": lambda: Qwen2ForCausalLM(Qwen2Config(**TINY, rope_parameters=YARN)),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**TINY, sliding_window=None)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**TINY)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**TINY, head_dim=16)),
}


def made(kind: str) -> Any:
    torch.manual_seed(4)
    model = MODELS[kind]()
    with torch.no_grad():  # biases and norms begin as zeros and ones, which hide what is left out
        for weight in model.parameters():
            if weight.dim() == 1:
                weight.add_(torch.randn_like(weight) * 0.3)
    return model.eval()


def by_torch(model: Any, text: list[int], last: int) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.tensor([text])).logits[0, -last:].float()


@pytest.mark.parametrize("kind", MODELS)
def test_rows_that_come_and_go_have_the_logits_of_torch(kind: str) -> None:
    model = made(kind)
    cache = PagedDecoder(model).new_cache()
    texts = torch.randint(0, 96, (4, 3 * BLOCK), generator=torch.Generator().manual_seed(1)).tolist()
    lengths = [BLOCK, 5, 2 * BLOCK - 1, 1]
    last: dict[int, torch.Tensor] = {}

    def check(rows: list[int], logits: torch.Tensor) -> None:
        for row, own in zip(rows, logits, strict=True):
            expected = by_torch(model, texts[row][: lengths[row]], 1)[0]
            torch.testing.assert_close(own, expected, rtol=0, atol=2e-3)
            last[row] = own

    def step(rows: list[int]) -> None:
        tokens = [texts[row][lengths[row]] for row in rows]
        for row in rows:
            lengths[row] += 1
        check(rows, cache.step(tokens))

    read = cache.read([texts[row][: lengths[row]] for row in (0, 1)])
    cache.join(read)
    check([0, 1], read.logits)
    for _ in range(3):
        step([0, 1])
    read = cache.read([texts[row][: lengths[row]] for row in (2, 3)])
    cache.join(read)
    check([2, 3], read.logits)
    step([0, 1, 2, 3])
    cache.keep([1, 3])  # what the others had is used again
    for _ in range(BLOCK + 2):
        step([1, 3])
    held = cache._store.blocks
    cache.keep([])
    assert (cache.rows, len(cache._store._free)) == (0, held), "nothing is lost"


def test_in_bfloat16_it_is_as_near_to_the_exact_model_as_torch_is() -> None:
    exact = made("qwen3")
    narrow = made("qwen3").bfloat16()
    cache = PagedDecoder(narrow).new_cache()
    texts = torch.randint(0, 96, (6, 40), generator=torch.Generator().manual_seed(2)).tolist()
    logits = cache.read(texts).logits

    def error(values: torch.Tensor, expected: torch.Tensor) -> float:
        return float((values - expected).norm() / expected.norm())

    expected = torch.cat([by_torch(exact, text, 1) for text in texts])
    ours, theirs = (
        error(logits, expected),
        error(torch.cat([by_torch(narrow, t, 1) for t in texts]), expected),
    )
    assert 0 < ours < 2 * theirs < 0.1


def test_a_read_that_fails_leaves_the_rows_and_loses_no_block() -> None:
    model = made("llama")
    cache = PagedDecoder(model).new_cache()
    cache.join(cache.read([[3, 4, 5]]))
    with pytest.raises(IndexError):
        cache.read([[7] * 200, [96]])
    free = len(cache._store._free)
    cache.keep([])
    assert len(cache._store._free) == free + 1 == cache._store.blocks


def test_a_prefix_is_read_once_and_is_each_rows_own() -> None:
    model = made("llama")
    cache = PagedDecoder(model).new_cache()
    start = [n % 96 for n in range(BLOCK + 9)]
    short = cache.read_prefix(start[:20])
    prefix = cache.read_prefix(start, short)
    ends = [[5, 6], [7], [9] * BLOCK]
    cache.join(read := cache.read([start + end for end in ends], prefix))
    stepped = cache.step([1, 2, 3])
    for row, end in enumerate(ends):
        both = torch.stack([read.logits[row], stepped[row]])
        torch.testing.assert_close(both, by_torch(model, [*start, *end, row + 1], 2), rtol=0, atol=2e-3)


def test_rows_of_several_adapters_and_of_none_are_one_pass_and_each_is_its_own(tmp_path: Path) -> None:
    base = tiny_llama(tmp_path / "base")
    kinds: dict[str, dict[str, Any]] = {
        "one": {},
        "two": {"use_rslora": True},
        "some": {"target_modules": ["q_proj", "down_proj"]},
    }
    for number, (name, more) in enumerate(kinds.items()):
        tiny_adapter(base, tmp_path / name, number + 3, 2 + number, **more)
        (tmp_path / f"{name}-merged").mkdir()
        merge(base, tmp_path / name, tmp_path / f"{name}-merged")
    whole = {
        n: AutoModelForCausalLM.from_pretrained(tmp_path / (f"{n}-merged" if n else "base"))
        for n in [None, *kinds]
    }
    decoder = PagedDecoder(whole[None])
    adapters = {None: None} | {name: decoder.adapted.load(tmp_path / name) for name in kinds}
    text = [3, 20, 7, 5, 41]

    def check(rows: list[str | None], beside: list[str | None]) -> None:
        cache = decoder.new_cache()
        with decoder.adapted.written_by([adapters[r] for r in rows], [adapters[b] for b in beside]):
            cache.join(read := cache.read([text[: 4 - n % 2] for n in range(len(rows))]))
            stepped = cache.step([text[4 - n % 2] for n in range(len(rows))])
        for number, row in enumerate(rows):
            own = torch.stack([read.logits[number], stepped[number]])
            expected = by_torch(whole[row], text[: 5 - number % 2], 2)
            torch.testing.assert_close(own, expected, rtol=0, atol=1e-3)

    for rows, beside in ([["one"], []], [[None, "one"], []], [["two", None, "one", "one", "some"], []], [["some"], ["two"]],
                         [[None], ["one"]], [["one", "two"], []], [["some", "some"], []]):  # fmt: skip
        check(rows, beside)
    assert not torch.allclose(by_torch(whole[None], text, 1), by_torch(whole["one"], text, 1), atol=0.05)
    seen = weakref.ref(adapters.pop("some"))  # type: ignore[arg-type]
    gc.collect()
    assert seen() is None, "what it was given in holds no adapter"
    check(["one", None], [])


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (GPT2Config(), "its family is gpt2"),
        (LlamaConfig(hidden_act="gelu"), "its activation is gelu"),
        (LlamaConfig(rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}), "its positions are dynamic"),
        (MistralConfig(sliding_window=64), "it looks back 64 tokens only"),
        (Qwen2Config(use_sliding_window=True, sliding_window=64, max_window_layers=1), "it looks back 64"),
    ],
)  # fmt: skip
def test_a_model_of_another_shape_is_not_taken(config: Any, why: str) -> None:
    class Configured:
        def __init__(self) -> None:
            self.config = config

    assert why_not(Configured()).startswith(why)


def test_what_openvino_can_not_take_torch_writes_and_says_so_unless_it_may_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_embd=16, n_layer=1, n_head=2, n_positions=64))
    with caplog.at_level(logging.WARNING):
        whole = WholeModel(model, 2)
    assert "torch writes with gpt2, since OpenVINO can't: its family is gpt2" in caplog.text
    assert not isinstance(whole.engine._model, PagedDecoder)
    with pytest.raises(
        TwinError, match=r"OpenVINO can't write with gpt2: its family is gpt2[\s\S]*TWIN_CPU_ENGINE=auto"
    ):
        WholeModel(model, 2, CpuOptions("openvino"))


def test_a_model_that_computes_something_else_than_its_family_is_not_taken() -> None:
    model = made("llama")
    model.model.layers[1].mlp.register_forward_hook(lambda layer, given, output: -output)
    with pytest.raises(ValueError, match="its logits differ from torch's by"):
        PagedDecoder(model)


def test_a_graph_that_memory_has_no_room_for_is_not_made() -> None:
    assert why_no_room(8 * 10**9, 8 * 10**9) == ""
    assert "takes 32 GB of memory, of which 20 GB are free" in why_no_room(32 * 10**9, 20 * 10**9)


def test_torch_writes_where_it_is_told_to_and_scores_where_openvino_writes(tmp_path: Path) -> None:
    base = tiny_llama(tmp_path / "base")
    told = WholeModel.load(base, 2, CpuOptions("torch"))
    assert not isinstance(told.engine._model, PagedDecoder)
    whole = WholeModel.load(base, 2, CpuOptions("openvino"))
    assert isinstance(whole.engine._model, PagedDecoder)
    assert whole._model is None, "torch's is not kept beside it"
    assert whole.context == 128
    text = [3, 20, 7, 5]
    torch.testing.assert_close(by_torch(whole.model, text, 4), by_torch(told.model, text, 4))
    assert whole.scoring is whole.scoring


@pytest.mark.parametrize("kind", ["llama", "tied", "biases"])
def test_in_8_bits_it_is_the_model_of_the_rounded_weights_and_keeps_them_in_8_bits(kind: str) -> None:
    rounded = made(kind)
    with torch.no_grad():
        for weight in rounded.parameters():
            if weight.dim() == 2:
                scales = weight.abs().amax(1, keepdim=True) / 127
                weight.copy_((weight / scales).round() * scales)
    decoder = PagedDecoder(made(kind), int8=True)
    text = torch.randint(0, 96, (40,), generator=torch.Generator().manual_seed(2)).tolist()
    own, exact = decoder.new_cache().read([text]).logits[0], by_torch(made(kind), text, 1)[0]
    torch.testing.assert_close(own, by_torch(rounded, text, 1)[0], rtol=0, atol=2e-3)
    assert not torch.allclose(own, exact, rtol=0, atol=2e-2), "the rounding shows"
    products = weights_of_products(decoder)
    assert len(products) == 9, "four in each of two layers, and the output's"
    assert set(products) == {"i8"}
    assert "i8" not in weights_of_products(PagedDecoder(made(kind)))


def test_a_setting_says_what_openvino_has_the_weights_in(tmp_path: Path) -> None:
    base = tiny_llama(tmp_path / "base")
    for setting, kind in (("int8", "i8"), ("model", "f32")):
        settings = Settings(home=tmp_path, cpu_engine="openvino", cpu_weights=setting, cpu_merged_gb=0.5)
        cpu = Registry(settings).cpu
        assert cpu == CpuOptions("openvino", 0.5, int8=setting == "int8")
        decoder = WholeModel.load(base, 2, cpu).engine._model
        assert set(weights_of_products(decoder)) == {kind}


def weights_of_products(decoder: PagedDecoder) -> list[str]:
    """What the compiled graph has the constants of its products in."""
    operations = decoder._request.get_compiled_model().get_runtime_model().get_ordered_ops()
    constants = [
        operation.inputs()[1]
        for operation in operations
        if operation.get_rt_info()["layerType"].astype(str) == "FullyConnected"
    ]
    return [constant.get_element_type().to_string() for constant in constants]


def test_a_model_that_8_bits_move_far_is_not_written_in_them() -> None:
    model = made("llama")
    with torch.no_grad():  # one weight of each row leaves the others no room
        model.model.layers[0].mlp.down_proj.weight[:, 0] = 60
        model.model.layers[0].mlp.gate_proj.weight[0] = model.model.layers[0].mlp.up_proj.weight[0] = 0
    PagedDecoder(model)
    with pytest.raises(ValueError, match="its logits in 8 bits differ from torch's by"):
        PagedDecoder(model, int8=True)
