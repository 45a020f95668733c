"""From a reader's edit to a reviewed row: as Dagster runs it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from twin_assets.core.datasets.rows import PreferenceRow, ThumbRow
from twin_assets.core.datasets.store import write_dataset
from twin_assets.core.feedback.pairs import PairChoice, decide_on_pairs, stored_pairs
from twin_assets.core.feedback.store import Feedback, add_feedback
from twin_assets.core.persona.definition import load_persona
from twin_assets.core.records import Chunk, Message
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.core.storage.lake import LocalLake
from twin_assets.defs.datasets.checks import chosen_is_verbatim
from twin_assets.defs.datasets.feedback import (
    accepted_rows,
    accepted_thumbs,
    feedback_pairs,
    review_feedback,
)
from twin_assets.defs.shared.resources import build_resources
from twin_assets.inference.twin.log_writer import RequestLog
from twin_assets.inference.twin.request_log import RequestRecord

NOW = datetime(2026, 3, 2, tzinfo=UTC)
DULL = "In conclusion, robust tide tables are a key enabler of operational excellence for all stakeholders."
PLAIN = "The tide table was wrong on Tuesday and I wrote that down before anybody had to ask me about it."
PERSONA = """
name: runa
full_name: Runa Hollis
about: She looks after a ferry company's data.
license: CC-BY-4.0
web: {folders: [.]}
"""


def test_an_edit_waits_for_a_person_and_then_for_the_personas_consent(tmp_path: Path) -> None:
    (tmp_path / "personas").mkdir()
    file = tmp_path / "personas" / "runa.yaml"
    file.write_text(PERSONA)
    lake = LocalLake(tmp_path / "lake")
    chunk = Chunk.model_validate({
        "chunk_id": "c1", "doc_id": "d1", "persona": "runa", "source": "web", "category": "article", "url": "u",
        "text": "The table of Tuesday was yesterday's.", "start": 0, "end": 9, "tokens": 9, "split": "train", "content_hash": "h",
    })  # fmt: skip
    FeatureStore(lake).write("chunks", "runa", [chunk], list[Chunk])
    log = RequestLog(lake)
    log.append(RequestRecord(request_id="r1", time=NOW, persona="runa", model="m", prompt_kind="answer", retrieved=["c1"], outcome="answered"))  # fmt: skip
    log.close()
    add_feedback(lake, Feedback(request_id="r1", time=NOW, persona="runa", model="m", consent=True, prompt="Tide tables?", answer=DULL, edited=PLAIN))  # fmt: skip

    resources = build_resources({"home": str(tmp_path), "personas_dir": str(tmp_path / "personas")})
    platform = resources["platform"]

    def review(**decision: Any) -> bool:
        config = {"persona": "runa", "reviewer": "Ines", "reason": "she would say so"} | decision
        return review_feedback.execute_in_process(
            {"ops": {"decide_on_pairs": {"config": config}}}, resources={"platform": platform}, raise_on_error=False
        ).success  # fmt: skip

    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("personas", ["runa"])

        def shown() -> dict[str, Any]:
            result = dg.materialize([feedback_pairs], partition_key="runa", instance=instance, resources=resources)  # fmt: skip
            [made] = result.asset_materializations_for_node("feedback_pairs")
            return {name: value.value for name, value in made.metadata.items()}

        first = shown()
        assert (first["pairs"], first["waiting"], first["accepted"], first["used_in_training"]) == (1, 1, 0, False)  # fmt: skip
        pair_id = first["to_review"].splitlines()[2].split("|")[1].strip()
        assert not review(accept=["unknown"])
        assert review(accept=[pair_id])
        assert (shown()["waiting"], shown()["accepted"]) == (0, 1)

    people = tmp_path / "personas"
    assert accepted_rows(platform, load_persona(people, "runa"), 10) == [], "the persona has not consented"
    file.write_text(PERSONA + "learn_from_feedback: true\n")
    [row] = accepted_rows(platform, load_persona(people, "runa"), 10)
    assert (row.kind, row.chosen.content, row.rejected.content) == ("feedback", PLAIN, DULL)
    assert "The table of Tuesday was yesterday's." in row.messages[-1].content
    assert "Tide tables?" in row.messages[-1].content

    FeatureStore(lake).write(
        "chunks", "runa", [chunk.model_copy(update={"visibility": "private"})], list[Chunk]
    )
    assert accepted_rows(platform, load_persona(people, "runa"), 10) == [], (
        "the answer leans on what is private now"
    )
    file.write_text(PERSONA + "learn_from_feedback: true\ntrain_on: private\n")
    [closed] = accepted_rows(platform, load_persona(people, "runa"), 10)
    assert closed.visibility == "private"

    def verbatim(*rows: PreferenceRow) -> bool:
        facts: dict[str, Any] = {"parents": {}, "prompts": "p", "dropped": {}, "seed": 1, "license": "MIT", "visibility": "public", "summary": ""}  # fmt: skip
        pairs = write_dataset(lake, "runa", "preference", list(rows), **facts)
        answers = write_dataset(lake, "runa", "instruct", [], **facts)
        found = chosen_is_verbatim(platform=platform, preference_dataset=pairs, instruct_dataset=answers)
        assert isinstance(found, dg.AssetCheckResult)
        return found.passed

    assert verbatim(row)
    assert not verbatim(row.model_copy(update={"chosen": Message(role="assistant", content="Other words.")}))
    assert not verbatim(row.model_copy(update={"kind": "voice"})), "no other kind may hold a reader's text"
    assert review(reject=[pair_id])
    assert not verbatim(row), "it was taken back"


def test_an_accepted_thumb_is_kto_s_alone_and_held_to_what_was_accepted(tmp_path: Path) -> None:
    (tmp_path / "personas").mkdir()
    (tmp_path / "personas" / "runa.yaml").write_text(PERSONA + "learn_from_feedback: true\n")
    lake = LocalLake(tmp_path / "lake")
    FeatureStore(lake).write("chunks", "runa", [], list[Chunk])
    log = RequestLog(lake)
    for n, thumb in enumerate(("up", "down", "up")):
        log.append(RequestRecord(request_id=f"r{n}", time=NOW, persona="runa", model="m", prompt_kind="answer", outcome="answered"))  # fmt: skip
        add_feedback(lake, Feedback.model_validate({
            "request_id": f"r{n}", "time": NOW, "persona": "runa", "model": "m", "consent": True, "prompt": f"Tides, {n}?",
            "answer": f"{PLAIN} {n}", "thumb": thumb,
        }))  # fmt: skip
    log.close()
    pairs = stored_pairs(lake, "runa").pairs
    by_request = {pair.request_id: pair.pair_id for pair in pairs}
    choices: dict[str, PairChoice] = {
        by_request["r0"]: "accept",
        by_request["r1"]: "accept",
        by_request["r2"]: "reject",
    }
    decide_on_pairs(lake, "runa", choices, "Ines", "she would say so")
    persona = load_persona(tmp_path / "personas", "runa")

    def platform(method: str) -> Any:
        here = {
            "home": str(tmp_path),
            "personas_dir": str(tmp_path / "personas"),
            "preference_method": method,
        }
        return build_resources(here)["platform"]

    for method in ("dpo", "orpo"):
        assert accepted_thumbs(platform(method), persona, 20) == []
    kto = platform("kto")
    thumbs = accepted_thumbs(kto, persona, 20)
    assert {(t.request_id, t.label, t.completion.content) for t in thumbs} == {
        ("r0", True, f"{PLAIN} 0"), ("r1", False, f"{PLAIN} 1"),
    }  # fmt: skip
    assert all(f"Tides, {t.request_id[1:]}?" in t.messages[-1].content for t in thumbs)
    assert accepted_rows(kto, persona, 20) == [], "no thumb is a pair"
    assert accepted_thumbs(kto, persona, 0) == [], "nothing to stand beside"

    def verbatim(*rows: ThumbRow) -> bool:
        facts: dict[str, Any] = {"parents": {}, "prompts": "p", "dropped": {}, "seed": 1, "license": "MIT", "visibility": "public", "summary": ""}  # fmt: skip
        made = write_dataset(lake, "runa", "preference", [], thumbs=rows, **facts)
        answers = write_dataset(lake, "runa", "instruct", [], **facts)
        found = chosen_is_verbatim(platform=kto, preference_dataset=made, instruct_dataset=answers)
        assert isinstance(found, dg.AssetCheckResult)
        return found.passed

    assert verbatim(*thumbs)
    assert not verbatim(thumbs[0].model_copy(update={"label": not thumbs[0].label}))
    assert not verbatim(
        thumbs[0].model_copy(update={"completion": Message(role="assistant", content="Other.")})
    )
