"""Steps whose store is away: tried again where nobody waits for them, told at once where somebody does."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster_aws.s3 import S3Resource

from tests.support.chunks import CHUNKS
from tests.support.s3_double import KEYS_OF_A_STRANGER, BadLine, hurry, s3_client, s3_server
from twin_assets.core.records import EmbeddedChunk
from twin_assets.defs.shared import retries
from twin_assets.defs.shared.common import personas
from twin_assets.defs.shared.resources import FeatureStoreIOManager, Platform
from twin_assets.defs.shared.retries import UNATTENDED, retried_when_away

BUSY = "<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
FORBIDDEN = "<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
ATTEMPTS = 4  # botocore's, of one request


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[BadLine]:
    hurry(monkeypatch.setattr)
    monkeypatch.setattr(retries, "FIRST_PAUSE_SECONDS", 0)
    with s3_server() as url, BadLine(url) as line:
        s3_client(url).create_bucket(Bucket="retries")
        yield line


def run(line: BadLine, home: Path, asset: dg.AssetsDefinition, **tags: str) -> dg.ExecuteInProcessResult:
    platform = Platform(
        s3=S3Resource(endpoint_url=line.url, **KEYS_OF_A_STRANGER),
        overrides={"home": str(home), "lake_url": f"s3://retries/{home.name}"},
    )
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("personas", ["runa"])
        return dg.materialize(
            [asset],
            instance=instance,
            partition_key="runa",
            tags=tags,
            raise_on_error=False,
            resources={"platform": platform, "io_manager": FeatureStoreIOManager(platform=platform)},
        )


def writing(line: BadLine, faults: list[tuple[int, str]]) -> dg.AssetsDefinition:
    """An asset at each of whose attempts S3 has the next of the faults, and none after the last."""

    @dg.asset(partitions_def=personas)
    @retried_when_away
    def written(context: dg.AssetExecutionContext, platform: Platform) -> None:
        """Writes an object."""
        line.says = faults.pop(0) if faults else None
        platform.lake.write("a/b", context.partition_key.encode())

    return written


def retried(result: dg.ExecuteInProcessResult) -> int:
    return len([e for e in result.all_events if e.event_type_value == "STEP_UP_FOR_RETRY"])


@pytest.mark.parametrize("tag", UNATTENDED)
def test_a_step_that_nobody_waits_for_is_tried_again_until_its_store_is_back(
    line: BadLine, tmp_path: Path, tag: str
) -> None:
    result = run(line, tmp_path, writing(line, [(503, BUSY), (503, BUSY)]), **{tag: "x"})
    assert (result.success, retried(result)) == (True, 2)


def test_a_store_that_stays_away_fails_the_step_with_its_own_words(line: BadLine, tmp_path: Path) -> None:
    faults = [(503, BUSY)] * 9
    result = run(line, tmp_path, writing(line, faults), **{UNATTENDED[0]: "true"})
    [failure] = [e for e in result.all_events if e.is_step_failure]
    assert (result.success, retried(result), len(faults)) == (False, retries.RETRIES, 9 - retries.RETRIES - 1)
    assert "failed: " in str(failure.step_failure_data.error)


def test_who_started_a_run_sees_at_once_what_is_wrong(line: BadLine, tmp_path: Path) -> None:
    result = run(line, tmp_path, writing(line, [(503, BUSY)]))
    assert (result.success, retried(result)) == (False, 0)


def test_what_a_pause_does_not_mend_is_not_tried_again(line: BadLine, tmp_path: Path) -> None:
    result = run(line, tmp_path, writing(line, [(403, FORBIDDEN)]), **{UNATTENDED[0]: "true"})
    assert (result.success, retried(result)) == (False, 0)


def test_what_can_not_be_stored_at_first_is_made_and_stored_again(line: BadLine, tmp_path: Path) -> None:
    @dg.asset(partitions_def=personas)
    def embeddings() -> list[EmbeddedChunk]:
        """Some chunks."""
        return CHUNKS

    line.lose = ATTEMPTS
    result = run(line, tmp_path, embeddings, **{UNATTENDED[0]: "true"})
    assert (result.success, retried(result)) == (True, 1)
