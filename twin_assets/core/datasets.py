"""Dataset versions: immutable folders in the lake, named by their content hash.

A version holds `train.jsonl`, `test.jsonl`, `manifest.json` and a readable `README.md`: a dataset card with
which Hugging Face `datasets` loads the folder, and nested `subsets/` of the training side by size.
The same rows and parents give the same version on every machine: the hash covers rows and what they
were made from, never times or paths.
"""

import json
from collections import Counter, defaultdict
from typing import Any, Literal

from twin_assets.core.hashing import fingerprint, text_hash
from twin_assets.core.lake import Lake
from twin_assets.core.records import Message, Record, Split, Visibility

Kind = Literal["instruct", "preference"]
# What a preference pair teaches: to sound like the author, to decline, to keep to the passages; or what people who
# used the twin would rather have read, which alone is not the author's own text.
PairKind = Literal["voice", "refusal", "grounding", "feedback"]


class InstructRow(Record):
    """A conversation that ends with the author's own text."""

    row_id: str
    doc_id: str
    task: str
    split: Split
    messages: list[Message]


class PreferenceRow(Record):
    """A prompt with the author's own text (chosen; of kind `feedback` a reviewed one) and a model's (rejected). `kind` is
    what the pair teaches."""

    row_id: str
    doc_id: str | None
    task: str
    kind: PairKind = "voice"
    split: Split
    messages: list[Message]
    chosen: Message
    rejected: Message


class Manifest(Record):
    """What a dataset version is made of. `dropped` counts rows by reason, `kinds` preference rows by kind."""

    persona: str
    kind: Kind
    version: str
    parents: dict[str, str]
    prompts: str
    counts: dict[str, int]
    tasks: dict[str, int]
    dropped: dict[str, int]
    seed: int
    license: str
    visibility: Visibility
    subsets: dict[str, int] = {}
    kinds: dict[str, int] = {}


Row = InstructRow | PreferenceRow
# Sizes of the training side beside all of it, to see what more data is worth.
SUBSETS = {"1k": 1_000, "5k": 5_000}


def write_dataset(
    lake: Lake,
    persona: str,
    kind: Kind,
    rows: list[Any],
    *,
    parents: dict[str, str],
    prompts: str,
    dropped: dict[str, int],
    seed: int,
    license: str,
    visibility: Visibility,
    summary: str,
) -> Manifest:
    """Store rows as a version (once) and point `latest.json` to it. Returns the manifest."""  # fmt: skip
    sides = {
        "train": [r for r in rows if r.split == "train"],
        "test": [r for r in rows if r.split == "heldout"],
    }
    files = {f"{side}.jsonl": _jsonl(kept) for side, kept in sides.items()}
    subsets = {name: n for name, n in SUBSETS.items() if n < len(sides["train"])}
    version = _version({name: data.decode() for name, data in files.items()}, parents, prompts, seed)
    tasks = Counter(row.task for row in rows)
    kinds = Counter(row.kind for row in rows if isinstance(row, PreferenceRow))
    manifest = Manifest(
        persona=persona, kind=kind, version=version, parents=parents, prompts=prompts,
        counts={side: len(kept) for side, kept in sides.items()}, tasks=dict(sorted(tasks.items())),
        dropped=dict(sorted(dropped.items())), seed=seed, license=license, visibility=visibility,
        subsets=subsets, kinds=dict(sorted(kinds.items())),
    )  # fmt: skip
    ordered = nested_order(sides["train"]) if subsets else []
    files |= {f"subsets/{name}.jsonl": _jsonl(ordered[:n]) for name, n in subsets.items()}
    folder = dataset_folder(persona, kind, version)
    files["README.md"] = _card(manifest, summary).encode()
    for name, data in files.items():
        lake.write(f"{folder}/{name}", data)
    # The manifest comes last: a version without one was never finished.
    lake.write(f"{folder}/manifest.json", manifest.model_dump_json(indent=2).encode())
    lake.write(f"datasets/{persona}/{kind}/latest.json", json.dumps({"version": version}).encode())
    return manifest


def stored_version(lake: Lake, manifest: Manifest) -> str:
    """The version that the stored files have now; another than the manifest's when they were changed."""
    folder = dataset_folder(manifest.persona, manifest.kind, manifest.version)
    files = {name: lake.read(f"{folder}/{name}").decode() for name in ("train.jsonl", "test.jsonl")}
    return _version(files, manifest.parents, manifest.prompts, manifest.seed)


def group_of(row: Row) -> str:
    """What a row counts as where shares are set: its kind for a preference row, its task for an instruct row."""
    return row.kind if isinstance(row, PreferenceRow) else row.task


def latest_version(lake: Lake, persona: str, kind: Kind) -> str | None:
    """The version that was written last; None before the first."""
    try:
        return str(json.loads(lake.read(f"datasets/{persona}/{kind}/latest.json"))["version"])
    except KeyError:
        return None


def nested_order(rows: list[Any]) -> list[Any]:
    """Rows in an order of which every beginning holds the groups in about the shares of the whole.

    So subsets by size are stratified, and the smaller is part of the larger.
    """
    groups: dict[str, list[Any]] = defaultdict(list)
    for row in sorted(rows, key=lambda r: text_hash(r.row_id)):
        groups[group_of(row)].append(row)
    placed = [
        ((rank + 0.5) / len(these), group_of(row), row.row_id, row)
        for these in groups.values()
        for rank, row in enumerate(these)
    ]
    return [row for *_, row in sorted(placed, key=lambda entry: entry[:3])]


def read_manifest(lake: Lake, persona: str, kind: Kind, version: str) -> Manifest:
    """The manifest of a version; raises KeyError when there is no such finished version."""
    return Manifest.model_validate_json(lake.read(f"{dataset_folder(persona, kind, version)}/manifest.json"))


def read_rows(
    lake: Lake, persona: str, kind: Kind, version: str, side: Literal["train", "test"]
) -> list[Any]:
    """Rows of one side of a version, in their stored order."""
    data = lake.read(f"{dataset_folder(persona, kind, version)}/{side}.jsonl").decode()
    row = InstructRow if kind == "instruct" else PreferenceRow
    return [row.model_validate_json(line) for line in data.split("\n") if line]


def dataset_folder(persona: str, kind: Kind, version: str) -> str:
    """Lake prefix of a version."""
    return f"datasets/{persona}/{kind}/{version}"


def _version(files: dict[str, str], parents: dict[str, str], prompts: str, seed: int) -> str:
    return fingerprint([files, parents, prompts, seed])


def _jsonl(rows: list[Any]) -> bytes:
    return "".join(row.model_dump_json() + "\n" for row in rows).encode()


def _configs(manifest: Manifest) -> list[str]:
    """What `datasets.load_dataset` reads: https://huggingface.co/docs/hub/datasets-manual-configuration"""
    names = {"default": "train.jsonl"} | {name: f"subsets/{name}.jsonl" for name in manifest.subsets}
    sides = {"test": "test.jsonl"} if manifest.counts.get("test") else {}
    lines = []
    for name, train in names.items():
        lines += [f"- config_name: '{name}'", "  data_files:"]
        for side, path in ({"train": train} | sides).items():
            lines += [f"  - split: {side}", f"    path: {path}"]
    return lines


def _kinds_table(manifest: Manifest) -> list[str]:
    return ["| kind | rows |", "|---|---|", *(f"| {kind} | {n} |" for kind, n in manifest.kinds.items()), ""]


def _card(manifest: Manifest, summary: str) -> str:
    lines = [
        "---",
        f"license: {manifest.license}",
        f"tags: [llm-twin, {manifest.kind}]",
        "configs:",
        *_configs(manifest),
        "---",
        f"# {manifest.kind.title()} dataset of {manifest.persona}, version {manifest.version}",
        "",
        summary,
        "",
        "| side | rows |",
        "|---|---|",
        *(f"| {side} | {n} |" for side, n in manifest.counts.items()),
        "",
        "| task | rows |",
        "|---|---|",
        *(f"| {task} | {n} |" for task, n in manifest.tasks.items()),
        "",
        *(_kinds_table(manifest) if manifest.kinds else []),
        "| dropped because | rows |",
        "|---|---|",
        *(f"| {reason} | {n} |" for reason, n in manifest.dropped.items()),
        "",
        f"Parents: {manifest.parents}. Prompts: {manifest.prompts}. Seed: {manifest.seed}. "
        f"Visibility: {manifest.visibility}.",
        "",
    ]
    return "\n".join(lines)
