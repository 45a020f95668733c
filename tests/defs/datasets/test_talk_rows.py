"""A chat from its export to the dataset: a question of somebody else's with the persona's answer is a row."""

import dagster as dg
import pytest

from twin_assets.core.datasets.rows import InstructRow
from twin_assets.core.datasets.store import latest_version, read_rows
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.core.storage.lake import open_lake
from twin_assets.definitions import defs
from twin_assets.defs.shared.resources import build_resources
from twin_assets.settings import ROOT, Settings

STEPS = (
    "raw_web", "raw_chats", "raw_library", "stg_documents", "document", "library_", "cleaned_", "unique_", "corpus_", "chunks",
    "embeddings", "vector_index", "instruct_dataset",
)  # fmt: skip
PERSONA = """
name: eleanor
full_name: Eleanor Whitcombe
about: Keeps a garden.
license: CC-BY-4.0
web: {folders: [NEIGHBOURS/eleanor-whitcombe, NEIGHBOURS/marcus-vale]}
chats: {files: [CHAT], visibility: public}
"""
ASKED = "How do you keep the mice off the sweet peas? Mine are gone, call me on +44 20 7946 0958."
ANSWERED = (
    "I soak them overnight in paraffin and water, as my aunt did, and I lay holly over the trench until the first two "
    "leaves show, because a mouse has a softer nose than it likes to admit."
)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[InstructRow]:
    """The rows of a persona with a folder of articles and one chat, training and held-out side."""
    home = tmp_path_factory.mktemp("eleanor")
    chat = home / "WhatsApp Chat with Kim.txt"
    chat.write_text(
        f"02/03/2020, 10:11 - Kim Lund: {ASKED}\n02/03/2020, 10:12 - Eleanor Whitcombe: {ANSWERED}\n"
        "02/03/2020, 10:13 - Kim Lund: And do they flower all the same?\n02/03/2020, 10:14 - Eleanor Whitcombe: They do.\n",
        encoding="utf-8",
    )  # fmt: skip
    (home / "personas").mkdir()
    declared = PERSONA.replace("NEIGHBOURS", str(ROOT / "demo" / "neighbours")).replace("CHAT", f'"{chat}"')
    (home / "personas" / "eleanor.yaml").write_text(declared, encoding="utf-8")
    overrides = {"home": str(home), "personas_dir": str(home / "personas"), "profile": "smoke"}
    assets = [a for a in defs.assets or [] if isinstance(a, dg.AssetsDefinition)]
    chosen = [a for a in assets if all(k.to_user_string().startswith(STEPS) for k in a.keys)]
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("personas", ["eleanor"])
        resources = build_resources(overrides)
        assert dg.materialize(chosen, instance=instance, partition_key="eleanor", resources=resources).success
    lake = open_lake(Settings(home=home))
    [talk] = [d for d in FeatureStore(lake).read("cleaned_documents", "eleanor") if d.source == "chats"]
    assert [one.answered for one in talk.exchanges] == [ANSWERED, "They do."]
    version = latest_version(lake, "eleanor", "instruct")
    assert version
    return [
        row for side in ("train", "test") for row in read_rows(lake, "eleanor", "instruct", version, side)
    ]


def of_the_talk(rows: list[InstructRow]) -> list[InstructRow]:
    return [row for row in rows if row.task == "answer" and "sweet peas?" in row.messages[1].content]


def test_the_answer_stands_to_the_letter_and_the_question_without_personal_data(
    rows: list[InstructRow],
) -> None:
    [row] = of_the_talk(rows)
    assert row.messages[-1].content == ANSWERED
    assert "How do you keep the mice off the sweet peas?" in row.messages[1].content
    assert "7946" not in row.messages[1].content


def test_an_answer_of_two_words_is_none_to_learn_from(rows: list[InstructRow]) -> None:
    assert "They do." not in {row.messages[-1].content for row in rows}
    assert not [row for row in rows if "Mine are gone" in row.messages[-1].content]
