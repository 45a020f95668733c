"""`twin export VERSION`: a folder for other programs that is whole, says what it is, and is never written over."""

import json
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.cli.terminal import Terminal
from tests.evaluation.evaluation_factories import documents
from tests.export.small_models import save_model
from tests.support.chunks import chunk
from tests.support.models import PUBLIC, lineage
from tests.support.releases import Office
from twin_assets.core.embedding.embedder import load_embedder
from twin_assets.core.models.registry import ModelVersion, Registry
from twin_assets.core.records import SplitDocument
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.core.storage.lake import LocalLake
from twin_assets.core.vectors import open_store
from twin_assets.export.judge import judge_export
from twin_assets.export.measures import open_measures
from twin_assets.export.readers import TransformersReader


def registered(terminal: Terminal, scratch: Path, adapter: bool = False) -> ModelVersion:
    folder = save_model(scratch, max_position_embeddings=4096)
    if adapter:
        (folder / "adapter").mkdir()
        (folder / "adapter" / "adapter_config.json").write_text('{"r": 8}')
    return Registry(terminal.settings).save(folder, lineage("dpo", number=len(scratch.name)), about=PUBLIC)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_persona_is_exported_as_what_it_has_in_production(tmp_path: Path) -> None:
    terminal, office = Terminal(tmp_path), Office(tmp_path)
    terminal.declare("runa")
    out = tmp_path / "out" / "runa"
    nothing = terminal.twin("export", "runa", "--to", str(out), "--no-judge")
    assert (nothing.exit_code, "nothing in production" in nothing.stderr) == (1, True)
    version = registered(terminal, tmp_path / "model")
    office.ready = [version.tag]
    office.release()

    assert version.tag in terminal.said("export", "runa", "--to", str(out), "--no-judge")
    file = f"{version.tag.replace(':', '-')}-q8_0.gguf"
    assert names(out) == {file, "Modelfile", "README.md"}
    modelfile = (out / "Modelfile").read_text()
    assert f"FROM ./{file}" in modelfile
    assert 'SYSTEM """You are Runa. Keeps the boats' in modelfile
    assert "TEMPLATE" in modelfile
    card = (out / "README.md").read_text()
    assert "Not judged: nobody asked for it." in card
    assert "q8_0 (tensors: 15 q8_0, 5 f32)" in card
    again = terminal.twin("export", version.tag, "--format", "merged", "--to", str(out))
    assert (again.exit_code, "is not empty" in again.stderr) == (1, True)
    assert names(out) == {file, "Modelfile", "README.md"}
    assert names(out.parent) == {"runa"}  # nothing half made is left beside it


def test_whole_weights_and_the_adapter_come_apart(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    terminal.declare("runa")
    whole, tuned = (
        registered(terminal, tmp_path / "one"),
        registered(terminal, tmp_path / "three", adapter=True),
    )
    terminal.said("export", tuned.tag, "--format", "adapter", "--to", str(tmp_path / "adapter"))
    assert names(tmp_path / "adapter") == {"adapter_config.json", "README.md"}
    terminal.said("export", tuned.tag, "--format", "merged", "--to", str(tmp_path / "merged"))
    assert not {"adapter", "model.yaml"} & names(tmp_path / "merged")
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "merged").num_parameters() > 0
    assert AutoTokenizer.from_pretrained(tmp_path / "merged").chat_template
    none = terminal.twin("export", whole.tag, "--format", "adapter", "--to", str(tmp_path / "no"))
    assert (none.exit_code, "has no adapter" in none.stderr) == (1, True)
    unknown = terminal.twin("export", "nobody", "--to", str(tmp_path / "no"))
    assert (unknown.exit_code, "no model 'nobody'" in unknown.stderr) == (1, True)
    assert not (tmp_path / "no").exists()


def test_a_family_that_has_no_gguf_leaves_no_folder(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    terminal.declare("runa")
    version = registered(terminal, tmp_path / "model")
    config = json.loads((version.path / "config.json").read_text())
    (version.path / "config.json").write_text(json.dumps(config | {"model_type": "gemma3_text"}))
    refused = terminal.twin("export", version.tag, "--to", str(tmp_path / "out" / "x"))
    assert (refused.exit_code, "llama, mistral, qwen2, qwen3" in refused.stderr) == (1, True)
    assert names(tmp_path / "out") == set()


@pytest.mark.e2e
def test_the_card_says_what_was_lost_by_the_products_own_judge(tmp_path: Path) -> None:
    """The demo persona's documents and index are real; the model's words are noise, so no voice is shown."""
    terminal = Terminal(tmp_path)
    terminal.declare("runa")
    version = registered(terminal, tmp_path / "model")
    without = terminal.twin("export", version.tag, "--to", str(tmp_path / "before"))
    assert "not judged: corpus_split of 'runa' was never materialised" in without.stderr
    assert "Not judged: corpus_split" in (tmp_path / "before" / "README.md").read_text()

    lake = LocalLake(terminal.settings.lake_dir)
    FeatureStore(lake).write("corpus_split", "runa", list(documents()), list[SplitDocument])
    embedder = load_embedder(terminal.settings.embedder)
    texts = [d.voice_text[:400] for d in documents() if d.split == "train"][:6]
    store = open_store(terminal.settings, "runa")
    store.sync([
        chunk(f"c{n}", text, 0, vector=vector.tolist(), embedder=embedder.fingerprint)
        for n, (text, vector) in enumerate(zip(texts, embedder.embed(texts), strict=True))
    ])  # fmt: skip
    told = terminal.twin(
        "export", version.tag, "--quantize", "f16", "--texts", "6", "--to", str(tmp_path / "after")
    ).stderr
    assert "judging by 6 texts of each side, in 15 minutes at most" in told
    assert "at this pace up to" in told
    assert told.index("4 of 6 texts by both in") < told.index("to go") < told.index("6 of 6 texts by both in")
    card = (tmp_path / "after" / "README.md").read_text()
    assert "Both wrote the same 6 held-out prompts" in card
    assert "| prompts read as the same tokens | | 6 of 6 | |" in card
    ratio = float(card.split("| × ")[1].split(" (")[0])
    assert abs(ratio - 1) < 0.01
    assert "| voice, 0 others to 1 the author |" in card

    # A machine on which the time is over before it began: both sides are judged by a first round, and the card says so.
    measures = open_measures(terminal.settings, lake, version)
    says: list[str] = []
    one = TransformersReader(version.path)
    tokenizer = AutoTokenizer.from_pretrained(version.path)
    verdict = judge_export(one, one, tokenizer, measures, says.append, 6, minutes=0)
    assert (verdict.texts, verdict.prompts) == (4, 6)
    assert 0 < verdict.windows <= 4
    assert says[-2] == "the time is over: judged by 4 texts"
    assert verdict.perplexity_ratio
    assert (verdict.perplexity_ratio.low, verdict.perplexity_ratio.high) == (1, 1)
