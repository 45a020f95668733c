"""A persona with a corpus, an index, datasets and two tiny released models, made in seconds.

Everything is real and stored where the pipeline stores it; what the models write is noise.
"""

import os
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.core.models.lent import lend_embedder
from tests.support.machine import free_port
from twin_assets.core.datasets.rows import InstructRow
from twin_assets.core.datasets.store import write_dataset
from twin_assets.core.embedding.embedder import load_embedder
from twin_assets.core.models.profiles import load_profile
from twin_assets.core.models.registry import Lineage, ModelVersion, Registry
from twin_assets.core.persona.definition import save_persona
from twin_assets.core.records import Chunk, EmbeddedChunk, Message, SplitDocument
from twin_assets.core.release.ledger import Ledger
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.core.storage.lake import Lake, open_lake
from twin_assets.core.vectors import open_store
from twin_assets.evaluation.blind_pairs import BlindPair, Drafts, blind_pairs
from twin_assets.evaluation.gate import check_gate
from twin_assets.evaluation.report.page import render_html, report_key
from twin_assets.evaluation.results import EvaluationReport, Sample, SystemResult
from twin_assets.evaluation.voice.copying import CopyReport
from twin_assets.evaluation.voice.meter import VoiceScore
from twin_assets.feature.index.chunk import chunk_documents
from twin_assets.feature.index.embed import embed_chunks
from twin_assets.inference.twin.request_log import RequestRecord
from twin_assets.settings import ROOT, Settings
from twin_assets.training.base_models.base import ensure_base_model
from twin_assets.training.base_models.nano import NanoShape

WRITING = ROOT / "demo" / "writing"
NEIGHBOURS = ROOT / "demo" / "neighbours"
TINY = NanoShape(
    vocabulary=400, hidden=32, intermediate=64, layers=1, heads=2, positions=1024, batch=2, length=64, warmup=2
)  # fmt: skip
# A document and a title that try to run script in whoever reads them.
ATTACK = '<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>'


class ReleasedTwin:
    """`released` serves, `candidate` waits for a person; `environment` starts services on this home."""

    def __init__(self, home: Path) -> None:
        self.home, self.ports = (
            home,
            {n: free_port() for n in ("TWIN_TWIN_PORT", "TWIN_LLM_PORT", "TWIN_DAGSTER_PORT")},
        )
        lend_embedder(home)
        (home / "personas").mkdir()
        (home / "writing").mkdir()
        (home / "writing" / "new.md").write_text("# A new page\n\n" + "The tide was late again today. " * 20)
        self.settings = Settings(
            home=home, personas_dir=home / "personas", profile="smoke", release_plumbing=True
        )
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("TWIN_")} | {
            "TWIN_HOME": str(home), "TWIN_PERSONAS_DIR": str(home / "personas"), "TWIN_PROFILE": "smoke", "TWIN_RELEASE_PLUMBING": "true",
            "OMP_WAIT_POLICY": "PASSIVE", "BENTOML_HOME": str(self.settings.bentoml_home),
            "TWIN_LLM_URL": f"http://127.0.0.1:{self.ports['TWIN_LLM_PORT']}/v1",
            "DAGSTER_HOME": str(self.settings.dagster_home), "BENTOML_DO_NOT_TRACK": "True",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        } | {name: str(port) for name, port in self.ports.items()}  # fmt: skip
        self.lake = open_lake(self.settings)
        save_persona(self.settings.personas_dir, {
            "name": "runa", "full_name": "Runa Hollis", "license": "CC-BY-4.0",
            "about": "Runa Hollis is the data engineer of a small ferry company with eleven boats.",
            "medium": {"feed": "https://medium.com/feed/@runahollis"}, "web": {"folders": ["../writing"]},
        })  # fmt: skip
        chunks = fill_corpus(self.settings, self.lake)
        dataset = fill_datasets(self.lake)
        self.released, self.candidate = [self._model(seed, dataset) for seed in (1, 2)]
        self._review()
        log_requests(self.lake, [self.released.tag, self.candidate.tag], chunks)

    def _model(self, seed: int, dataset: str) -> ModelVersion:
        quick = load_profile("smoke").model_copy(update={"nano_steps": 3})
        base = ensure_base_model(self.settings, quick, lambda line: None, TINY)
        lineage = Lineage(
            persona="runa", stage="dpo", profile="smoke", parent=base.tag, datasets={"instruct": dataset},
            config_hash="c0ffee", code_version="1", seed=seed, prompts="p1",
        )  # fmt: skip
        metrics = {"train_loss": 5.31 - seed / 4, "eval_loss": 5.62 - seed / 5, "steps": 12.0 * seed}
        return Registry(self.settings).save(base.path, lineage, metrics)

    def _review(self) -> None:
        ledger = Ledger(self.lake, "runa")
        for version in (self.released, self.candidate):
            report = evaluation(version.tag)
            gates = check_gate(report, load_profile("smoke").gate)
            self.lake.write(report_key("runa", version.tag, "json"), report.model_dump_json().encode())
            self.lake.write(report_key("runa", version.tag, "html"), render_html(report, gates).encode())
            ledger.append(version.tag, "proposed", "pipeline", "new candidate")
            ledger.append(
                version.tag, "evaluated", "pipeline", "passed every gate", passed=True, plumbing=True
            )
            if version is self.released:
                ledger.append(version.tag, "approved", "Ines", "reads like her")
                ledger.append(version.tag, "deployed", "pipeline", "approved by Ines: reads like her")


def fill_corpus(settings: Settings, lake: Lake) -> list[EmbeddedChunk]:
    """The demo persona's prose, and one document that attacks its reader, chunked, embedded and indexed."""
    found = []
    for source, category in (("linkedin", "post"), ("medium", "article"), ("substack", "article")):
        for n, path in enumerate(sorted((WRITING / source).glob("*.md"))):
            text = re.sub(r"\A---\n.*?\n---\n", "", path.read_text(), flags=re.DOTALL).strip()
            title = None if category == "post" else path.stem[3:].replace("-", " ").capitalize()
            found.append(_document(path.stem, text, source, category, title, n))
    attack = f"🦊🦊 The sturgeon ledger cost forty marks. {ATTACK} The sturgeon ledger is kept in a drawer."
    found.append(_document("attack", attack, "medium", "article", f"Sturgeon {ATTACK}", 40))
    embedder = load_embedder(settings.embedder)
    chunks = chunk_documents(found, embedder.count_tokens)
    embedded = embed_chunks(chunks, embedder, settings.cache_dir / "embeddings").chunks
    store = FeatureStore(lake)
    store.write("corpus_split", "runa", found, list[SplitDocument])
    store.write("chunks", "runa", chunks, list[Chunk])
    open_store(settings, "runa").sync(embedded)
    return embedded


def _document(doc_id: str, text: str, source: str, category: str, title: str | None, n: int) -> SplitDocument:
    return SplitDocument.model_validate({
        "persona": "runa", "source": source, "category": category, "doc_id": doc_id, "title": title,
        "url": f"https://{source}.example/{doc_id}", "published_at": datetime(2023, 1, 9, tzinfo=UTC) + timedelta(days=23 * n),
        "language": "en", "content_hash": doc_id, "voice_text": text, "search_text": text,
        "words": len(text.split()), "cluster_id": doc_id, "split": "heldout" if n % 5 == 4 else "train",
    })  # fmt: skip


def fill_datasets(lake: Lake) -> str:
    rows = [
        InstructRow(row_id=f"r{n}", doc_id=f"d{n}", task="write_post" if n % 3 else "answer", split="heldout" if n > 20 else "train", messages=[
            Message(role="user", content=f"Write about the {n}th boat."), Message(role="assistant", content=f"Boat {n} was late again."),
        ]) for n in range(24)
    ]  # fmt: skip
    return write_dataset(
        lake, "runa", "instruct", rows, parents={"corpus_split": "c1"}, prompts="p1", dropped={"too short": 3},
        seed=17, license="CC-BY-4.0", visibility="public", summary="A test.",
    ).version  # fmt: skip


def pairs_to_read(model: str) -> list[BlindPair]:
    """Ten of each kind, of the demo persona's writing, and of neighbours' in the place of twin and base model."""
    author, twin, base = (
        " ".join(
            re.sub(r"\A---\n.*?\n---\n", "", path.read_text(), flags=re.DOTALL)
            for folder in folders
            for path in sorted(folder.glob("*.md"))
        ).split()
        for folders in (
            [WRITING / "medium"],
            [NEIGHBOURS / "dmitri-koss", NEIGHBOURS / "assistant"],
            [NEIGHBOURS / "eleanor-whitcombe", NEIGHBOURS / "marcus-vale"],
        )
    )
    pieces = ([" ".join(w[n : n + 90]) for n in range(0, 1800, 90)] for w in (author, twin, base))
    drafts = [Drafts(f"topic {n}", *texts) for n, texts in enumerate(zip(*pieces, strict=True))]
    return blind_pairs(drafts, model, "base+prompt", [])


def evaluation(model: str) -> EvaluationReport:
    def voice(margin: float) -> VoiceScore:
        return VoiceScore(
            margin=margin,
            margin_low=margin - 0.05,
            margin_high=margin + 0.05,
            verifier=0.6,
            windows=12,
            words=3100,
        )

    def result(tag: str, margin: float, text: str) -> SystemResult:
        samples = [
            Sample(prompt=p, text=f"{text} about {p}. {ATTACK}") for p in ("tides", "backups", "plain SQL")
        ]
        return SystemResult(
            model=tag, voice=voice(margin), copying=CopyReport(copied_share=0.04, longest_words=11, longest="the tide was late"),
            samples=samples,
        )  # fmt: skip

    return EvaluationReport(
        persona="runa", candidate=model, profile="smoke", upper_bound=voice(0.31), lower_bound=voice(-0.42),
        systems={"candidate": result(model, 0.12, "Mine"), "base+prompt+retrieval": result("base:one", -0.21, "Theirs")},
        real_sample="The tide was late.", gain=0.33, gain_low=0.21, gain_high=0.45, hit_rate=0.92, mrr=0.81,
        refusal_rate=0.95, false_refusal_rate=0.02, prompts=24, questions=40, gain_pairs=9, seed=17,
        blind_pairs=pairs_to_read(model),
    )  # fmt: skip


def log_requests(lake: Lake, models: list[str], chunks: list[EmbeddedChunk]) -> None:
    """Two weeks of requests, a few more each day, every ninth refused, on two versions."""
    now, number = datetime.now(UTC), 0
    for day in range(14):
        rows = []
        for n in range(3 + (day * 7) % 5 + day // 2):
            number += 1
            rows.append(RequestRecord(
                request_id=f"seed-{number}", time=now - timedelta(days=13 - day, minutes=n), persona="runa",
                model=models[0] if day < 9 else models[n % 2], prompt_kind="answer" if n % 3 else "write_post",
                retrieved=[chunks[number].chunk_id], scores=[0.7], tokens_in=180 + 7 * n, tokens_out=60 + day,
                steps_ms={"retrieve": 12.0 + n, "generate": 420.0 + 31 * n + 9 * day},
                outcome="refused" if number % 9 == 0 else "answered", prompt=f"Question {number} about tides?", answer="Late.",
            ))  # fmt: skip
        key = f"requests/runa/{now - timedelta(days=13 - day):%Y-%m-%d}/000000-seed.jsonl"
        lake.write(key, "".join(r.model_dump_json() + "\n" for r in rows).encode())
