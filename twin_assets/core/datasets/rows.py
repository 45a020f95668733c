"""Rows of the datasets, and what a version says of itself."""

from typing import Any, Literal

from pydantic import field_serializer

from twin_assets.core.records import Message, Record, Split, Visibility

Kind = Literal["instruct", "preference"]
# What a preference pair teaches: to sound like the author, to decline, to keep to the passages; or what people who
# used the twin would rather have read, which alone is not the author's own text.
PairKind = Literal["voice", "refusal", "grounding", "feedback"]


# Why a document or a pair is left out of a dataset that may not hold what is that closed.
CLOSED_REASON: dict[Visibility, str] = {"connections": "for_connections_only", "private": "private"}


# The mark of a turn that is shown and not learnt from, in the rows of a version.
LEARNT = "train"


class InstructRow(Record):
    """A conversation that ends with the author's own text. `visibility` is that of the most closed text in it."""

    row_id: str
    doc_id: str
    task: str
    split: Split
    messages: list[Message]
    visibility: Visibility = "public"

    @field_serializer("messages")
    def _learnt(self, messages: list[Message]) -> list[dict[str, Any]]:
        """Earlier answers of a talk are marked: they were given with passages that are not shown again, and are not learnt from."""
        last = len(messages) - 1
        return [
            message.model_dump() | ({LEARNT: False} if message.role == "assistant" and at < last else {})
            for at, message in enumerate(messages)
        ]


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
    visibility: Visibility = "public"


class ThumbRow(Record):
    """A prompt with one text of a model's that a person liked (`label`) or didn't, reviewed; `request_id` is the request that it
    answered. KTO alone learns from it."""

    row_id: str
    doc_id: None = None
    task: str
    split: Split = "train"
    messages: list[Message]
    completion: Message
    label: bool
    request_id: str
    visibility: Visibility = "public"


class Manifest(Record):
    """What a dataset version is made of. `counts` are rows by side, single thumbs by themselves; `dropped` counts rows by reason,
    `kinds` preference rows by kind.

    `visibility` is that of its most closed row, and no more open than `declared`, the persona's own when it was made;
    `visibilities` counts rows by theirs. Versions from before rows had one have neither, and `visibility` is every row's.
    """

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
    visibilities: dict[str, int] = {}
    declared: Visibility | None = None


Row = InstructRow | PreferenceRow
StoredRow = Row | ThumbRow
THUMBS: Literal["thumbs"] = "thumbs"  # their side of a preference dataset, and their file's name
# The side of an instruct dataset that continued pre-training reads, its file's name, and the task of its rows: the author's
# text alone, which nothing asks for.
DOCUMENTS: Literal["documents"] = "documents"
Side = Literal["train", "test", "thumbs", "documents"]


def group_of(row: Row) -> str:
    """What a row counts as where shares are set: its kind for a preference row, its task for an instruct row."""
    return row.kind if isinstance(row, PreferenceRow) else row.task


def kind_for(stage: str) -> Kind:
    """The kind of dataset that a stage of training learns from."""
    return "instruct" if stage in ("cpt", "sft") else "preference"


def side_for(stage: str) -> Side:
    """The side of it that a stage trains on."""
    return DOCUMENTS if stage == "cpt" else "train"


def dataset_folder(persona: str, kind: Kind, version: str) -> str:
    """Lake prefix of a version."""
    return f"datasets/{persona}/{kind}/{version}"
