"""New writing is carried from the crawl to the index and the dataset; the same writing again is not."""

import dagster as dg

from twin_assets.core.persona.definition import SOURCES
from twin_assets.definitions import defs

GRAPH = defs.resolve_asset_graph()
# In the order of the flow; the assets of one dbt build stand together.
STEPS = [
    {f"raw_{source}" for source in (*SOURCES, "library")}, {"stg_documents", "documents", "document_history"},
    {"cleaned_documents", "library_documents"}, {"unique_documents"}, {"corpus_split"}, {"chunks"}, {"embeddings"},
    {"vector_index", "instruct_dataset"},
]  # fmt: skip
UNTOUCHED = {"library_documents"}  # looked at with every build, and the same unless something was added


class Pipeline:
    """An instance in which materialisations are reported, and what the conditions ask for next."""

    def __init__(self) -> None:
        self.instance = dg.DagsterInstance.ephemeral()
        self.instance.add_dynamic_partitions("personas", ["runa"])
        self.cursor = None

    def report(self, assets: set[str], version: str) -> None:
        for asset in sorted(assets):
            node = GRAPH.get(dg.AssetKey(asset))
            tags = {"dagster/data_version": f"{asset}-{version}"}
            if node.code_version:
                tags["dagster/code_version"] = node.code_version
            self.instance.report_runless_asset_event(
                dg.AssetMaterialization(asset, partition="runa", tags=tags)
            )

    def asked(self) -> set[str]:
        result = dg.evaluate_automation_conditions(defs=defs, instance=self.instance, cursor=self.cursor)
        self.cursor = result.cursor
        return {
            key.to_user_string()
            for key in GRAPH.materializable_asset_keys
            if result.get_num_requested(key) > 0
        }


def test_one_new_document_runs_the_feature_pipeline_once_to_its_end() -> None:
    pipeline = Pipeline()
    for assets in STEPS:
        pipeline.report(assets, "v1")
    pipeline.asked()  # the first look takes what it finds for given
    assert pipeline.asked() == set()
    pipeline.report({"raw_medium"}, "v2")
    for assets in STEPS[1:]:
        wanted = pipeline.asked()
        assert assets & wanted, (assets, wanted)
        assert wanted <= assets, (assets, wanted)
        pipeline.report(assets - UNTOUCHED, "v2")
        pipeline.report(assets & UNTOUCHED, "v1")
    assert pipeline.asked() == set()


def test_a_crawl_without_news_asks_for_nothing() -> None:
    pipeline = Pipeline()
    for assets in STEPS:
        pipeline.report(assets, "v1")
    pipeline.asked()
    pipeline.report(STEPS[0], "v1")
    assert pipeline.asked() == set()


def test_a_source_that_was_never_collected_does_not_keep_back_the_others() -> None:
    pipeline = Pipeline()
    assert pipeline.asked() == set()
    pipeline.report({"raw_medium"}, "v1")
    assert "stg_documents" in pipeline.asked()
