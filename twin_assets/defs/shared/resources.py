"""Resources: the platform's parts as Dagster sees them, and the IO manager that keeps every version."""

import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagster as dg
from botocore.handlers import disable_signing
from dagster_aws.s3 import S3Resource
from dagster_dbt import DbtCliResource
from packaging.version import Version

from twin_assets.core.embedding.embedder import Embedder, load_embedder
from twin_assets.core.embedding.thresholds import Thresholds, thresholds_of
from twin_assets.core.hashing import fingerprint
from twin_assets.core.models.profiles import Profile, load_profile
from twin_assets.core.models.registry import Registry
from twin_assets.core.persona.definition import Persona, load_persona
from twin_assets.core.release.known import KnownLedgers
from twin_assets.core.release.ledger import Ledger
from twin_assets.core.release.marks import PAUSED, Paused
from twin_assets.core.row_file import RowFile
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.core.storage.lake import Lake, open_lake
from twin_assets.core.storage.s3 import s3_client
from twin_assets.defs.shared.retries import retrying
from twin_assets.settings import ROOT, Settings, load_settings

DBT_PROJECT: Path = ROOT / "dbt_project"


class LocalDbt(DbtCliResource):
    """dbt of this environment, without what dagster-dbt does before every run beside it."""

    @cached_property
    def _cli_version(self) -> Version:
        """Of the package. `dbt --version`, which is run otherwise, is a process that asks the package index for newer ones."""
        return Version(version("dbt-core"))

    def _initialize_dbt_core_adapter(self, args: Sequence[str]) -> Any:
        """None: a second load of the project in this process, for metadata of columns, which nothing here asks for."""


def dbt_cli() -> LocalDbt:
    """dbt of this environment, also when its folder is not on the PATH."""
    executable = Path(sys.executable).with_name("dbt")
    return LocalDbt(
        project_dir=str(DBT_PROJECT), profiles_dir=str(DBT_PROJECT), dbt_executable=str(executable)
    )


class Platform(dg.ConfigurableResource):
    """Settings and what is opened with them. `overrides` replaces single settings, for tests."""

    s3: dg.ResourceDependency[S3Resource]
    overrides: dict[str, Any] = {}

    @cached_property
    def settings(self) -> Settings:
        """Read once for each run or tick, which gets a resource of its own."""
        parsed = Settings.model_validate(self.overrides)
        return load_settings().model_copy(update={name: getattr(parsed, name) for name in self.overrides})

    @property
    def lake(self) -> Lake:
        settings = self.settings
        return open_lake(settings, self._client if settings.lake_url else None)

    @cached_property
    def _client(self) -> Any:
        """By dagster-aws's configuration, with the platform's patience: its own client waits for minutes."""
        s3 = self.s3
        client = s3_client(
            self.settings,
            profile=s3.profile_name,
            endpoint_url=s3.endpoint_url,
            region_name=s3.region_name,
            use_ssl=s3.use_ssl,
            verify=s3.verify,
            aws_access_key_id=s3.aws_access_key_id,
            aws_secret_access_key=s3.aws_secret_access_key,
            aws_session_token=s3.aws_session_token,
        )
        if s3.use_unsigned_session:
            client.meta.events.register("choose-signer.s3.*", disable_signing)
        return client

    @property
    def registry(self) -> Registry:
        return Registry(self.settings)

    @property
    def profile(self) -> Profile:
        return load_profile(self.settings.profile)

    @property
    def embedder(self) -> Embedder:
        return load_embedder(self.settings.embedder)

    @property
    def thresholds(self) -> Thresholds:
        """Those of the embedder; raises TwinError when there are none."""
        return thresholds_of(self.lake, self.embedder)

    def persona(self, name: str) -> Persona:
        return load_persona(self.settings.personas_dir, name)

    def ledger(self, persona: str) -> Ledger:
        return Ledger(self.lake, persona)

    @cached_property
    def paused(self) -> Mapping[str, Paused]:
        """Who is paused, for whoever goes through all personas: nothing is started for these."""
        return PAUSED.lately(self.lake)

    @cached_property
    def known_ledgers(self) -> KnownLedgers:
        """The ledgers for whoever only looks, again and again: on S3 one request for all of them."""
        return KnownLedgers(self.lake, self.settings.ledger_hours)


class FeatureStoreIOManager(dg.ConfigurableIOManager):
    """Keeps every version of a value in the feature store."""

    platform: dg.ResourceDependency[Platform]

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        if obj is None:
            return
        asset, kind = context.asset_key.to_user_string(), context.dagster_type.typing_type
        with retrying(context.step_context):
            uri = FeatureStore(self.platform.lake).write(asset, context.partition_key, obj, kind)
        context.add_output_metadata({"stored_at": dg.MetadataValue.path(uri)})

    def load_input(self, context: dg.InputContext) -> Any:
        asset, kind = context.asset_key.to_user_string(), context.dagster_type.typing_type
        with retrying(context.step_context):
            return FeatureStore(self.platform.lake).load(asset, context.partition_key, kind)


def records_result(
    rows: RowFile[Any],
    metadata: dict[str, Any],
    checks: list[dg.AssetCheckResult] | None = None,
    beside: object = None,
) -> dg.MaterializeResult:
    """A materialisation of records whose data version is their content, and what is told `beside` them."""
    version = f"{rows.version}-{fingerprint(beside, 8)}" if beside else rows.version
    return dg.MaterializeResult(
        value=rows, metadata=metadata, check_results=checks or [], data_version=dg.DataVersion(version)
    )


def build_resources(overrides: dict[str, Any] | None = None) -> dict[str, Any]:
    """All resources of the code location."""
    settings = load_settings()
    platform = Platform(s3=S3Resource(endpoint_url=settings.s3_endpoint_url), overrides=overrides or {})
    return {
        "platform": platform,
        "io_manager": FeatureStoreIOManager(platform=platform),
        "dbt": dbt_cli(),
        "pipes": dg.PipesSubprocessClient(),
    }
