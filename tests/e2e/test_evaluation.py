"""The evaluation as Dagster runs it: real models, a real index, a judge on loopback, W&B offline."""

import json
import os
from pathlib import Path

import dagster as dg
import pytest
import yaml

from tests.e2e.released_twin import ReleasedTwin
from tests.support.judge_double import JudgeDouble
from twin_assets.core.records import SplitDocument
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.defs.evaluation.assets import evaluation_report
from twin_assets.defs.shared.common import personas
from twin_assets.defs.shared.resources import build_resources
from twin_assets.evaluation.gate import GATES
from twin_assets.evaluation.grounding.qa_eval import MADE
from twin_assets.evaluation.report.page import report_key
from twin_assets.evaluation.results import EvaluationReport
from twin_assets.settings import ROOT

pytestmark = pytest.mark.e2e
QUESTIONS = [
    {"question": "Who keeps the sturgeon ledger?", "answer_facts": ["drawer"]},
    {"question": "Who won the football World Cup in 2022?", "unanswerable": True},
]


def wandb_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("WANDB_")}


def test_a_candidate_is_measured_gated_reported_and_published(tmp_path: Path) -> None:
    environment = wandb_environment()
    twin = ReleasedTwin(tmp_path)
    (tmp_path / "personas" / "questions.yaml").write_text(yaml.safe_dump(QUESTIONS))
    declared = tmp_path / "personas" / "runa.yaml"
    neighbours = sorted(str(p) for p in (ROOT / "demo" / "neighbours").iterdir() if p.is_dir())
    raw = yaml.safe_load(declared.read_text()) | {"questions": "questions.yaml", "impostors": neighbours}
    declared.write_text(yaml.safe_dump(raw))
    base = twin.candidate.lineage.parent
    assert base is not None
    (tmp_path / "instance").mkdir()
    split = FeatureStore(twin.lake).load("corpus_split", "runa", list[SplitDocument])
    with JudgeDouble("first") as judge, dg.DagsterInstance.local_temp(str(tmp_path / "instance")) as instance:
        instance.add_dynamic_partitions("personas", ["runa"])
        home = {
            "home": str(tmp_path), "personas_dir": str(tmp_path / "personas"), "profile": "smoke",
            "judge_model": "openai/some-judge", "judge_url": judge.url, "hardware_usd_per_hour": 1.5,
        }  # fmt: skip

        @dg.asset(partitions_def=personas)
        def dpo_model() -> str:
            return twin.candidate.tag

        @dg.asset(partitions_def=personas)
        def sft_model() -> str:
            return twin.candidate.tag

        @dg.asset(partitions_def=personas)
        def base_model() -> str:
            return base

        @dg.asset(partitions_def=personas)
        def corpus_split() -> list[SplitDocument]:
            return split

        result = dg.materialize(
            [dpo_model, sft_model, base_model, corpus_split, evaluation_report], instance=instance, partition_key="runa",
            resources=build_resources(home), raise_on_error=False,
        )  # fmt: skip
    checks = {c.check_name: c for c in result.get_asset_check_evaluations()}
    assert set(checks) == set(GATES)
    [made] = result.asset_materializations_for_node("evaluation_report")
    metadata = {name: value.value for name, value in made.metadata.items()}

    data = json.loads(twin.lake.read(report_key("runa", twin.candidate.tag, "json")))
    report = EvaluationReport.model_validate(data)
    assert set(report.systems) == {
        "candidate",
        "base+prompt+retrieval",
        "base+prompt",
        "base",
        "production",
    }
    assert report.systems["production"].model == twin.released.tag
    for result in report.systems.values():
        assert result.qa_eval is not None
        assert (result.qa_eval.refusals.unanswerable, result.qa_eval.refusals.answerable) == (1, 1)
        made = result.qa_eval.refusals_by_set[MADE]
        assert made.answerable > 1
        assert made.unanswerable > 0
        assert result.effort is not None
        assert result.effort.latency is not None
        assert result.effort.usd_per_call is not None
        assert result.effort.tokens_out > 0
        assert result.safety is not None
    assert report.ability is not None
    assert report.ability.items == 40
    assert [(v.rival, v.contradicted, v.first_share) for v in report.verdicts] == [
        ("base+prompt+retrieval", 2, 1.0), ("production", 2, 1.0),
    ]  # fmt: skip
    assert data["comparison"]["verdict"] == metadata["comparison"]
    assert [g["name"] for g in data["gates"]] == list(GATES)

    page = twin.lake.read(report_key("runa", twin.candidate.tag, "html")).decode()
    for part in (
        "Which system is enough",
        "Facts, citations and refusals",
        "A judge's opinion",
        "General ability",
        "Time and cost",
    ):
        assert part in page
    assert "<script>document" not in page  # the corpus holds a document that attacks its reader
    [run] = (tmp_path / "wandb" / "wandb").glob("offline-run-*")
    assert run.name in str(metadata["wandb"])
    assert wandb_environment() == environment, "a training started later would log into this process's W&B"
