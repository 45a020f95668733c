"""The jobs on the model registry, as a person launches them in the Dagster UI, and the same from a terminal."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import dagster as dg
from dagster_aws.s3 import S3Resource
from moto.server import ThreadedMotoServer

from tests.support.models import family, lineage, save
from twin_assets.core.models.registry import Registry
from twin_assets.core.release.ledger import Ledger
from twin_assets.core.storage.lake import LocalLake
from twin_assets.defs.shared.resources import Platform
from twin_assets.defs.training.registry_jobs import (
    collect_registry_garbage,
    pull_model_version,
    push_model_version,
)
from twin_assets.settings import ROOT, Settings

KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}


def launch(job: dg.JobDefinition, op: str, platform: Platform, **config: Any) -> dict[str, Any]:
    """Metadata of the op's output."""
    result = job.execute_in_process(
        resources={"platform": platform}, run_config={"ops": {op: {"config": config}}}
    )
    [done] = [e for e in result.all_events if e.is_successful_output]
    return {name: value.value for name, value in done.step_output_data.metadata.items()}


def test_production_is_pushed_pulled_elsewhere_and_old_versions_go(tmp_path: Path) -> None:
    registry = Registry(Settings(home=tmp_path / "here"))
    base, sft, dpo = family(registry, tmp_path / "scratch")
    ledger = Ledger(LocalLake(tmp_path / "here" / "lake"), "runa")
    ledger.append(dpo.tag, "proposed", "pipeline", "new")
    ledger.append(dpo.tag, "evaluated", "pipeline", "fine", passed=True)
    ledger.append(dpo.tag, "approved", "Ines", "sounds like her")
    ledger.append(dpo.tag, "deployed", "pipeline", "approved")
    old, _ = (
        save(registry, tmp_path / "scratch" / f"{n}", lineage("sft", base.tag, n), days=n) for n in (5, 6)
    )

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    s3 = S3Resource(endpoint_url=f"http://{host}:{port}", **KEYS)
    boto3.client("s3", endpoint_url=f"http://{host}:{port}", **KEYS).create_bucket(Bucket="models")
    here, there = (
        Platform(s3=s3, overrides={"home": str(tmp_path / name), "registry_url": "s3://models"})
        for name in ("here", "there")
    )
    pushed = launch(push_model_version, "push_model", here, persona="runa", to="s3", with_parents=True)
    assert set(pushed) == {dpo.tag, sft.tag, base.tag}
    launch(pull_model_version, "pull_model", there, model=dpo.tag, source="s3")
    assert there.registry.get(dpo.tag).lineage == dpo.lineage
    server.stop()

    dry = launch(collect_registry_garbage, "collect_model_garbage", here, keep_last=1)
    assert (dry["dry_run"], dry["removed"]) == (True, [old.tag])
    assert old.tag in {v.tag for v in registry.list()}
    launch(collect_registry_garbage, "collect_model_garbage", here, keep_last=1, dry_run=False)
    assert old.tag not in {v.tag for v in registry.list()}

    def command(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "twin_assets.cli", "registry", *words], cwd=ROOT, capture_output=True, text=True,
            check=False, env=os.environ | {"TWIN_HOME": str(tmp_path / "here")},
        )  # fmt: skip

    told = command("which-data", "runa")
    assert json.loads(told.stdout)["model"]["tag"] == dpo.tag, told.stderr
    refused = command("trace", "twin-runa-sft:nope")
    assert (refused.returncode, "no model 'twin-runa-sft:nope'" in refused.stderr) == (1, True)
