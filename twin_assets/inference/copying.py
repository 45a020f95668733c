"""How much of a text is copied from the training text: a model must not win by memorising."""

import re

from twin_assets.core.records import Record

NGRAM = 8


class CopyReport(Record):
    """`copied_share` of the words lie in an 8-gram of the training text; `longest_words` is the longest run."""

    copied_share: float
    longest_words: int
    longest: str


def copied(texts: list[str], training: list[str]) -> CopyReport:
    """Compare texts with the training texts, word by word, ignoring case and punctuation."""
    known = {
        tuple(words[i : i + NGRAM]) for words in map(_words, training) for i in range(len(words) - NGRAM + 1)
    }
    total = inside = 0
    longest: list[str] = []
    for words in map(_words, texts):
        total += len(words)
        run_end = -1
        run_start = 0
        for i in range(len(words) - NGRAM + 1):
            if tuple(words[i : i + NGRAM]) not in known:
                continue
            if i > run_end:  # neither overlapping nor adjacent to the run before
                run_start = i
                inside += NGRAM
            else:
                inside += i + NGRAM - max(run_end, i)
            run_end = i + NGRAM
            if run_end - run_start > len(longest):
                longest = words[run_start:run_end]
    return CopyReport(
        copied_share=inside / total if total else 0.0,
        longest_words=len(longest),
        longest=" ".join(longest[:60]),
    )


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
