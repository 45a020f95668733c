"""What is done with models and data as such: estimate, rebuild, export, erase."""

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from twin_assets.cli.base import AsJson, ModelTag, PersonaName, TellsErrors, command, group, read_settings
from twin_assets.core.errors import TwinError

if TYPE_CHECKING:
    from twin_assets.core.models.version import ModelVersion
    from twin_assets.export.export import JudgeExport
    from twin_assets.settings import Settings
    from twin_assets.training.configs.overlays import TrainingStage
    from twin_assets.training.fit.machine import Machine


class _VersionFirst(TellsErrors):
    """`twin export VERSION` is `twin export version VERSION`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        is_version = args and args[0] not in self.commands and not args[0].startswith("-")
        return super().resolve_command(ctx, ["version", *args] if is_version else args)


export = group("Copies a model version, or a dataset version, into a folder of yours.", _VersionFirst)

NewFolder = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER", help="Where to; it is made, and must be empty if it is there.", file_okay=False
    ),
]


def add_to(app: typer.Typer, panel: str) -> None:
    """Add these commands to the whole."""
    command(app, "twin estimate", "twin estimate --gpu 1x24 --gpu 8x80 --json", panel=panel)(estimate)
    command(app, "twin rebuild twin-ada-sft:3697026479c7", panel=panel)(rebuild)
    command(app, "TWIN_EMBEDDER=BAAI/bge-small-en-v1.5 twin calibrate notes/", panel=panel)(calibrate)
    app.add_typer(export, name="export", rich_help_panel=panel)
    command(
        app,
        "twin erase ada --request 3f2a9c0d",
        "twin erase ada --key 0a1b2c3d4e5f --user ann@example.org",
        "twin erase ada --texts-older-than 30",
        "twin erase ada --document 3f2a9c0d1e4b5a69",
        panel=panel,
    )(erase)


def estimate(
    gpu: Annotated[
        list[str] | None,
        typer.Option(
            help="GPUs x GB of a machine, such as 8x80 or 1x24:4090; may be repeated. This one without it."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Says what each profile needs to train, in memory and minutes, and whether it fits."""
    from twin_assets.training.fit.estimate import table
    from twin_assets.training.fit.machine import parse_machine, training_machine

    settings = read_settings()
    method = settings.preference_method
    machines = [parse_machine(text) for text in gpu] if gpu else [training_machine(settings)]
    if as_json:
        typer.echo(json.dumps([_estimates(machine, method) for machine in machines], indent=2))
    else:
        typer.echo("\n\n".join(table(machine, method) for machine in machines))


def _estimates(machine: "Machine", method: "TrainingStage") -> dict[str, Any]:
    from twin_assets.core.models.profiles import load_profile, profile_names
    from twin_assets.training.fit.estimate import problem_of, profile_estimates

    told = {}
    for profile in map(load_profile, profile_names()):
        if estimates := profile_estimates(profile, machine, method):
            stages = {stage: needed.facts() for stage, needed in estimates.items()}
            told[profile.name] = stages | {"problem": problem_of(profile, estimates, machine)}
    return {"machine": str(machine), "gpus": machine.gpus, "memory_bytes": machine.memory, "profiles": told}


def calibrate(
    folder: Annotated[
        Path, typer.Argument(help="A folder of Markdown of the kind that is collected.", file_okay=False)
    ],
) -> None:
    """Finds the thresholds of TWIN_EMBEDDER, once for an embedder that the platform doesn't know, and keeps them in the lake."""
    from twin_assets.core.embedding.calibrate import calibrate_folder
    from twin_assets.core.embedding.thresholds import OFFLINE_MINILM

    calibration = calibrate_folder(read_settings(), folder)
    typer.echo(f"{calibration.embedder}, by {calibration.pairs} pairs of texts:")
    for name, value in calibration.thresholds:
        typer.echo(f"  {name:18}{value:.3f}  (offline-minilm: {getattr(OFFLINE_MINILM, name):.3f})")


def rebuild(tag: ModelTag) -> None:
    """Trains a version again from its inputs and compares, as JSON. Exit status 1: another model came of them."""
    from twin_assets.core.storage.lake import open_lake
    from twin_assets.training.rebuild import rebuild as train_again

    settings = read_settings()
    made = train_again(settings, open_lake(settings), tag)
    typer.echo(made.model_dump_json(indent=2))
    if not made.same:
        raise TwinError(f"Another model came of the inputs of {tag}.", "see the comparison above.")


@command(
    export,
    "twin export version ada --format gguf --quantize q8_0 --to ~/ada-gguf",
    "twin export version twin-ada-dpo:f3a1d279f275 --format merged --to ~/ada-model",
    "twin export version ada --format adapter --to ~/ada-adapter",
    name="version",
)
def export_version(
    version: Annotated[
        str, typer.Argument(help="A model version; or a persona, for what it has in production.")
    ],
    to: Annotated[
        Path, typer.Option("--to", metavar="FOLDER", help="A folder that is not there yet.", file_okay=False)
    ],
    format: Annotated[
        Literal["gguf", "merged", "adapter"],
        typer.Option(
            help="For llama.cpp and Ollama; whole weights for transformers; or only the LoRA adapter."
        ),
    ] = "gguf",
    quantize: Annotated[
        Literal["f16", "q8_0", "q4_0", "q4_1", "q4_k_m"],
        typer.Option(help="Of a GGUF file; q4_k_m needs llama.cpp's quantiser or llama-cpp-python."),
    ] = "q8_0",
    judge: Annotated[
        bool,
        typer.Option("--judge/--no-judge", help="Measure what voice and sense a GGUF file lost."),
    ] = True,
    texts: Annotated[
        int, typer.Option(min=4, max=24, help="That are written to judge by: fewer are sooner, and say less.")
    ] = 24,
    minutes: Annotated[
        float,
        typer.Option(
            min=0.1,
            max=1440,
            help="That judging may read and write for; a slow machine judges by fewer texts then, by 4 at least.",
        ),
    ] = 15,
) -> None:
    """Writes a version for other programs: a GGUF file with Ollama's Modelfile, whole weights, or its adapter.

    The card beside it says what the quantisation lost. The folder appears whole, or not at all. `twin export VERSION` is
    short for `twin export version VERSION`.
    """
    from twin_assets.core.models.whole import whole_folder
    from twin_assets.core.persona.definition import load_persona
    from twin_assets.core.prompts.templates import system_message
    from twin_assets.export.export import export_version as write_version
    from twin_assets.export.export import refuse_full

    settings = read_settings()
    chosen = _version_of(settings, version)
    name = chosen.lineage.persona
    system = system_message(load_persona(settings.personas_dir, name)).content if name != "shared" else None
    refuse_full(to)
    whole = chosen.path if format == "adapter" else whole_folder(settings, chosen)
    judged = _judge(settings, chosen, texts, minutes) if judge else None
    folder = write_version(chosen, whole, to, format, quantize, system, judged)
    _tell(folder, chosen)


def _version_of(settings: "Settings", name: str) -> "ModelVersion":
    """The version of a tag, or what the persona of that name has in production."""
    from twin_assets.core.models.registry import Registry
    from twin_assets.core.persona.definition import persona_names
    from twin_assets.core.release.ledger import Ledger
    from twin_assets.core.storage.lake import open_lake

    if name in persona_names(settings.personas_dir):
        production = Ledger(open_lake(settings), name).production()
        if production is None:
            raise TwinError(
                f"{name} has nothing in production.", "name a version; `twin registry show` lists them."
            )
        name = production
    return Registry(settings).get(name)


def _judge(settings: "Settings", version: "ModelVersion", texts: int, minutes: float) -> "JudgeExport":
    """Judges by the persona's held-out writing, and says as it goes what it does."""
    from twin_assets.export.judge import ExportVerdict, judge_export
    from twin_assets.export.measures import open_measures
    from twin_assets.export.readers import TransformersReader, open_reader

    def judge(file: Path, folder: Path) -> ExportVerdict | str:
        from transformers import AutoTokenizer

        from twin_assets.core.storage.lake import open_lake

        if version.lineage.persona == "shared":
            return "a base model has nobody's voice"
        typer.echo(f"{file.name} is written; what it is judged by is opened", err=True)
        try:
            measures = open_measures(settings, open_lake(settings), version)
            with closing(TransformersReader(folder)) as ours, closing(open_reader(file, folder)) as theirs:
                tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
                return judge_export(
                    ours, theirs, tokenizer, measures, lambda said: typer.echo(said, err=True), texts, minutes
                )
        except TwinError as error:
            typer.echo(f"not judged: {error}", err=True)
            return error.problem.rstrip(".")

    return judge


@command(export, "twin export model twin-ada-dpo:f3a1d279f275 ~/ada-model", name="model")
def export_model(tag: ModelTag, folder: NewFolder) -> None:
    """Is `twin export version --format merged` with the adapter, configuration and record beside the whole weights.

    Transformers and every engine load the folder as it is. docs/registry.md says what each file is.
    """
    from twin_assets.core.models.registry import Registry
    from twin_assets.core.models.whole import whole_folder
    from twin_assets.export.export import export_version as write_version
    from twin_assets.export.export import refuse_full

    settings = read_settings()
    version = Registry(settings).get(tag)
    refuse_full(folder)
    write_version(version, whole_folder(settings, version), folder, "merged", beside=True)
    _tell(folder, version)


@command(export, "twin export bento ada ~/ada-bento", name="bento")
def export_bento(persona: PersonaName, folder: NewFolder) -> None:
    """Builds a bento of the LLM service that contains what the persona has in production, an adapter with its base.

    It serves this version wherever it is brought, without the lake and the registry. Nobody's settings or secrets are in it.
    """
    from twin_assets.core.models.registry import Registry
    from twin_assets.core.models.version import closed_rows
    from twin_assets.core.persona.definition import load_persona
    from twin_assets.core.release.ledger import Ledger
    from twin_assets.core.storage.lake import open_lake
    from twin_assets.export.bento import export_bento as build

    settings = read_settings()
    load_persona(settings.personas_dir, persona)
    released = Ledger(open_lake(settings), persona).production()
    if released is None:
        raise TwinError(
            f"{persona} has nothing in production.",
            f"approve an evaluated candidate; `twin release show {persona}` says what waits.",
        )
    version, folder = Registry(settings).get(released), folder.absolute()  # BentoML finds no other
    tag = build(settings, version, folder)
    _tell(folder, version)
    if closed := closed_rows(version.about.learnt_from, "public"):
        typer.echo(f"it learnt from {closed}, and may repeat them to whoever it serves")
    typer.echo(f"serve it    TWIN_LLM_API_KEY=… bentoml serve {folder}")
    typer.echo(f"an image    docker build -t {tag} -f {folder}/env/docker/Dockerfile {folder}")


def _tell(folder: Path, version: "ModelVersion") -> None:
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    typer.echo(f"{folder}  {version.tag}, {size / 1e6:.1f} MB, for {version.about.visibility} use")


@command(
    export,
    "twin export dataset ada ~/ada-data",
    "twin export dataset ada ~/ada-pairs --kind preference",
    name="dataset",
)
def export_dataset(
    persona: PersonaName,
    folder: NewFolder,
    kind: Annotated[
        Literal["instruct", "preference"], typer.Option(help="Which of the two datasets.")
    ] = "instruct",
    version: Annotated[str | None, typer.Option(help="Its hash; the newest without it.")] = None,
) -> None:
    """Copies a dataset version: rows as JSON lines, manifest, and the card with which Hugging Face `datasets` loads it."""
    from twin_assets.core.datasets.erasure import erase_rows
    from twin_assets.core.datasets.rows import dataset_folder
    from twin_assets.core.datasets.store import latest_version, read_manifest
    from twin_assets.core.storage.lake import open_lake
    from twin_assets.export.export import refuse_full

    lake = open_lake(read_settings())
    chosen = version or latest_version(lake, persona, kind)
    try:
        manifest = read_manifest(lake, persona, kind, chosen or "")
    except KeyError:
        raise TwinError(
            f"{persona} has no {kind} dataset {chosen or ''}".rstrip() + ".",
            f"make it with `twin run {persona}`, or leave out --version for the newest.",
        ) from None
    refuse_full(folder)
    erase_rows(lake, persona, kind)  # an erasure that broke off may have left some in the files
    prefix = dataset_folder(persona, kind, manifest.version)
    for key in lake.keys(prefix):
        path = folder / key.removeprefix(f"{prefix}/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(lake.read(key))
    typer.echo(f"{folder}  version {manifest.version}, {manifest.counts}, for {manifest.visibility} use")


def erase(
    persona: PersonaName,
    request: Annotated[str | None, typer.Option(help="Id of a request, as X-Request-ID had it.")] = None,
    document: Annotated[
        str | None, typer.Option(metavar="DOC_ID", help="One document, from raw to index, for good.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="Id of the API key that asked, or `page`, `this machine`, `anyone`.")
    ] = None,
    user: Annotated[
        str | None, typer.Option(help="The `user` that the key's requests named; needs --key.")
    ] = None,
    texts_older_than: Annotated[
        int | None,
        typer.Option(metavar="DAYS", min=0, max=36_500, help="Remove only the texts, and keep the counts."),
    ] = None,
) -> None:
    """Erases requests, or a document, from every place that keeps them, and says as JSON what is gone.

    Models that had learnt from it are named: weights forget nothing. docs/monitoring.md lists the places.
    """
    from twin_assets.core.storage.lake import open_lake
    from twin_assets.inference.twin.request_log import user_hash
    from twin_assets.inference.twin.threads.removal import remove_turns
    from twin_assets.monitoring import erasure

    requests = request or key or user
    if sum(given is not None for given in (texts_older_than, document, requests)) != 1:
        raise typer.BadParameter(
            "give one of --request, --document, --texts-older-than, or --key (with --user, its requests of that user)"
        )
    if user and not key:
        raise typer.BadParameter("a user is known within a key: give --key too", param_hint="--user")
    settings = read_settings()
    lake = open_lake(settings)
    if texts_older_than is not None:
        removed = erasure.remove_texts(lake, persona, texts_older_than)
        turns = remove_turns(lake, persona, datetime.now(UTC) - timedelta(days=texts_older_than))
        typer.echo(json.dumps({"texts_removed_from_rows": removed, "turns_removed_from_threads": turns}))
    elif document:
        typer.echo(erasure.erase_document(settings, lake, persona, document).model_dump_json())
    else:
        hashed = user_hash(key, user) if key and user else None
        typer.echo(erasure.erase(settings, lake, persona, request, hashed, key).model_dump_json())
