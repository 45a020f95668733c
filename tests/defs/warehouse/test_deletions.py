"""What its author deletes or edits leaves every later stage: warehouse, corpus and vector index."""

from pathlib import Path

import dagster as dg

from demo.sites import DemoSites
from twin_assets.core.embedding.embedder import load_embedder
from twin_assets.core.vectors import open_store
from twin_assets.definitions import defs
from twin_assets.defs.shared.resources import DBT_PROJECT, build_resources
from twin_assets.settings import Settings

STAGES = (
    "raw_",
    "stg_",
    "document",
    "library_",
    "cleaned_",
    "unique_",
    "corpus_",
    "chunks",
    "embeddings",
    "vector_index",
)
PERSONA = """
name: runa
full_name: Runa Hollis
about: She looks after a ferry company's data.
license: CC-BY-4.0
linkedin: {profile: "https://www.linkedin.com/in/r", api: "URL/linkedin"}
medium: {feed: "URL/medium/feed/@runahollis"}
"""


def collect_to_index(instance: dg.DagsterInstance, home: Path) -> None:
    overrides = {
        "home": str(home), "personas_dir": str(home / "personas"), "allow_private_hosts": True,
        "linkedin_token": "t", "github_token": "t",
    }  # fmt: skip
    assets = [a for a in defs.assets or [] if isinstance(a, dg.AssetsDefinition)]
    wanted = [a for a in assets if all(k.to_user_string().startswith(STAGES) for k in a.keys)]
    result = dg.materialize(
        wanted, instance=instance, partition_key="runa", resources=build_resources(overrides)
    )
    assert result.success
    left = (DBT_PROJECT / "target").glob(f"*-{result.run_id[:7]}-*")
    assert list(left) == [], "a build leaves three megabytes of dbt's own files"


def test_a_deleted_post_leaves_the_index_and_an_edited_one_is_found_by_its_new_words(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    embedder = load_embedder(settings.embedder)

    def found(text: str) -> list[str]:
        vector = embedder.embed([text])[0]
        store = open_store(settings, "runa")
        return [p.text for p in store.search(text, vector, 5, embedder=embedder.fingerprint, alpha=0.0)]

    with DemoSites() as sites, dg.DagsterInstance.ephemeral() as instance:
        (tmp_path / "personas").mkdir()
        (tmp_path / "personas" / "runa.yaml").write_text(PERSONA.replace("URL", sites.url()))
        instance.add_dynamic_partitions("personas", ["runa"])
        before = {p.id: p.text for p in sites.writing.linkedin}
        collect_to_index(instance, tmp_path)
        sites.edition = 2
        [gone] = before.keys() - {p.id for p in sites.writing.linkedin}
        line = max(before[gone].split("\n"), key=len)
        assert any(line in text for text in found(line))
        assert not any("eight cores" in text for text in found("Lantern has eight cores"))
        collect_to_index(instance, tmp_path)
    assert not any(line in text for text in found(line))
    assert any("eight cores" in text for text in found("Lantern has eight cores"))
