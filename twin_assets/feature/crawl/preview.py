"""What collecting an export would bring, as `twin collect --preview` and the page's Sources tab show it.

The source's own spider runs over the file, on a lake that is thrown away; what it keeps is cleaned as the corpus
would have it. This happens in a process of its own, `python -m twin_assets.feature.crawl.preview PATH INTO`, which
`core/uploads/preview.py` starts and bounds.
"""

import json
import os
import random
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twin_assets.core.errors import TwinError
from twin_assets.core.persona.definition import SOURCES, Persona, source_part
from twin_assets.core.records import VISIBILITIES, CleanedDocument, Document
from twin_assets.core.uploads.preview import (
    MAX_MEMORY,
    MAX_SECONDS,
    LeftOut,
    PreviewFailed,
    PreviewReport,
    SampleText,
)
from twin_assets.core.uploads.staging import KINDS, PREPARED, needed_fields, path_field
from twin_assets.feature.crawl.formats.recognise import prepare
from twin_assets.feature.crawl.items import CrawlReport
from twin_assets.settings import Settings

SAMPLES = 50
SHOWN = 5
MAX_SAMPLE_LETTERS = 6_000
# Cleaning takes longest; what isn't judged within this is counted as such.
JUDGING_SECONDS = 80
_UNPACKED_BYTES = 1_500_000_000
# What a declaration says beside its path that bears on a file; addresses to fetch are left out.
_KEPT = {"include", "exclude", "visibility", "profile", "handle"}
_PLACEHOLDER = {"profile": "https://www.linkedin.com/in/you"}
_NAMELESS = ("by another author", "a chat without the persona", "no speaker is the persona")


def preview(path: Path, name: str, persona: Persona, into: Path) -> PreviewReport:
    """Recognise a file, lay it out below `into`, and say what it would bring. Starts the reactor: once a process.

    Raises PreviewFailed for what is of no known kind, broken or harmful, or holds nothing.
    """
    shutil.rmtree(into / PREPARED, ignore_errors=True)  # of a preview before
    try:
        kind, entry = prepare(path, name, into / PREPARED)
    except (ValueError, OSError) as error:
        raise PreviewFailed(f"{name}: {error}.", f"these are read: {KINDS}.") from None
    below = entry.relative_to(into / PREPARED).as_posix() if entry.is_relative_to(into) else str(entry)
    one = _declaring(persona, kind.source, entry)
    report = PreviewReport(
        name=name, source=kind.source, kind=kind.title, entry=below, needs=needed_fields(kind.source)
    )
    with tempfile.TemporaryDirectory(prefix=".crawl-", dir=into) as home:
        crawled = _crawl(Path(home), one, kind.source)
        if crawled.error and not crawled.items and (crawled.failed or not crawled.skipped):
            problem, _, fix = crawled.error.partition(" Fix: ")
            raise PreviewFailed(problem.replace(str(into), ""), fix or "export it again.")
        report.left_out = [
            LeftOut(
                reason=reason,
                count=count,
                samples=[
                    said.replace(f"{into / PREPARED}/", "") for said in crawled.left_out.get(reason, [])
                ],
            )
            for reason, count in sorted(crawled.skipped.items(), key=lambda one: -one[1])
        ]
        stored = _Stored(Path(home) / "lake" / "raw" / kind.source / one.name)
        for row in stored.rows():
            _count(report, row)
        _judge(report, stored, one)
    report.warnings = _warnings(report, crawled, one, str(into))
    return report


def _declaring(persona: Persona, source: str, entry: Path) -> Persona:
    """The persona as if this file were all that it declares."""
    field, several = path_field(source)
    old = getattr(persona, source)
    told = old.model_dump(include=_KEPT | ({"url"} if source == "ghost" else set())) if old else {}
    told |= {need: told.get(need) or _PLACEHOLDER.get(need, "unknown") for need in needed_fields(source)}
    part = source_part(source).model_validate(told | {field: [entry] if several else entry})
    return persona.model_copy(update=dict.fromkeys(SOURCES) | {source: part})


def _crawl(home: Path, persona: Persona, source: str) -> CrawlReport:
    from twin_assets.feature.crawl.run import run_crawl

    # Settings of its own: neither the installation's lake nor its tokens.
    settings = Settings(_env_file=None, home=home, personas_dir=home)  # type: ignore[call-arg]
    return run_crawl(settings, persona, source)


class _Stored:
    """The items of a crawl as they lie on disk, of which one at a time is in memory."""

    def __init__(self, folder: Path) -> None:
        self.files = sorted(folder.glob("*.jsonl"))
        self.places: list[tuple[Path, int]] = []

    def rows(self) -> Iterator[dict[str, Any]]:
        """Each item, and its place noted."""
        for path in self.files:
            with path.open("rb") as file:
                place = 0
                for line in file:
                    self.places.append((path, place))
                    place += len(line)
                    yield json.loads(line)

    def document(self, number: int) -> Document:
        """The document that an item becomes."""
        path, place = self.places[number]
        with path.open("rb") as file:
            file.seek(place)
            row = json.loads(file.readline())
        return Document.model_validate(row | {"doc_id": row["item_id"]})


def _count(report: PreviewReport, row: dict[str, Any]) -> None:
    report.pieces += 1
    report.partial += bool(row["partial"])
    for tally, key in ((report.categories, row["category"]), (report.visibilities, row["visibility"])):
        tally[key] = tally.get(key, 0) + 1
    document = Document.model_validate(row | {"doc_id": row["item_id"]})
    if document.published_at is None:
        report.undated += 1
        return
    report.first = min(report.first or document.published_at, document.published_at)
    report.last = max(report.last or document.published_at, document.published_at)


def _judge(report: PreviewReport, stored: _Stored, persona: Persona) -> None:
    """Clean the pieces together, as the corpus does: what all of them end with is told by all of them.

    They are read in a random order, the same each time, until all are or the time is over.
    """
    from twin_assets.feature.corpus.cleaning.clean import clean_documents

    chance = random.Random(17)
    order = list(range(len(stored.places)))
    chance.shuffle(order)
    until = time.monotonic() + JUDGING_SECONDS

    def in_time() -> Iterator[Document]:
        for number in order:
            if time.monotonic() > until:
                return
            report.judged += 1
            yield stored.document(number)

    result = clean_documents(in_time(), persona.languages, persona.mask_personal_data)
    report.dropped = {reason: len(ids) for reason, ids in result.dropped.items()}
    report.words = sum(document.words for document in result.documents)
    report.languages = dict(Counter(document.language or "unknown" for document in result.documents))
    chosen = chance.sample(result.documents, min(SAMPLES, len(result.documents)))
    report.samples = [_sample(document) for document in chosen]


def _sample(document: CleanedDocument) -> SampleText:
    return SampleText(
        title=document.title,
        category=document.category,
        visibility=document.visibility,
        published_at=document.published_at,
        language=document.language,
        words=document.words,
        text=document.voice_text[:MAX_SAMPLE_LETTERS],
        cut=len(document.voice_text) > MAX_SAMPLE_LETTERS,
    )


def _warnings(report: PreviewReport, crawled: CrawlReport, persona: Persona, into: str) -> list[str]:
    warnings = []
    others = {one.reason: one for one in report.left_out if one.reason in _NAMELESS}
    if others and not report.pieces:
        names = ", ".join([persona.full_name, *persona.also_known_as])
        warnings.append(
            f"No piece bears a name of yours ({names}): add the name that you bear there to also_known_as. What was "
            "left out says which names occur."
        )
    elif 2 * sum(one.count for one in others.values()) > report.pieces:
        warnings.append(
            "Much is left out as somebody else's. If names that it bears are yours (what was left out says which), "
            "add them to also_known_as."
        )
    if crawled.error and (crawled.failed or report.pieces):
        warnings.append(f"The collection would end with an error: {crawled.error.replace(into, '')}")
    unlearnt = sum(report.visibilities.get(seen, 0) for seen in VISIBILITIES if not persona.may_learn(seen))
    if unlearnt:
        warnings.append(
            f"{unlearnt:,} pieces are more closed than what may be learnt from ({persona.learns_from}): they are "
            "found and cited for whom they are for, and not learnt. train_on in the persona's YAML decides that."
        )
    if report.judged < report.pieces:
        warnings.append(
            f"{report.judged:,} of the {report.pieces:,} pieces were looked at closely; the rest took too long."
        )
    if wrong := report.dropped.get("wrong_language"):
        warnings.append(
            f"{wrong:,} pieces are in a language that `languages` does not name ({', '.join(persona.languages)})."
        )
    if report.pieces and sum(report.dropped.values()) == report.judged:
        warnings.append("Nothing of it would be learnt from: see why under what is collected and not learnt.")
    return warnings


def as_text(report: PreviewReport) -> str:
    """The report for reading in a terminal, with five texts."""

    def tally(counts: dict[str, int]) -> str:
        return ", ".join(f"{count:,} {key}" for key, count in Counter(counts).most_common()) or "none"

    days = [f"{report.first:%Y-%m-%d} to {report.last:%Y-%m-%d}"] if report.first and report.last else []
    undated = [f"{report.undated:,} without a date"] if report.undated else []
    rows = [
        ("file", f"{report.name}: {report.kind}"),
        ("kept", f"{report.pieces:,} pieces ({tally(report.categories)})"),
        ("visible to", tally(report.visibilities)),
        ("written", ", ".join([*days, *undated])),
        ("languages", tally(report.languages)),
        ("words", f"{report.words:,}"),
    ]
    lines = [f"{name:<11} {told}" for name, told in rows if told]
    if report.left_out:
        lines += ["", f"left out    {sum(one.count for one in report.left_out):,}"]
        lines += [
            f"{one.count:>9,}  {one.reason}" + (f"  (e.g. {one.samples[0][:90]})" if one.samples else "")
            for one in report.left_out
        ]
    if report.dropped:
        lines += ["", "kept, and not learnt from"]
        lines += [
            f"{count:>9,}  {reason.replace('_', ' ')}"
            for reason, count in Counter(report.dropped).most_common()
        ]
    for warning in report.warnings:
        lines += ["", f"! {warning}"]
    for sample in report.samples[:SHOWN]:
        day = sample.published_at.date().isoformat() if sample.published_at else "no date"
        about = f"{sample.category}, {day}, {sample.visibility}, {sample.words:,} words"
        lines += [
            "",
            f"── {sample.title or 'untitled'} ({about})",
            sample.text[:1_500] + (" …" if len(sample.text) > 1_500 else ""),
        ]
    return "\n".join(_without_controls(line) for line in lines)


def _without_controls(text: str) -> str:
    """A stranger's text may not move the terminal's cursor."""
    return "".join(c for c in text if c in "\n\t" or c.isprintable() or c in "\u200d\ufe0f")


def _work(path: Path, into: Path) -> int:
    """The bounded process: persona and name on stdin, the report as a file, what is wrong and its fix on stderr."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_UNPACKED_BYTES, _UNPACKED_BYTES))
    persona, _, name = sys.stdin.buffer.read().decode("utf-8", "replace").partition("\n")
    try:
        report = preview(path, name, Persona.model_validate_json(persona), into)
    except TwinError as error:
        print(f"{error.problem}\n{error.fix}", file=sys.stderr)
        return 2
    (into / "report.json").write_text(report.model_dump_json(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(_work(Path(sys.argv[1]), Path(sys.argv[2])))
