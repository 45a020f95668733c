"""The instruct dataset as Dagster makes it: with a teacher, checked, and compared with the version before."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg

from tests.feature.instruct.test_datasets import demo_documents, embed, embedded
from tests.support.hub_double import HubDouble
from tests.support.teacher_double import TeacherDouble
from tests.training.training_factories import TINY
from twin_assets.core.datasets.rows import Manifest
from twin_assets.core.datasets.store import write_dataset
from twin_assets.core.models.profiles import load_profile
from twin_assets.core.persona.definition import load_persona
from twin_assets.core.records import EmbeddedChunk, SplitDocument
from twin_assets.core.storage.lake import open_lake
from twin_assets.defs.datasets.assets import instruct_dataset, preference_dataset
from twin_assets.defs.datasets.checks import (
    answers_are_verbatim,
    chosen_is_verbatim,
    kinds_within_limits,
    length_tells_nothing,
    shares_within_limits,
)
from twin_assets.defs.datasets.publish import publish_dataset_version
from twin_assets.defs.shared.common import personas
from twin_assets.defs.shared.resources import build_resources
from twin_assets.feature.instruct.build import RowSource
from twin_assets.settings import Settings
from twin_assets.training.base_models.base import ensure_base_model

PERSONA = """
name: runa
full_name: Runa Hollis
about: She looks after a ferry company's data.
license: CC-BY-4.0
web: {folders: [.]}
"""


def build(
    instance: dg.DagsterInstance, home: Path, documents: list[SplitDocument], **changes: Any
) -> dict[str, Any]:
    """Metadata of the dataset made from these documents."""
    chunks = embedded(documents, home / "cache")

    @dg.asset(partitions_def=personas)
    def corpus_split() -> list[SplitDocument]:
        return documents

    @dg.asset(partitions_def=personas)
    def embeddings() -> list[EmbeddedChunk]:
        return chunks

    overrides = {"home": str(home), "personas_dir": str(home / "personas")} | changes
    result = dg.materialize(
        [corpus_split, embeddings, instruct_dataset, answers_are_verbatim, shares_within_limits],
        instance=instance, partition_key="runa", resources=build_resources(overrides),
    )  # fmt: skip
    assert all(check.passed for check in result.get_asset_check_evaluations())
    assert len(result.get_asset_check_evaluations()) == 2
    [made] = result.asset_materializations_for_node("instruct_dataset")
    return {name: value.value for name, value in made.metadata.items()}


def publish(instance: dg.DagsterInstance, home: Path) -> str:
    """Publish the latest version with the job that the UI has; the address that it shows."""
    with HubDouble() as hub:
        overrides = {
            "home": str(home), "hub_namespace": "ada", "hub_token": "hf-secret", "hub_endpoint": hub.url,
        }  # fmt: skip
        result = publish_dataset_version.execute_in_process(
            instance=instance, resources={"platform": build_resources(overrides)["platform"]},
            run_config={"ops": {"push_to_hub": {"config": {"persona": "runa"}}}},
        )  # fmt: skip
        assert set(hub.repos) == {"ada/runa-instruct"}
    [done] = [e for e in result.all_events if e.is_successful_output]
    return str(done.step_output_data.metadata["address"].value)


def test_a_teacher_makes_instructions_and_the_next_version_says_what_changed(tmp_path: Path) -> None:
    (tmp_path / "personas").mkdir()
    (tmp_path / "personas" / "runa.yaml").write_text(PERSONA)
    documents = demo_documents()
    with TeacherDouble(reads=True) as double, dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("personas", ["runa"])
        offline = build(instance, tmp_path, documents)
        taught = build(
            instance, tmp_path, documents, teacher_model="openai/some-model", teacher_url=double.url,
            teacher_api_key="very-secret",
        )  # fmt: skip
        fewer = build(instance, tmp_path, documents[:-1])
        assert publish(instance, tmp_path).endswith(fewer["version"])
    assert offline["teacher"] == {}
    assert "| corpus_may_answer | refuse |" in offline["dropped_samples"]
    assert offline["since_last_version"] == "the first version"
    assert taught["teacher"]["asked"] == len(double.asked) > 5
    assert "rewrite" in taught["tasks"]
    assert f"since {offline['version']}: " in taught["since_last_version"]
    assert " removed" in fewer["since_last_version"]
    assert "very-secret" not in str(taught)


def test_pairs_of_three_kinds_are_made_from_what_a_real_model_writes(tmp_path: Path) -> None:
    (tmp_path / "personas").mkdir()
    (tmp_path / "personas" / "runa.yaml").write_text(PERSONA)
    settings = Settings(home=tmp_path)
    # Its vocabulary is small, so prompts are long.
    shape = replace(TINY, positions=4096)
    quick = load_profile("smoke").model_copy(update={"nano_steps": 3})
    model = ensure_base_model(settings, quick, print, nano_shape=shape)
    rows = RowSource(demo_documents(), embedded(demo_documents(), tmp_path / "cache"), load_persona(tmp_path / "personas", "runa"), load_profile("smoke"), 17, embed).build().rows  # fmt: skip
    made = write_dataset(
        open_lake(settings), "runa", "instruct", rows, parents={}, prompts="p", dropped={}, seed=17,
        license="MIT", visibility="public", summary="",
    )  # fmt: skip

    @dg.asset(name="instruct_dataset", partitions_def=personas)
    def instruct() -> Manifest:
        return made

    @dg.asset(partitions_def=personas)
    def sft_model() -> str:
        return model.tag

    @dg.asset(partitions_def=personas)
    def corpus_split() -> list[SplitDocument]:
        return demo_documents()

    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("personas", ["runa"])
        checks = [chosen_is_verbatim, kinds_within_limits, length_tells_nothing]
        overrides = {"home": str(tmp_path), "personas_dir": str(tmp_path / "personas"), "profile": "smoke"}
        result = dg.materialize(
            [instruct, sft_model, corpus_split, preference_dataset, *checks],
            instance=instance, partition_key="runa", resources=build_resources(overrides),
        )  # fmt: skip
    by_name = {c.check_name: c for c in result.get_asset_check_evaluations()}
    assert by_name["chosen_is_verbatim"].passed
    # A model of three steps writes noise: how much of it makes pairs is chance, the rule on it is not.
    within = by_name["kinds_within_limits"]
    assert within.passed or not within.metadata["can_be_mended"].value, within.metadata
    [done] = result.asset_materializations_for_node("preference_dataset")
    said = {name: value.value for name, value in done.metadata.items()}
    assert {kind for kind in ("voice", "refusal", "grounding") if f"| {kind} |" in said["kinds"]} == {
        "voice", "refusal", "grounding",
    }  # fmt: skip
    assert "| all |" in said["lengths"]
    assert said["plot"].startswith("![plot](data:image/png;base64,")
