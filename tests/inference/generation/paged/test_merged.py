"""An adapter that writes alone for long is merged into a copy of its base, which writes the same and goes with it."""

import gc
import logging
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.core.models.tiny_llama import tiny_adapter, tiny_llama
from twin_assets.core.models.cpu import CpuOptions
from twin_assets.core.models.whole import merge
from twin_assets.inference.generation.local import WholeModel
from twin_assets.inference.generation.lora import Adapter
from twin_assets.inference.generation.paged import merged
from twin_assets.inference.generation.paged.decoder import PagedDecoder
from twin_assets.inference.generation.sampling import Sampling

TEXT = [3, 20, 7, 5, 41]


@pytest.fixture(autouse=True)
def few_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merged, "FIRST", 4)
    monkeypatch.setattr(merged, "INSTEAD", 8)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tiny_llama(tmp_path / "base", tie_word_embeddings=True)
    for number, (name, more) in enumerate(
        {"one": {}, "two": {"target_modules": ["q_proj", "down_proj"]}}.items()
    ):
        tiny_adapter(folder, tmp_path / name, number + 3, 2 + number, **more)
        (tmp_path / f"{name}-merged").mkdir()
        merge(folder, tmp_path / name, tmp_path / f"{name}-merged")
    return folder


def loaded(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder).eval()


def decoder_of(base: Path, merged_gb: float = 1.0, again: Callable[[], Any] | None = None) -> PagedDecoder:
    return PagedDecoder(loaded(base), again or (lambda: loaded(base)), merged_gb)


def write(decoder: PagedDecoder, adapters: list[Adapter | None], steps: int) -> torch.Tensor:
    """Logits after TEXT, whose tokens after `steps` come one by one; shape (rows, vocabulary)."""
    cache = decoder.new_cache()
    with decoder.adapted.written_by(adapters):
        cache.join(cache.read([TEXT[: len(TEXT) - steps] for _ in adapters]))
        for token in TEXT[len(TEXT) - steps :]:
            logits = cache.step([token] * len(adapters))
    return logits


def made(decoder: PagedDecoder) -> None:
    assert decoder._merged
    assert decoder._merged._making
    decoder._merged._making.join(30)


def copied(decoder: PagedDecoder) -> list[Adapter]:
    assert decoder._merged
    return [adapter for adapter, copy in decoder._merged._copies.items() if copy is not None]


def test_an_adapter_gets_the_copy_and_every_pass_has_the_logits_of_torch(base: Path) -> None:
    names = ["one", "two"]
    decoder = decoder_of(base)
    one, two = (decoder.adapted.load(base.parent / name) for name in names)
    with torch.inference_mode():
        expected = {
            adapter: loaded(base.parent / folder)(torch.tensor([TEXT])).logits[0, -1]
            for adapter, folder in ((one, "one-merged"), (two, "two-merged"), (None, "base"))
        }

    def check(adapters: list[Adapter | None]) -> None:
        for adapter, own in zip(adapters, write(decoder, adapters, 3), strict=True):
            torch.testing.assert_close(own, expected[adapter], rtol=0, atol=1e-3)

    check([one, two])
    check([None])
    assert copied(decoder) == [], "neither wrote alone"
    check([one])
    made(decoder)
    assert copied(decoder) == [one]
    for adapters in ([one], [one, one], [two, one], [None, one], [None], [two]):
        check(adapters)
    assert copied(decoder) == [one], "another one's few passes take nothing away"
    check([one])
    check([two])
    assert copied(decoder) == [one], "and they begin anew"
    check([two])
    made(decoder)
    assert copied(decoder) == [two]
    check([two])
    check([one])


def test_the_copy_goes_with_its_adapter(base: Path) -> None:
    decoder = decoder_of(base)
    adapter = decoder.adapted.load(base.parent / "one")
    write(decoder, [adapter], 3)
    made(decoder)
    assert decoder._merged
    [copy] = decoder._merged._copies.values()
    seen = weakref.ref(copy)
    assert seen() is not None
    del copy, adapter
    decoder._merged._making = None
    gc.collect()
    assert seen() is None


def test_a_base_over_the_limit_has_no_copy(base: Path) -> None:
    assert decoder_of(base, 1e-6)._merged is None
    assert PagedDecoder(loaded(base), None, 1.0)._merged is None


def test_where_the_copy_can_not_be_made_the_adapter_goes_on_without_and_it_is_said_once(
    base: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def gone() -> Any:
        raise OSError("the base's folder is gone")

    decoder = decoder_of(base, again=gone)
    adapter = decoder.adapted.load(base.parent / "one")
    with caplog.at_level(logging.WARNING):
        before = write(decoder, [adapter], 3)
        made(decoder)
        for _ in range(4):
            torch.testing.assert_close(write(decoder, [adapter], 3), before)
    assert caplog.text.count("is not merged into a copy of its base: the base's folder is gone") == 1


def test_the_engine_goes_over_to_the_copy_between_two_tokens(base: Path) -> None:
    whole = WholeModel.load(base, 4, CpuOptions("openvino", merged_gb=1.0))
    decoder = whole.engine._model
    tokenizer = AutoTokenizer.from_pretrained(base)
    version = whole.version(tokenizer, base.parent / "one")
    torchs = WholeModel.load(base, 4, CpuOptions("torch")).version(tokenizer, base.parent / "one")
    version.ends = torchs.ends = frozenset()

    def tokens(version: Any) -> list[int]:
        handle = version.submit(TEXT, Sampling(24, 0, top_logprobs=0), None)
        handle.result()
        return [entry.token for entry in handle.logprobs]

    assert tokens(version) == tokens(torchs)
    made(decoder)
    assert copied(decoder) == [version.adapter]
    assert tokens(version) == tokens(torchs)
