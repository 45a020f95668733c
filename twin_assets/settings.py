"""Every setting of the platform, typed, in one place.

Read from environment variables with the prefix ``TWIN_`` and from a ``.env`` file in the working
directory. Secrets are `SecretStr`, so that they never show in logs, metadata or errors.
"""

from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

# Where the code and its data files lie: a checkout, or site-packages.
ROOT = Path(__file__).resolve().parents[1]
CHECKOUT = (ROOT / "pyproject.toml").is_file()
# Where an installation keeps what is its own, unless a setting says so: the checkout, or the folder that it is run in.
WORK_DIR = ROOT if CHECKOUT else Path.cwd()

CpuEngine = Literal["auto", "openvino", "torch"]


class Installation(BaseModel):
    """This installation"""

    home: Path = Field(WORK_DIR / ".twin", description="Folder of everything the platform writes.")
    personas_dir: Path = Field(WORK_DIR / "personas", description="One YAML file for each persona.")
    profile: str = Field(
        "pocket",
        description="`[family-]size[-method]` of training_configs/profiles.yaml, such as `llama-8b`.",
    )
    training_machine: str | None = Field(
        None, description="GPUs x GB of the machine that trains, such as `8x80`, if it is not this one."
    )
    platform: str | None = Field(
        None,
        max_length=80,
        description="Whose the things on shared servers are; drawn once, and kept in the lake, if unset.",
    )
    database_url: SecretStr | None = Field(
        None,
        description="`postgresql://user:password@host/database`, for Dagster's runs and events and for limits and "
        "places in the queue that count over replicas; if unset: SQLite under home, and each process counts for itself.",
    )
    seed: int = Field(17, description="Of what is drawn at random: splits, dataset rows, trainings, samples.")

    @field_validator("home", "personas_dir", mode="before")
    @classmethod
    def _is_the_same_wherever_a_process_runs(cls, folder: str | Path) -> Path:
        if not str(folder).strip():
            raise ValueError("it is empty: name a folder, or leave it unset")
        return Path(folder).expanduser().absolute()

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, url: SecretStr | None) -> SecretStr | None:
        if url and not url.get_secret_value().startswith("postgresql://"):
            raise ValueError("it must begin with postgresql://")
        return url


class LakeSettings(BaseModel):
    """Lake"""

    lake_url: str | None = Field(None, description="`s3://bucket/prefix`; a folder under home if unset.")
    s3_endpoint_url: str | None = Field(None, description="For S3-compatible servers.")
    s3_timeout: float = Field(
        10.0, gt=0, le=600, description="Seconds that S3 may take to answer, of each of four attempts."
    )
    ledger_hours: float = Field(
        24.0,
        gt=0,
        description="While S3 can't be read, services go on for so long with the releases that they knew last.",
    )


class IndexSettings(BaseModel):
    """Index and vectors"""

    embedder: str = Field("offline-minilm", description="`offline-minilm`, a folder, or a hub model id.")
    vector_store: Literal["lancedb", "weaviate"] = Field(
        "lancedb", description="Files under home, or a Weaviate server."
    )
    weaviate_url: str | None = Field(
        None, description="`http[s]://host:port`, `https://….weaviate.cloud`, or `embedded`."
    )
    weaviate_api_key: SecretStr | None = Field(None, description="What weaviate_url is asked with.")
    weaviate_grpc_port: int = Field(50051, description="Of a server or embedded; Weaviate Cloud has its own.")
    weaviate_collection: str = Field(
        "TwinChunk",
        pattern=r"^[A-Z][A-Za-z0-9_]{0,99}$",
        description="One for each platform on the server; begins with a capital letter.",
    )
    weaviate_sleep_days: float | None = Field(
        None,
        gt=0,
        description="A persona that nobody asked for so long leaves the server's memory; none: never.",
    )
    weaviate_sync_timeout: float = Field(
        60.0, gt=0, le=86_400, description="A sync that stored nothing for so many seconds ends."
    )
    weaviate_search_timeout: float = Field(
        2.0, gt=0, le=600, description="Seconds that the twin waits for a search; then it does without."
    )
    without_passages: Literal["write", "refuse"] = Field(
        "write",
        description="What the twin does with a piece of writing while the vector store is away; questions are refused.",
    )


class RetrievalSettings(BaseModel):
    """Retrieval"""

    reranker: str | None = Field(None, description="Cross-encoder that ranks passages: a folder or hub id.")
    planner_model: str | None = Field(
        None, description="LiteLLM name of a model that plans searches; none: rules do."
    )
    planner_url: str | None = Field(None, description="Base URL of an OpenAI-compatible planner.")
    planner_api_key: SecretStr | None = Field(None, description="What planner_url is asked with.")
    planner_max_tokens: int = Field(300, gt=0, description="What the planner may write for an answer.")
    planner_timeout: float = Field(10.0, description="Seconds, for each of the planner's answers.")


class DataWorkSettings(BaseModel):
    """Heavy data work"""

    data_runner: Literal["native", "ray"] | None = Field(
        None,
        description="Where cleaning, duplicates, embedding, the split and scoring run: this machine, or a Ray cluster (RAY_ADDRESS).",
    )


class CrawlSettings(BaseModel):
    """Collecting"""

    allow_private_hosts: bool = Field(
        False, description="Let spiders fetch loopback and private addresses (local test sites)."
    )
    linkedin_token: SecretStr | None = Field(
        None, description="For the Member Data Portability API; an export needs none."
    )
    github_token: SecretStr | None = Field(None, description="For GitHub's API.")
    gitlab_token: SecretStr | None = Field(None, description="For GitLab's API.")
    linkedin_api: str = Field("https://api.linkedin.com", description="Base URL of LinkedIn's API.")
    linkedin_version: str = Field(
        "202312",
        description="Version of LinkedIn's Member Data Portability API, as its documentation names it.",
    )
    github_api: str = Field("https://api.github.com", description="Base URL of GitHub's API.")
    gitlab_api: str = Field("https://gitlab.com/api/v4", description="Base URL of GitLab's API.")
    crawl_backoff: float = Field(
        2.0, description="Seconds before a failed request is tried again, at first; doubled each time."
    )
    crawl_hours: float = Field(
        6.0, gt=0, description="A crawl of one source that takes longer is ended; what came is kept."
    )
    crawl_concurrency: int = Field(
        2,
        description="Requests that a host is asked to answer at a time, on average. More for your own sites.",
    )


class VoiceSettings(BaseModel):
    """Voice metric"""

    impostors_dir: Path | None = Field(
        None,
        description="Folder with a folder of Markdown or plain text for each writer that voices are told from; `impostors` in the "
        "lake if unset. `twin impostors fetch` fills it.",
    )


class TeacherSettings(BaseModel):
    """Teacher"""

    teacher_model: str | None = Field(
        None, description="LiteLLM name of a model that writes instructions; none: they come from the text."
    )
    backtranslation: bool | None = Field(
        None,
        description="Without a teacher, the profile's base model writes topics and questions for the author's passages; if "
        "unset, on a GPU, or a model of up to a billion parameters on a CPU. Otherwise rules make them.",
    )
    backtranslation_passages: int = Field(
        1000,
        ge=0,
        le=1_000_000,
        description="Passages that the base model is asked about at most, each for a title and a question as the rows that "
        "stay in the dataset need them; rules make the requests of the others.",
    )
    teacher_url: str | None = Field(None, description="Base URL of an OpenAI-compatible teacher.")
    teacher_api_key: SecretStr | None = Field(None, description="What teacher_url is asked with.")
    teacher_budget_usd: float = Field(
        5.0, description="A teacher run stops before it costs more; 0 is no limit."
    )
    teacher_price_in: float | None = Field(None, description="US dollars a million prompt tokens.")
    teacher_price_out: float | None = Field(None, description="US dollars a million answer tokens.")
    teacher_max_tokens: int = Field(
        700,
        gt=0,
        description="What a teacher may write for an answer; a reasoning model thinks within it too.",
    )
    teacher_timeout: float = Field(60.0, description="Seconds, for each of its answers.")
    teacher_backoff: float = Field(
        2.0, description="Seconds before a failed request is tried again, at first; doubled each time."
    )


class JudgeSettings(BaseModel):
    """Judge"""

    judge_model: str | None = Field(
        None, description="LiteLLM name of a model that compares texts in the evaluation; none: no judge."
    )
    judge_url: str | None = Field(None, description="Base URL of an OpenAI-compatible judge.")
    judge_api_key: SecretStr | None = Field(None, description="What judge_url is asked with.")
    judge_budget_usd: float = Field(2.0, description="An evaluation stops before it costs more; 0: no limit.")
    judge_price_in: float | None = Field(None, description="US dollars a million prompt tokens.")
    judge_price_out: float | None = Field(None, description="US dollars a million answer tokens.")
    public_questions: Path | None = Field(
        None,
        description="File of public questions, one a line, which no persona can answer: how often they are declined is "
        "reported by itself.",
    )
    judge_max_tokens: int = Field(
        60, gt=0, description="What a judge may write for a verdict, its thinking included."
    )
    judge_timeout: float = Field(60.0, description="Seconds, for each of its answers.")
    judge_backoff: float = Field(
        2.0, description="Seconds before a failed request is tried again, at first; doubled each time."
    )


class SenseSettings(BaseModel):
    """Reading as language, and support of claims"""

    reference_model: str = Field(
        "smollm2-135m",
        description="Small language model that says whether a text reads as language: `smollm2-135m` (English, fetched "
        "by pip), a folder, a hub id with an optional `@revision`, or `none`.",
    )
    entailment_model: str | None = Field(
        None,
        description="Says whether passages support a claim, in place of the measure by words and meaning: a folder or hub "
        "id of a classifier of sentence pairs with a label `entailment`.",
    )


class RegistrySettings(BaseModel):
    """Hub and registry"""

    hub_namespace: str | None = Field(None, description="User or organisation on the Hugging Face Hub.")
    hub_token: SecretStr | None = Field(None, description="Account on the hub, for publishing.")
    hub_endpoint: str | None = Field(None, description="Another server with the hub's API.")

    registry_url: str | None = Field(
        None, description="`s3://bucket/prefix` that model versions are pushed to and pulled from."
    )


class TrainingStartSettings(BaseModel):
    """What is trained, and when"""

    preference_method: Literal["dpo", "kto", "orpo", "grpo"] = Field(
        "dpo",
        description="How the second stage learns: from pairs, or by `grpo` from a reward for voice; its models are named "
        "twin-<persona>-<method>.",
    )
    continued_pretraining_tokens: int = Field(
        0,
        ge=0,
        le=50_000_000,
        description="Before SFT a model reads so many tokens of the author's own documents, as they are; 0 leaves that out.",
    )
    train_min_changed_rows: float = Field(
        0.01,
        description="A new dataset version starts a training when it differs from the one trained last in this "
        "share of its rows, or from 1 up in this many. 0 trains on every version.",
    )
    train_cooldown_hours: float = Field(
        20.0,
        description="No new training sooner after the last; under a day, so that daily collecting keeps pace.",
    )
    tuned_dir: Path = Field(
        WORK_DIR / "training_configs" / "tuned",
        description="Reviewed hyperparameters, one YAML for a profile.",
    )
    hardware_usd_per_hour: float = Field(
        0.0, description="What an hour of the training machine costs; with 0, experiments carry no cost."
    )


class TrackingSettings(BaseModel):
    """Tracking"""

    wandb_mode: Literal["offline", "online", "disabled"] = Field(
        "offline", description="`online` by itself when wandb_api_key is set and this is not."
    )
    wandb_project: str = Field("llm-twin", description="Project that training runs are logged to.")
    wandb_api_key: SecretStr | None = Field(None, description="With it runs are logged online.")


# What a GPU does otherwise than a CPU; why each, in twin_assets/training/fit/gpu.py.
GpuOption = Literal["packing", "cut_cross_entropy", "liger", "lora_kernels", "fused_adamw", "compile"]


class TrainingSettings(BaseModel):
    """Where it trains"""

    training_runner: Literal["local", "kubernetes", "ray"] = Field(
        "local", description="Where Axolotl runs: this machine, a pod, or the workers of RAY_ADDRESS."
    )
    training_hours: float = Field(
        96.0, gt=0, description="A training that takes longer is ended; the next goes on from its checkpoint."
    )
    training_micro_batch: int | None = Field(
        None,
        ge=1,
        description="Rows that a device takes at once; unset, as many as keep a GPU computing and fit. A step has as many rows either way.",
    )
    training_gpu_options: list[GpuOption] = Field(
        ["packing", "cut_cross_entropy", "liger", "lora_kernels", "fused_adamw"],
        description="What a training on a GPU may use, where method, model and packages allow it; `compile` is by request only.",
    )
    training_cpu_workers: int = Field(
        1,
        ge=1,
        le=64,
        description="Processes that train together on a machine without a GPU, such as one for each socket.",
    )
    training_checkpoint_seconds: float = Field(
        60.0, description="Least time between two checkpoints; longer by itself where saving is slow."
    )
    kubernetes_image: str | None = Field(
        None, description="Holds this code and its environment; unset, that of `kubernetes_pod`."
    )
    kubernetes_pod: str | None = Field(
        None,
        description="The pod that this runs in, which the cluster tells it; training pods get its image.",
    )
    kubernetes_namespace: str = Field("default", description="Where training pods are started.")
    kubernetes_volume_claim: str | None = Field(
        None, description="The PersistentVolumeClaim that holds `home`, here and in the pod."
    )
    kubernetes_mount: Path | None = Field(
        None, description="Where the claim is mounted, here and in the pod; unset, at `home`."
    )
    kubernetes_start_minutes: float = Field(
        60.0,
        gt=0,
        description="A training pod that hasn't begun by then ends with what the cluster says of it.",
    )
    kubernetes_gpus: int = Field(1, description="Of a training pod; 0 trains on CPU.")
    kubernetes_gpu_resource: str = Field("nvidia.com/gpu", description="How the cluster names its GPUs.")
    kubernetes_requests: dict[str, str] = Field({}, description='Like {"cpu": "8", "memory": "64Gi"}.')
    kubernetes_service_account: str | None = Field(None, description="That training pods run as.")
    kubernetes_secret: str | None = Field(None, description="Its keys become the pod's environment.")
    kubernetes_node_selector: dict[str, str] = Field(
        {}, description="Labels of the nodes that train, as JSON."
    )
    kubernetes_tolerations: list[dict[str, Any]] = Field(
        [], description="Taints that training pods stand, as JSON."
    )
    kubernetes_kubeconfig: Path | None = Field(
        None, description="Inside a cluster the pod's own account is used; outside, KUBECONFIG if unset."
    )
    ray_workers: int = Field(1, description="Workers of the Ray cluster that train together.")
    ray_gpus_per_worker: int = Field(1, description="0 trains on CPU.")
    ray_cpus_per_worker: int = Field(1, description="CPUs that each of them holds.")


class ReleaseSettings(BaseModel):
    """Release"""

    approval_days: float = Field(14.0, description="An older evaluation can't be approved.")
    deploy_within_hours: float = Field(24.0, description="An older approval is not deployed.")
    release_plumbing: bool = Field(
        False,
        description="Let models of a size that only proves the plumbing (`nano`, `smoke`) be approved. What they write is noise, and is marked so.",
    )
    auto_approve: bool = Field(
        False, description="Approve what passes its gate without a person, as `automatic`."
    )
    canary_share: float = Field(
        0.0, ge=0.0, le=1.0, description="Of requests, for a new version at first; 0 deploys it at once."
    )
    canary_minutes: float = Field(30.0, description="A canary ends after so long ...")
    canary_requests: int = Field(200, description="... or after so many answers, if that is sooner.")
    watch_minutes: float = Field(
        30.0, description="For so long a deployed version is rolled back by itself when it breaks a limit."
    )
    error_limit: float = Field(
        0.05, ge=0.0, lt=1.0, description="Share of requests that may fail beyond the version before."
    )
    latency_limit: float = Field(2.0, description="Median latency allowed, times that of the version before.")


class RefreshSettings(BaseModel):
    """Refresh"""

    refresh_new_share: float = Field(
        0.1, description="New writing that asks for a rebuild, as a share of the words trained on."
    )
    refresh_age_days: float = Field(90.0, description="A model so old asks for a rebuild; 0: never by age.")
    refresh_cooldown_days: float = Field(7.0, description="No rebuild is asked for sooner after the last.")


class QuotaSettings(BaseModel):
    """Quotas of each person"""

    quota_runs_a_day: int | None = Field(
        None, ge=1, le=1_000, description="Runs that are started for one person by themselves, in 24 hours; unset: as many as come. A persona's `quotas` come first."
    )  # fmt: skip
    quota_training_hours_a_month: float | None = Field(
        None, ge=0, le=100_000, description="Hours of trainings of one person, in 30 days; then none starts by itself."
    )  # fmt: skip
    quota_dollars_a_month: float | None = Field(
        None, ge=0, le=10_000_000, description="US dollars for trainings and teachers of one person, in 30 days; then nothing starts by itself."
    )  # fmt: skip


class AlertSettings(BaseModel):
    """Alerts"""

    alert_webhook_url: SecretStr | None = Field(None, description="Gets alerts as JSON.")
    alert_slack_url: SecretStr | None = Field(None, description="A Slack incoming webhook.")
    alert_email_to: list[str] = Field([], description='Like ["ada@example.org"].')
    alert_urls: list[SecretStr] = Field(
        [],
        description='Addresses of Apprise, like ["ntfy://topic", "discord://id/token"]: a hundred services.',
    )
    alert_cost_factor: float = Field(
        3.0, description="A day that costs so many times the median of the days before is alerted of ..."
    )
    alert_cost_usd: float = Field(1.0, description="... if that is at least so many US dollars more.")
    smtp_host: str = Field("localhost", description="Mail server that alerts go through.")
    smtp_port: int = Field(587, description="Its port.")
    smtp_user: str | None = Field(None, description="Account there; none: no login.")
    smtp_password: SecretStr | None = Field(None, description="Its password.")
    smtp_from: str | None = Field(None, description="The first of alert_email_to if unset.")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="TLS after a greeting in the clear, from the first byte, or never."
    )
    replay_now: datetime | None = Field(
        None, description="Taken for the present by drift, refresh and alerts: for replays only."
    )


class EngineSettings(BaseModel):
    """Engine and fallback"""

    llm_url: str = Field("http://127.0.0.1:3001/v1", description="OpenAI-compatible LLM service.")
    llm_model: str | None = Field(None, description="LiteLLM model name when llm_url is not our own.")
    llm_api_key: SecretStr | None = Field(
        None,
        description="What llm_url is asked with; our own LLM service asks for it, or answers this machine only.",
    )
    llm_price_in: float | None = Field(
        None,
        description="US dollars a million prompt tokens of a hosted llm_model; LiteLLM's table if unset.",
    )
    llm_price_out: float | None = Field(None, description="US dollars a million answer tokens.")
    llm_usd_per_hour: float | None = Field(
        None, description="What an hour of the machine that answers costs; hardware_usd_per_hour if unset."
    )
    llm_timeout: float = Field(120.0, description="Seconds until an engine that says nothing is given up.")
    llm_batch: int = Field(
        24,
        description="Texts that one model writes at once; two CPU cores gain nothing from more, a GPU does.",
    )
    cpu_engine: CpuEngine = Field(
        "auto",
        description="What writes where there is no GPU: OpenVINO, or torch, which auto takes for models that OpenVINO can't.",
    )
    cpu_weights: Literal["model", "int8"] = Field(
        "model",
        description="What OpenVINO has a base's weights in: the model's own precision, or 8 bits, half of bfloat16's memory. "
        "Adapters stay as they are.",
    )
    cpu_merged_gb: float = Field(
        0.0,
        ge=0,
        description="Memory, in GB, that a copy of a base may take into which an adapter is merged while it writes alone: it then "
        "computes what a whole model does, and a seed's text may turn where it comes in. With OpenVINO; 0 for no copy.",
    )
    llm_waiting: int = Field(64, description="Requests that may wait for one model; the next is told 503.")
    twin_workers: int = Field(
        1,
        description="Processes of the TwinService; limits are counted in each, unless there is `TWIN_DATABASE_URL`. The LLM service has one.",
    )
    vllm_url: str | None = Field(
        None,
        description="A running vLLM server with LoRA and runtime updating, on which the LLM service loads the adapters that "
        "the ledger names.",
    )
    vllm_api_key: SecretStr | None = Field(None, description="What vllm_url is asked with.")
    vllm_command: str | None = Field(
        None,
        description="Starts such a server beneath the LLM service in place of vllm_url; {model}, {port} and {rank} are filled "
        "in: `vllm serve {model} --host 127.0.0.1 --port {port} --enable-lora --max-lora-rank {rank}`.",
    )
    fallback_model: str | None = Field(
        None, description="LiteLLM name of a stronger model that writes when the engine is down; none: 503."
    )
    fallback_url: str | None = Field(None, description="Base URL of an OpenAI-compatible one.")
    fallback_api_key: SecretStr | None = Field(None, description="What fallback_url is asked with.")
    fallback_beyond: bool = Field(
        False,
        description="Let it also answer, unsupported, what the twin would decline for want of passages.",
    )
    fallback_budget_usd: float = Field(
        1.0, description="A day, for each process: then it is as if there were none. 0 is no limit."
    )
    fallback_price_in: float | None = Field(None, description="US dollars a million prompt tokens.")
    fallback_price_out: float | None = Field(None, description="US dollars a million answer tokens.")
    fallback_timeout: float = Field(60.0, description="Seconds, for each of its answers.")


class PortSettings(BaseModel):
    """Ports and metrics"""

    llm_port: int = Field(3001, description="Of the LLM service that `twin up` starts.")
    twin_port: int = Field(3000, description="Of the twin's API and web page.")
    dagster_port: int = Field(3070, description="Of Dagster's web page.")
    dagster_url: str | None = Field(None, description="Of Dagster's webserver; on this machine if unset.")
    metrics_host: str = Field(
        "127.0.0.1", description="Address that metrics are served on; Prometheus must reach it, nobody else."
    )
    twin_metrics_port: int | None = Field(
        None, ge=1, le=65535, description="Of the TwinService's Prometheus metrics; none are served if unset."
    )
    llm_metrics_port: int | None = Field(None, ge=1, le=65535, description="The same of the LLM service.")
    ui_password: SecretStr | None = Field(None, description="Closes the web page and the twin's API.")


class MonitoringSettings(BaseModel):
    """Monitoring"""

    monitor_sample_per_hour: int = Field(
        30,
        ge=1,
        description="Requests of an hour and model version whose groundedness and voice are measured.",
    )
    toxicity_model: str | None = Field(
        None, description="A text classifier, folder or hub id, that flags abuse; a short word list if unset."
    )
    runs_kept_days: int = Field(
        90,
        ge=31,
        le=36_500,
        description="Dagster keeps a run so long, and longer where it made the newest of something, a dataset, model, evaluation "
        "or release. Quotas count a month of them.",
    )
    draft_days: int = Field(
        0, ge=0, description="A draft that nobody has changed for so many days is deleted; 0: never."
    )
    traces_url: str | None = Field(
        None,
        description="Address of OTLP over HTTP, like http://127.0.0.1:4318, that both services send spans of each request to.",
    )
    traces_headers: dict[str, SecretStr] = Field(
        {}, description='What traces_url is sent with, like {"Authorization": "Basic ..."}.'
    )
    traces_texts: bool = Field(
        False,
        description="Let spans hold what was asked and written, of personas whose `log_text` is `kept`. What was sent is "
        "erased where it was sent to.",
    )


class PublishingSettings(BaseModel):
    """Publishing"""

    publishing: SecretStr | None = Field(
        None,
        description="Accounts that texts are posted with, by persona, as JSON with their tokens: docs/publishing.md.",
    )
    x_api: str = Field("https://api.x.com", description="Base URL of X's API, that texts are posted with.")
    linkedin_posts_version: str = Field(
        "202601", description="Version of LinkedIn's Posts API (YYYYMM), as its documentation names it."
    )


class AccessSettings(BaseModel):
    """Access and limits"""

    allow_anonymous: bool = Field(
        False,
        description="Without keys and password, answer whoever reaches the service, not this machine only.",
    )
    allowed_hosts: list[str] = Field(
        [],
        description="Names by which Dagster and the LLM service may be asked besides localhost and addresses, like "
        '["llm", "dagster.example.org"].',
    )
    local_audience: Literal["public", "connections", "private"] = Field(
        "public",
        description="What this machine sees while there are neither keys nor password: public, connections, or "
        "private for all. A key says its own, and a login sees all.",
    )
    rate_per_minute: float = Field(120.0, description="Requests of one API key; 0 is no limit.")
    rate_per_minute_address: float = Field(
        600.0, description="Requests to /v1 from one address; 0: no limit."
    )
    max_request_bytes: int = Field(
        1_000_000, description="That a request's body may have, an upload's apart; then 413."
    )
    max_body_seconds: float = Field(
        15.0, gt=0, description="Within which a request's body must have come, an upload's apart; then 408."
    )
    upload_max_mb: int = Field(500, ge=1, description="MB that an export uploaded on the page may have.")
    max_running: int = Field(
        16,
        description="Requests that are answered at once, those of one caller at most three quarters of them; fewer "
        "than 40 threads serve.",
    )
    max_waiting: int = Field(64, description="Requests that may wait for one of those places.")
    max_wait_seconds: float = Field(30.0, description="That a request waits for one of them; then 503.")
    cors_origins: list[str] = Field(
        [], description='Sites whose pages may ask, like ["https://example.org"].'
    )
    link_private_hosts: bool = Field(
        False, description="Let links in requests lead to private addresses: for tests, never for strangers."
    )


class Settings(
    Installation,
    LakeSettings,
    IndexSettings,
    RetrievalSettings,
    DataWorkSettings,
    CrawlSettings,
    VoiceSettings,
    TeacherSettings,
    JudgeSettings,
    SenseSettings,
    RegistrySettings,
    TrainingStartSettings,
    TrackingSettings,
    TrainingSettings,
    ReleaseSettings,
    RefreshSettings,
    QuotaSettings,
    AlertSettings,
    EngineSettings,
    PortSettings,
    MonitoringSettings,
    PublishingSettings,
    AccessSettings,
    BaseSettings,
):
    """Settings of one installation, by part. Defaults run everything on one laptop without an account."""

    model_config = SettingsConfigDict(env_prefix="TWIN_", env_file=".env", extra="ignore")

    @model_validator(mode="after")
    def _a_key_is_there_to_be_used(self) -> "Settings":
        if self.wandb_api_key and "wandb_mode" not in self.model_fields_set:
            self.wandb_mode = "online"
        return self

    @property
    def now(self) -> datetime:
        """The present in UTC, or that of a replay."""
        return self.replay_now or datetime.now(UTC)

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


def settings_parts() -> list[type[BaseModel]]:
    """The parts of Settings in their order; the docstring of each is its title."""
    return [part for part in Settings.__bases__ if part is not BaseSettings]
