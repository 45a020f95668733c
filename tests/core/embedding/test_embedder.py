"""Vectors are the model's own, whatever engine computes them and however they are batched."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin_assets.core.embedding.embedder import BATCH_TOKENS, Embedder, _batches, _source
from twin_assets.core.embedding.engines import OpenVINOEngine, TorchEngine, build_without_torch, open_engine
from twin_assets.core.errors import TwinError

TEXTS = ["a", "The tide table was late again.", "", "⛴ été\n\nzwei", "word " * 700, "def tide(): return 3"]


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> tuple[TorchEngine, OpenVINOEngine]:
    cache = tmp_path_factory.mktemp("engines")
    source = _source("offline-minilm")
    first = open_engine(source, cache)
    assert isinstance(first, OpenVINOEngine)
    assert len(list(cache.iterdir())) == 1
    return TorchEngine(source), first


def test_the_converted_model_gives_the_models_own_vectors(
    engines: tuple[TorchEngine, OpenVINOEngine],
) -> None:
    torch_engine, converted = engines
    ids = torch_engine.encode(TEXTS)
    assert converted.encode(TEXTS) == ids
    assert max(map(len, ids)) == converted.max_tokens == torch_engine.max_tokens
    for one in ids:  # one by one, so that padding plays no part on the reference's side
        assert float((torch_engine.embed([one]) @ converted.embed([one]).T)[0, 0]) > 0.9995
    together = converted.embed(ids)
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-3)
    assert [converted.count_tokens(t) for t in TEXTS] == [torch_engine.count_tokens(t) for t in TEXTS]


def test_a_text_has_the_same_vector_in_any_company() -> None:
    embedder = Embedder("offline-minilm")
    together = embedder.embed(TEXTS)
    alone = np.concatenate([embedder.embed([text]) for text in TEXTS])
    assert (together * alone).sum(axis=1).min() > 0.9995
    seen: list[int] = []
    assert embedder.embed(TEXTS * 30, seen.append).shape == (len(TEXTS) * 30, embedder.dimensions)
    assert seen[-1] == len(TEXTS) * 30
    assert embedder.embed([]).shape == (0, embedder.dimensions)


def test_a_model_that_is_not_there_is_named() -> None:
    with pytest.raises(TwinError, match=r"'/no/such/model' can't be loaded.*TWIN_EMBEDDER"):
        Embedder("/no/such/model").embed(["x"])


def test_a_changed_model_folder_is_converted_again(tmp_path: Path) -> None:
    from twin_assets.core.embedding.engines import _identity

    (tmp_path / "model.bin").write_bytes(b"1")
    before = _identity(str(tmp_path))
    (tmp_path / "model.bin").write_bytes(b"22")
    assert _identity(str(tmp_path)) != before
    assert _identity("some/hub-id") == "some/hub-id"


@given(st.lists(st.integers(1, 600), max_size=80))
def test_batches_hold_every_text_once_and_keep_to_the_budget(lengths: list[int]) -> None:
    batches = list(_batches(lengths))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[i] for i in batch)
        assert len(batch) == 1 or len(batch) * longest <= BATCH_TOKENS


def test_without_torch_the_carried_model_is_built_and_gives_the_same_vectors(
    engines: tuple[TorchEngine, OpenVINOEngine], tmp_path: Path
) -> None:
    torch_engine, converted = engines
    build_without_torch(Path(_source("offline-minilm")), tmp_path / "built")
    built = OpenVINOEngine(tmp_path / "built")
    assert [path.name for path in tmp_path.iterdir()] == ["built"]
    assert (built.dimensions, built.max_tokens) == (torch_engine.dimensions, torch_engine.max_tokens)
    ids = built.encode(TEXTS)
    assert ids == torch_engine.encode(TEXTS)
    together, reference = built.embed(ids), np.concatenate([torch_engine.embed([one]) for one in ids])
    assert (together * reference).sum(axis=1).min() > 0.9995
    assert (together * converted.embed(ids)).sum(axis=1).min() > 0.9995
    for own, theirs in zip(built.embed_tokens(ids), torch_engine.embed_tokens(ids), strict=True):
        assert own.shape == theirs.shape
        assert (own * theirs).sum(axis=1).min() > 0.998
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-3)


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        ("config.json", {"model_type": "mpnet"}, "mpnet/gelu/absolute"),
        ("1_Pooling/config.json", {"pooling_mode_cls_token": True}, "pools by pooling_mode_cls_token"),
        ("model.safetensors", None, "no folder with model.safetensors"),
    ],
)
def test_without_torch_a_model_of_another_kind_is_refused_with_the_extra_that_brings_it(
    file: str, change: dict[str, object] | None, says: str, tmp_path: Path
) -> None:
    source = Path(shutil.copytree(_source("offline-minilm"), tmp_path / "model"))
    if change is None:
        (source / file).unlink()
    else:
        (source / file).write_text(json.dumps(json.loads((source / file).read_text()) | change))
    with pytest.raises(TwinError, match=rf"{says}.*llm-twin-platform\[llm\]"):
        build_without_torch(source, tmp_path / "cache" / "built")
    assert not (tmp_path / "cache").exists()
