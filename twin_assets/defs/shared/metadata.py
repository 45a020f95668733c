"""Metadata that reads well in the Dagster UI: tables, samples and plots."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

SAMPLE_ROWS = 5
SAMPLE_CHARACTERS = 160


def image(png: bytes, name: str = "plot") -> dg.MetadataValue:
    """A PNG shown inline."""
    return dg.MetadataValue.md(f"![{name}](data:image/png;base64,{base64.b64encode(png).decode()})")


def bar_table(counts: Mapping[str, int], label: str) -> dg.MetadataValue:
    """Counts by label, largest first, each with a bar."""
    if not counts:
        return dg.MetadataValue.md("none")
    most = max(max(counts.values()), 1)
    rows = [
        f"| {name} | {n} | {'█' * max(round(12 * n / most), 1 if n else 0)} |"
        for name, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
    return dg.MetadataValue.md("\n".join([f"| {label} | count | |", "|---|---:|---|", *rows]))


def left_out_table(counts: Mapping[str, int], samples: Mapping[str, Sequence[str]]) -> dg.MetadataValue:
    """What was left out: counts by reason, most first, each with its first few places."""
    if not counts:
        return dg.MetadataValue.md("none")
    lines = ["| reason | count | the first of them |", "|---|---:|---|"]
    for reason, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        places = "<br>".join(_cell(place) for place in samples.get(reason, []))
        lines.append(f"| {_cell(reason)} | {n:,} | {places} |")
    return dg.MetadataValue.md("\n".join(lines))


def sample_table(rows: Sequence[Any], fields: list[str], n: int = SAMPLE_ROWS) -> dg.MetadataValue:
    """The first rows as a table of the given fields, long texts cut."""
    lines = [f"| {' | '.join(fields)} |", "|" + "---|" * len(fields)]
    for row in rows[:n]:
        lines.append("| " + " | ".join(_cell(str(getattr(row, f))) for f in fields) + " |")
    return dg.MetadataValue.md("\n".join(lines))


def _cell(text: str) -> str:
    return _cut(text.replace("|", "\\|").replace("\n", " ⏎ "))


def _cut(text: str) -> str:
    return text if len(text) <= SAMPLE_CHARACTERS else text[: SAMPLE_CHARACTERS - 1] + "…"
