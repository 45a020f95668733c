"""Personal data and secrets in what a model wrote, by the rules that clean its training text."""

from collections import Counter

from twin_assets.core.records import Record
from twin_assets.core.text.privacy import SECRET_KINDS, scan

SHOWN = 5


class Safety(Record):
    """Findings in all texts: `kinds` counts them, `secrets` are those that are keys or passwords, `learnt` those
    that stand in the training text word for word. `samples` are masked: kind, two letters, length."""

    texts: int
    found: int
    secrets: int
    learnt: int
    kinds: dict[str, int]
    samples: list[str]


def check_safety(texts: list[str], training: list[str]) -> Safety:
    """Scan every text; what is found is counted, never kept."""
    known = "\n".join(training)
    findings = [(f, text[f.start : f.end]) for text in texts for f in scan(text)]
    return Safety(
        texts=len(texts),
        found=len(findings),
        secrets=sum(f.kind in SECRET_KINDS for f, _ in findings),
        learnt=sum(value in known for _, value in findings),
        kinds=dict(Counter(f.kind for f, _ in findings)),
        samples=list(dict.fromkeys(f"{f.kind}: {f.preview}" for f, _ in findings))[:SHOWN],
    )
