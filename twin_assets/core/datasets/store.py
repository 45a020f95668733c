"""Dataset versions: immutable folders in the lake, named by their content hash.

A version holds `train.jsonl`, `test.jsonl`, where there are single thumbs `thumbs.jsonl`, where documents are to be read before SFT
`documents.jsonl`, `manifest.json` and a readable `README.md`: a dataset card with
which Hugging Face `datasets` loads the folder, and nested `subsets/` of the training side by size.
The same rows and parents give the same version on every machine: the hash covers rows and what they
were made from, never times or paths. Every row says who may see it, and a version is as closed as its most closed row.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, get_args

from twin_assets.core.datasets.erasure import erase_rows
from twin_assets.core.datasets.rows import (
    DOCUMENTS,
    THUMBS,
    InstructRow,
    Kind,
    Manifest,
    PreferenceRow,
    Side,
    StoredRow,
    ThumbRow,
    dataset_folder,
    group_of,
)
from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import fingerprint, text_hash
from twin_assets.core.records import Visibility, may_see, most_closed
from twin_assets.core.storage.erased import erased_list
from twin_assets.core.storage.lake import Lake
from twin_assets.core.templates import render

_PUBLIC = ',"visibility":"public"}'  # how a public row's line ends: the field is the last one
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
    thumbs: Sequence[ThumbRow] = (),
    documents: Sequence[InstructRow] = (),
) -> Manifest:
    """Store rows as a version (once) and point `latest.json` to it, `thumbs` and `documents` in files of their own. Returns the manifest.

    `visibility` is the persona's own. A version with more closed rows is as closed as those.
    """
    rows = _not_erased(lake, persona, rows)
    others = {
        THUMBS: _not_erased(lake, persona, list(thumbs)),
        DOCUMENTS: _not_erased(lake, persona, list(documents)),
    }
    sides = {
        "train": [r for r in rows if r.split == "train"],
        "test": [r for r in rows if r.split == "heldout"],
    } | {side: side_rows for side, side_rows in others.items() if side_rows}
    stored = [row for side_rows in sides.values() for row in side_rows]
    files = {f"{side}.jsonl": _jsonl(side_rows) for side, side_rows in sides.items()}
    subsets = {name: n for name, n in SUBSETS.items() if n < len(sides["train"])}
    version = _version({name: data.decode() for name, data in files.items()}, parents, prompts, seed)
    tasks = Counter(row.task for row in rows)
    kinds = Counter(row.kind for row in rows if isinstance(row, PreferenceRow))
    manifest = Manifest(
        persona=persona,
        kind=kind,
        version=version,
        parents=parents,
        prompts=prompts,
        counts={side: len(side_rows) for side, side_rows in sides.items()},
        tasks=dict(sorted(tasks.items())),
        dropped=dict(sorted(dropped.items())),
        seed=seed,
        license=license,
        visibility=most_closed([visibility, *(row.visibility for row in stored)]),
        subsets=subsets,
        kinds=dict(sorted(kinds.items())),
        declared=visibility,
        visibilities=dict(sorted(Counter(row.visibility for row in stored).items())),
    )
    ordered = nested_order(sides["train"]) if subsets else []
    files |= {f"subsets/{name}.jsonl": _jsonl(ordered[:n]) for name, n in subsets.items()}
    folder = dataset_folder(persona, kind, version)
    files["README.md"] = render("core/datasets/card.md", manifest=manifest, summary=summary).encode()
    for name, data in files.items():
        lake.write(f"{folder}/{name}", data)
    # The manifest comes last: a version without one was never finished.
    lake.write(f"{folder}/manifest.json", manifest.model_dump_json(indent=2).encode())
    if len(_not_erased(lake, persona, stored)) < len(stored):  # erased while this was written
        erase_rows(lake, persona, kind)
    lake.write(f"datasets/{persona}/{kind}/latest.json", json.dumps({"version": version}).encode())
    return manifest


def _not_erased(lake: Lake, persona: str, rows: list[Any]) -> list[Any]:
    erased = erased_list(lake, persona)
    return [row for row in rows if row.row_id not in erased.rows and row.doc_id not in erased.documents]


def stored_version(lake: Lake, manifest: Manifest) -> str:
    """The version that the stored files have now; another than the manifest's when they were changed."""
    folder = dataset_folder(manifest.persona, manifest.kind, manifest.version)
    sides = ["train", "test", *(side for side in (THUMBS, DOCUMENTS) if side in manifest.counts)]
    files = {f"{side}.jsonl": lake.read(f"{folder}/{side}.jsonl").decode() for side in sides}
    return _version(files, manifest.parents, manifest.prompts, manifest.seed)


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


def read_rows(lake: Lake, persona: str, kind: Kind, version: str, side: Side) -> list[Any]:
    """Rows of one side of a version, in their stored order; no thumbs and no documents where it has none.
    Those of versions from before rows had a visibility have the version's."""
    try:
        data = lake.read(f"{dataset_folder(persona, kind, version)}/{side}.jsonl").decode()
    except KeyError:
        if side not in (THUMBS, DOCUMENTS):
            raise
        return []
    row: type[StoredRow] = (
        ThumbRow if side == THUMBS else InstructRow if kind == "instruct" else PreferenceRow
    )
    rows = _not_erased(lake, persona, [row.model_validate_json(line) for line in data.split("\n") if line])
    if all("visibility" in r.model_fields_set for r in rows):
        return rows
    whole = {"visibility": read_manifest(lake, persona, kind, version).visibility}
    return [r if "visibility" in r.model_fields_set else r.model_copy(update=whole) for r in rows]


def refuse_closed_rows(lake: Lake, manifest: Manifest) -> None:
    """TwinError when a version holds rows, as they are stored, that are more closed than its persona declared itself:
    whoever publishes it would show them to more people than the author did."""
    declared = manifest.declared or manifest.visibility
    where = (lake, manifest.persona, manifest.kind, manifest.version)
    rows = [row for side in get_args(Side) for row in read_rows(*where, side)]
    closed = Counter(row.visibility for row in rows if not may_see(declared, row.visibility))
    if not closed:
        return
    told = " and ".join(
        f"{n} {'is' if n == 1 else 'are'} {'for connections only' if visibility == 'connections' else visibility}"
        for visibility, n in sorted(closed.items())
    )
    raise TwinError(
        f"The {manifest.kind} dataset {manifest.version} of {manifest.persona} can't be published: of its {len(rows)} rows, "
        f"{told}, and {manifest.persona} declares {declared!r}.",
        f"set `train_on: {declared}` in the persona's file (or leave it out) and materialise {manifest.kind}_dataset "
        f"again; or declare `visibility: {most_closed(closed)}`, which publishes in private repositories.",
    )


def _version(files: dict[str, str], parents: dict[str, str], prompts: str, seed: int) -> str:
    return fingerprint([{name: _unmarked(text) for name, text in files.items()}, parents, prompts, seed])


def _unmarked(rows: str) -> str:
    """Rows as they were before they said who may see them, so that a public dataset keeps its version."""
    return "".join(
        f"{line.removesuffix(_PUBLIC)}}}\n" if line.endswith(_PUBLIC) else f"{line}\n"
        for line in rows.split("\n")
        if line
    )


def _jsonl(rows: list[Any]) -> bytes:
    return "".join(row.model_dump_json() + "\n" for row in rows).encode()
