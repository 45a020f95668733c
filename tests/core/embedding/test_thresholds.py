"""What is alike, supported or answerable is another cosine for each embedder."""

from pathlib import Path

import numpy as np
import pytest

from twin_assets.core.embedding.calibrate import PASSAGES, calibrate, calibrate_folder, equated, read_passages
from twin_assets.core.embedding.embedder import Embedder, _source, load_embedder
from twin_assets.core.embedding.thresholds import (
    OFFLINE_MINILM,
    Calibration,
    Thresholds,
    calibration_key,
    thresholds_of,
)
from twin_assets.core.errors import TwinError
from twin_assets.core.storage.lake import LocalLake
from twin_assets.settings import ROOT, Settings

CUT = ("duplicate", "same_subject", "answerable", "agreeing_request")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another embedder: the first layer of the one that is carried, which finds almost everything alike."""
    from sentence_transformers import SentenceTransformer

    folder = tmp_path_factory.mktemp("embedder")
    model = SentenceTransformer(_source("offline-minilm"), device="cpu")
    transformer = model[0].auto_model
    transformer.encoder.layer = transformer.encoder.layer[:1]
    transformer.config.num_hidden_layers = 1
    model.save(str(folder))
    return folder


def test_the_carried_embedder_has_its_thresholds_by_its_fingerprint(tmp_path: Path) -> None:
    assert thresholds_of(LocalLake(tmp_path), load_embedder("offline-minilm")) is OFFLINE_MINILM


def test_another_embedder_is_refused_until_it_is_calibrated(
    other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWIN_HOME", str(tmp_path))
    monkeypatch.setenv("TWIN_EMBEDDER", str(other))
    lake, embedder = LocalLake(tmp_path / "lake"), Embedder(str(other))
    with pytest.raises(TwinError, match=r"no thresholds.*twin calibrate FOLDER"):
        thresholds_of(lake, embedder)

    writing = tmp_path / "writing"
    writing.mkdir()
    short = [" ".join(passage.split()[:40]) for passage in read_passages(ROOT / "demo")]
    (writing / "all.md").write_text("\n\n".join(short[:PASSAGES]))
    calibrate_folder(Settings(), writing)

    found = thresholds_of(lake, embedder)
    assert OFFLINE_MINILM.supported < found.supported < 1
    assert all(getattr(found, name) > getattr(OFFLINE_MINILM, name) + 0.02 for name in CUT)
    assert found.duplicate <= found.contaminated <= 1
    # By its own threshold it takes no more passages for one subject than the carried one does; by that one's, most.
    texts = read_passages(writing)[:40]
    pairs = np.triu_indices(len(texts), 1)
    of_carried, of_other = (
        (e.embed(texts) @ e.embed(texts).T)[pairs] for e in (load_embedder("offline-minilm"), embedder)
    )
    alike = (of_carried >= OFFLINE_MINILM.same_subject).mean()
    assert abs((of_other >= found.same_subject).mean() - alike) < 0.1
    assert (of_other >= OFFLINE_MINILM.same_subject).mean() > alike + 0.3

    lake.write(calibration_key(embedder.fingerprint), b"{}")
    with pytest.raises(TwinError, match="damaged thresholds"):
        thresholds_of(lake, embedder)


def test_a_calibration_of_before_counts_claims_by_the_support_of_today() -> None:
    """Half a cosine stood in it: an embedder that says 0.85 for 0.65 had its threshold 0.1 higher."""
    stored = {
        "embedder": "other",
        "fingerprint": "f",
        "pairs": 9,
        "thresholds": {"supported": 0.75, "duplicate": 0.99},
    }
    before = Calibration.model_validate(stored).of_today()
    assert OFFLINE_MINILM.supported + 0.1 < before.supported < 0.8
    assert before.duplicate == 0.99
    same = Calibration(embedder="other", fingerprint="f", pairs=9, thresholds=Thresholds(supported=0.65))
    assert same.of_today().supported == OFFLINE_MINILM.supported
    now = same.model_copy(update={"version": 2})
    assert now.of_today().supported == 0.65


def test_too_little_writing_makes_no_thresholds() -> None:
    with pytest.raises(TwinError, match=rf"3 passages of 40 words.*{PASSAGES} are needed"):
        calibrate(load_embedder("offline-minilm"), ["word " * 40] * 3)


def test_a_threshold_is_equated_with_the_value_that_as_many_stay_under() -> None:
    reference = np.linspace(0, 1, 1001)
    assert equated(0.33, reference, reference) == pytest.approx(0.33, abs=0.002)
    assert equated(0.33, reference, np.sqrt(reference)) == pytest.approx(0.33**0.5, abs=0.002)
    assert equated(0.9, reference, np.full(1001, 0.4)) == pytest.approx(0.4)
