"""What a part of the campaign tried and what came of it, as text to read and as JSON."""

import json
import random
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Part:
    """One kind of attack. `tried` counts attacks by kind; every line of `lost`, `twice` and `broken` is a fault of the
    product; `notes` say what ran and how, and are no faults.

    `full` is the long form. All that is random comes from `rng`, so that the same seed tries the same again.
    """

    name: str
    seed: int
    full: bool
    home: Path
    tried: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.rng = random.Random(f"{self.name} {self.seed}")
        self.home.mkdir(parents=True, exist_ok=True)
        self._began = time.monotonic()

    def compare(self, expected: Counter[str], found: Counter[str], where: str) -> None:
        """Writes down what an undisturbed run has and this one lacks, and the other way round."""
        for thing, times in (expected - found).items():
            self.lost.append(f"{where}: {thing}" + (f", {times} times" if times > 1 else ""))
        for thing, times in (found - expected).items():
            self.twice.append(f"{where}: {thing}" + (f", {times} times" if times > 1 else ""))

    def note(self, line: str) -> None:
        self.notes.append(line)
        print(f"  {line}", flush=True)

    def close(self) -> None:
        self.seconds = time.monotonic() - self._began

    @property
    def faults(self) -> int:
        return len(self.lost) + len(self.twice) + len(self.broken)

    def text(self) -> str:
        form = "full" if self.full else "short"
        lines = [f"{self.name}: {form} form, seed {self.seed}, {self.seconds:.0f} s"]
        lines += [f"  {line}" for line in self.notes]
        lines += [f"  tried   {times:6} {what}" for what, times in self.tried.items()]
        for title, found in (("lost", self.lost), ("twice", self.twice), ("broken", self.broken)):
            lines.append(f"  {title:7} {len(found):6}")
            lines += [f"            {line}" for line in found]
        return "\n".join(lines)

    def as_json(self) -> dict[str, object]:
        return {
            "name": self.name, "seed": self.seed, "full": self.full, "seconds": round(self.seconds, 1),
            "tried": dict(self.tried), "lost": self.lost, "twice": self.twice, "broken": self.broken, "notes": self.notes,
        }  # fmt: skip


def write_report(parts: Iterable[Part], folder: Path) -> Path:
    """Writes `report.txt` and `report.json` into the folder; the path of the text."""
    done = list(parts)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps([part.as_json() for part in done], indent=2))
    text = folder / "report.txt"
    text.write_text("\n\n".join(part.text() for part in done) + "\n")
    return text
