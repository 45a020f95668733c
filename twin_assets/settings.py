"""Every setting of the platform, typed, in one place.

Read from environment variables with the prefix ``TWIN_`` and from a ``.env`` file in the working
directory. Secrets are `SecretStr`, so that they never show in logs, metadata or errors.
"""

from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parents[1]


class Settings(BaseSettings):
    """Settings of one installation. Defaults run everything on one laptop without an account."""

    model_config = SettingsConfigDict(env_prefix="TWIN_", env_file=".env", extra="ignore")

    home: Path = Field(ROOT / ".twin", description="Folder of everything the platform writes.")
    personas_dir: Path = Field(ROOT / "personas", description="One YAML file for each persona.")
    profile: str = Field("nano", description="A profile of training_configs/profiles.yaml.")
    seed: int = 17

    lake_url: str | None = Field(None, description="`s3://bucket/prefix`; a folder under home if unset.")
    s3_endpoint_url: str | None = Field(None, description="For S3-compatible servers.")

    embedder: str = Field("offline-minilm", description="`offline-minilm`, a folder, or a hub model id.")
    vector_store: Literal["lancedb", "weaviate"] = "lancedb"
    weaviate_url: str | None = Field(
        None, description="`http[s]://host:port`, `https://….weaviate.cloud`, or `embedded`."
    )
    weaviate_api_key: SecretStr | None = None
    weaviate_grpc_port: int = Field(50051, description="Of a server or embedded; Weaviate Cloud has its own.")

    reranker: str | None = Field(None, description="Cross-encoder that ranks passages: a folder or hub id.")
    planner_model: str | None = Field(
        None, description="LiteLLM name of a model that plans searches; none: rules do."
    )
    planner_url: str | None = Field(None, description="Base URL of an OpenAI-compatible planner.")
    planner_api_key: SecretStr | None = None
    planner_timeout: float = Field(10.0, description="Seconds, for each of the planner's answers.")

    data_runner: Literal["native", "ray"] | None = Field(
        None, description="Where Daft runs heavy data work: this machine, or a Ray cluster (RAY_ADDRESS)."
    )

    allow_private_hosts: bool = Field(
        False, description="Let spiders fetch loopback and private addresses (local test sites)."
    )
    linkedin_token: SecretStr | None = None
    github_token: SecretStr | None = None
    gitlab_token: SecretStr | None = None
    linkedin_api: str = "https://api.linkedin.com"
    github_api: str = "https://api.github.com"
    gitlab_api: str = "https://gitlab.com/api/v4"
    crawl_backoff: float = Field(
        2.0, description="Seconds before a failed request is tried again, at first; doubled each time."
    )
    crawl_concurrency: int = Field(
        2,
        description="Requests that a host is asked to answer at a time, on average. More for your own sites.",
    )

    teacher_model: str | None = Field(
        None, description="LiteLLM name of a model that writes instructions; none: they come from the text."
    )
    teacher_url: str | None = Field(None, description="Base URL of an OpenAI-compatible teacher.")
    teacher_api_key: SecretStr | None = None
    teacher_budget_usd: float = Field(
        5.0, description="A teacher run stops before it costs more; 0 is no limit."
    )
    teacher_price_in: float | None = Field(None, description="US dollars a million prompt tokens.")
    teacher_price_out: float | None = Field(None, description="US dollars a million answer tokens.")
    teacher_timeout: float = 60.0
    teacher_backoff: float = 2.0

    hub_namespace: str | None = Field(None, description="User or organisation on the Hugging Face Hub.")
    hub_token: SecretStr | None = None
    hub_endpoint: str | None = Field(None, description="Another server with the hub's API.")

    wandb_mode: Literal["offline", "online", "disabled"] = "offline"
    wandb_project: str = "llm-twin"

    llm_url: str = Field("http://127.0.0.1:3001/v1", description="OpenAI-compatible LLM service.")
    llm_model: str | None = Field(None, description="LiteLLM model name when llm_url is not our own.")
    llm_api_key: SecretStr | None = None
    llm_port: int = 3001
    twin_port: int = 3000
    dagster_port: int = 3070

    @cached_property
    def lake_dir(self) -> Path:
        """Folder of the local lake; with S3, of the local mirrors."""
        return self.home / "lake"

    @cached_property
    def warehouse_path(self) -> Path:
        """DuckDB file that dbt builds."""
        return self.home / "warehouse.duckdb"

    @cached_property
    def cache_dir(self) -> Path:
        """Things that can be computed again: embeddings, training runs, base models."""
        return self.home / "cache"

    @cached_property
    def bentoml_home(self) -> Path:
        return self.home / "bentoml"

    @cached_property
    def dagster_home(self) -> Path:
        return self.home / "dagster"

    @cached_property
    def vectors_uri(self) -> str:
        return str(self.home / "vectors")


def load_settings() -> Settings:
    """Settings from the environment, read afresh at every call."""
    return Settings()  # type: ignore[call-arg]
