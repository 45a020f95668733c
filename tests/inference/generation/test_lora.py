"""Rows of several adapters and of the bare model are one batch, each as its own merged model would write it."""

import gc
import threading
import weakref
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.core.models.tiny_llama import tiny_adapter, tiny_llama
from tests.support.machine import until
from twin_assets.core.errors import TwinError
from twin_assets.core.models.whole import merge
from twin_assets.core.records import Message
from twin_assets.inference.generation.batch_cache import BatchCache
from twin_assets.inference.generation.engine import EngineBusy, GenerationHandle, StepFailed
from twin_assets.inference.generation.local import HELD, LocalGenerator
from twin_assets.inference.generation.lora import AdaptedModel
from twin_assets.inference.generation.sampling import Sampling

ASKED = [Message(role="user", content="ferry9 ferry4 ferry40")]
GREEDY = Sampling(12, temperature=0)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, adapters of several ranks and layers on it, and what each gives merged."""
    folder = tmp_path_factory.mktemp("fleet")
    base = tiny_llama(folder / "base")
    for name, rank, more in (
        ("one", 4, {}), ("two", 3, {"use_rslora": True}), ("three", 6, {"target_modules": ["q_proj", "down_proj"]}),
        ("some", 2, {"target_modules": ["o_proj", "up_proj"]}),
    ):  # fmt: skip
        tiny_adapter(base, folder / name, rank * 7, rank, **more)
        (folder / f"{name}-merged").mkdir()
        merge(base, folder / name, folder / f"{name}-merged")
    return folder


def alone(folder: Path, prompt: list[int], tokens: list[int]) -> torch.Tensor:
    """Logits of a whole model after the prompt and after each of the tokens, shape (tokens + 1, vocabulary)."""
    cache = BatchCache(AutoModelForCausalLM.from_pretrained(folder))
    with torch.inference_mode():
        return torch.cat([cache.admit([prompt]), *(cache.step([token]) for token in tokens)])


@pytest.mark.parametrize(
    "rows",
    [["one"], ["one", "one"], ["one", None], ["two", "one"], ["one", None, "two", "one", "three", "one", "some", None],
     ["three", "three", "two", "some", "one", "three"]],
)  # fmt: skip
def test_every_row_has_the_logits_of_its_own_merged_model(fleet: Path, rows: list[str | None]) -> None:
    model = AutoModelForCausalLM.from_pretrained(fleet / "base")
    adapted = AdaptedModel(model)
    adapters = {name: adapted.load(fleet / name) for name in dict.fromkeys(rows) if name}
    writers = [adapters[name] if name else None for name in rows]
    prompts = [[3 + n, 20, 7, 5][: 2 + n % 3] for n in range(len(rows))]
    tokens = [[11 + n, 30 - n, 8] for n in range(len(rows))]
    cache = BatchCache(model)
    with torch.inference_mode(), adapted.written_by(writers):
        logits = [cache.admit(prompts)] + [cache.step([own[step] for own in tokens]) for step in range(3)]
    together = torch.stack(logits, dim=1)
    for row, name in enumerate(rows):
        expected = alone(fleet / (f"{name}-merged" if name else "base"), prompts[row], tokens[row])
        assert torch.allclose(together[row], expected, atol=1e-4), (row, name)
    apart = alone(fleet / "base", prompts[0], tokens[0])
    assert not rows[0] or not torch.allclose(together[0], apart, atol=1e-2), "the adapter does something"


def test_a_stack_serves_passes_of_some_of_its_adapters_grows_and_gives_room_back(fleet: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(fleet / "base")
    adapted = AdaptedModel(model)
    names = ["one", "two", "three", "some"]
    adapters = {name: adapted.load(fleet / name) for name in names}
    prompt = [3, 20, 7, 5]
    expected = {name: alone(fleet / f"{name}-merged", prompt, [])[0] for name in names}

    def write(rows: list[str], beside: list[str]) -> None:
        with (
            torch.inference_mode(),
            adapted.written_by([adapters[r] for r in rows], [adapters[b] for b in beside]),
        ):
            logits = BatchCache(model).admit([prompt] * len(rows))
        for row, name in enumerate(rows):
            assert torch.allclose(logits[row], expected[name], atol=1e-4), (rows, beside, name)

    for rows, beside in [(["one", "two"], []), (["two", "one", "two"], ["three"]), (["some", "three"], names),
                         (["two"], names), (["three", "two"], names), (["some", "one"], []), (["one", "two"], ["some"])]:  # fmt: skip
        write(rows, beside)
    seen = weakref.ref(adapters.pop("some"))
    assert seen() is None, "a stack holds no adapter"
    write(["three", "two"], ["one"])
    assert not adapted._thread.stack.has_dead


def generators(fleet: Path, *names: str | None) -> list[LocalGenerator]:
    return [
        LocalGenerator(
            fleet / (name or "base"), name or "base", base=fleet / "base" if name else None, max_rows=4
        )
        for name in names
    ]


def test_one_base_writes_for_all_and_each_as_if_it_were_alone(fleet: Path) -> None:
    names = ["one", None, "two", "three"]
    several = generators(fleet, *names)
    handles = [[g.start(ASKED, GREEDY, bounded=False) for _ in range(3)] for g in several]
    texts = [{handle.result() for handle in own} for own in handles]
    engine = several[0]._whole.engine
    assert engine.done["tokens"] == sum(g.engine.done["tokens"] for g in several)
    assert engine.done["steps"] < sum(g.engine.done["steps"] for g in several), "passes are shared"
    for name, own, generator in zip(names, texts, several, strict=True):
        [whole] = LocalGenerator(fleet / (f"{name}-merged" if name else "base"), "whole").generate(
            [ASKED], GREEDY
        )
        assert own == {whole.text}, name
        assert (generator.engine.done["reads"] > 0, generator.engine.done["tokens"]) == (
            True,
            3 * whole.tokens_out + 3 * (whole.finish_reason == "stop"),
        )
    assert len({text for own in texts for text in own}) > 1
    assert len({id(g._whole) for g in several}) == 1


def test_an_adapter_comes_and_goes_while_others_write_and_is_not_held(fleet: Path) -> None:
    stays, goes = generators(fleet, "one", "two")
    texts: list[str] = []
    writing = stays.start(ASKED, Sampling(100, temperature=0), bounded=False)
    reader = threading.Thread(target=lambda: texts.extend(writing))
    reader.start()
    assert goes.generate([ASKED], GREEDY)[0].tokens_out
    seen = weakref.ref(goes.engine.adapter)  # type: ignore[arg-type]
    del goes
    # The step that wrote its last token may be ending still.
    until(lambda: gc.collect() >= 0 and seen() is None, "the end of the adapter")
    late = generators(fleet, "three")[0]
    assert late.generate([ASKED], GREEDY)[0].tokens_out
    reader.join()
    [whole] = LocalGenerator(fleet / "one-merged", "whole").generate([ASKED], Sampling(100, temperature=0))
    assert "".join(texts) == whole.text


def test_a_base_goes_with_the_last_that_stands_on_it(fleet: Path) -> None:
    one, bare = generators(fleet, "one", None)
    one.load()
    bare.load()
    content = str((fleet / "base").resolve())
    del one
    gc.collect()
    assert content in HELD.contents()
    del bare
    gc.collect()
    assert content not in HELD.contents()


def test_the_burst_of_one_version_neither_fills_the_queue_nor_goes_first(fleet: Path) -> None:
    greedy, modest = generators(fleet, "one", "two")
    for generator in (greedy, modest):
        generator.load()
        generator._max_waiting = 8
    handles: list[GenerationHandle] = []
    with pytest.raises(EngineBusy):
        burst(greedy, handles)
    modest.start(ASKED, Sampling(2, temperature=0)).result()
    assert greedy.engine.waiting >= 4, "it waited for a row, not for the whole queue before it"
    with pytest.raises(EngineBusy):
        burst(modest, handles)
    assert modest.engine.waiting + greedy.engine.waiting <= 16, "the queue has an end"
    for handle in handles:
        handle.cancel()


def burst(generator: LocalGenerator, handles: list[GenerationHandle]) -> None:
    for _ in range(200):
        handles.append(generator.start(ASKED, Sampling(60, temperature=0)))


def test_a_prompt_that_one_version_can_not_read_ends_only_its_own(fleet: Path) -> None:
    well, ill = generators(fleet, "one", "two")
    # Both are read in one go: the engine is busy until both wait.
    engine = well._whole.engine
    with engine._lock:
        engine._running = True
    good = well.start(ASKED, GREEDY, bounded=False)
    sick = ill.engine.submit([3, 10_000], GREEDY, None)
    threading.Thread(target=engine._write, daemon=True).start()
    with pytest.raises(StepFailed) as failure:
        sick.result()
    assert failure.value.first()
    [whole] = LocalGenerator(fleet / "one-merged", "whole").generate([ASKED], GREEDY)
    assert good.result() == whole.text
    assert (well.engine.done["failed"], ill.engine.done["failed"]) == (0, 1)


def test_an_adapter_of_another_model_is_refused(fleet: Path, tmp_path: Path) -> None:
    deeper = tiny_llama(tmp_path / "deeper", num_hidden_layers=3)
    adapter = tiny_adapter(deeper, tmp_path / "adapter")
    with pytest.raises(
        TwinError, match=r"is not of this base: .* in model\.layers\.2.*is no linear layer of it"
    ):
        LocalGenerator(adapter, "strange", base=fleet / "base").load()
    dora = tiny_adapter(fleet / "base", tmp_path / "dora", use_dora=True)
    with pytest.raises(TwinError, match="can't be served on its base: it has DoRA"):
        LocalGenerator(dora, "dora", base=fleet / "base").load()
