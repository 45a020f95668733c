"""How much of a text is copied from the training text: a model must not win by memorising.

Words are compared without case and punctuation; a run of eight or more that stands in the training text
counts as copied. Also gives back what is left of a text without its copied runs.
"""

from collections.abc import Iterator

from twin_assets.core.records import Record
from twin_assets.core.text.words import term_spans, terms

NGRAM = 8
EXAMPLES = 3
EXAMPLE_WORDS = 60


class CopyReport(Record):
    """`copied_share` of the words lie in copied runs; `longest_words` is the longest run, `longest` its
    beginning, `examples` the longest runs, longest first."""

    copied_share: float
    longest_words: int
    longest: str
    examples: list[str] = []


class CopyCheck:
    """Knows the 8-grams of the training texts; made once, asked often.

    Time and memory grow with the words of both sides: about a second for a million words of training text.
    """

    def __init__(self, training: list[str]) -> None:
        self._known = {gram for text in training for gram in _grams(terms(text))}

    def report(self, texts: list[str]) -> CopyReport:
        """What of all texts together is copied; zeros for no words."""
        total = inside = 0
        runs: list[tuple[int, str]] = []
        for text in texts:
            spans = term_spans(text)
            total += len(spans)
            for start, end in self._runs(terms(text)):
                inside += end - start
                last = min(end, start + EXAMPLE_WORDS) - 1
                runs.append((end - start, text[spans[start][0] : spans[last][1]]))
        runs.sort(key=lambda run: -run[0])
        examples = list(dict.fromkeys(" ".join(run.split()) for _, run in runs))[:EXAMPLES]
        return CopyReport(
            copied_share=inside / total if total else 0.0,
            longest_words=runs[0][0] if runs else 0,
            longest=examples[0] if examples else "",
            examples=examples,
        )

    def without_copies(self, text: str) -> str:
        """The text with its copied runs cut out: what the model wrote of its own."""
        spans = term_spans(text)
        kept, at = [], 0
        for start, end in self._runs(terms(text)):
            kept.append(text[at : spans[start][0]])
            at = spans[end - 1][1]
        return "".join([*kept, text[at:]])

    def _runs(self, words: list[str]) -> Iterator[tuple[int, int]]:
        """Spans of words that are covered by known 8-grams, touching ones joined."""
        start = end = -1
        for i, gram in enumerate(_grams(words)):
            if gram not in self._known:
                continue
            if i > end:
                if end > 0:
                    yield start, end
                start = i
            end = i + NGRAM
        if end > 0:
            yield start, end


def copied(texts: list[str], training: list[str]) -> CopyReport:
    """Compare texts with the training texts, once."""
    return CopyCheck(training).report(texts)


def _grams(words: list[str]) -> Iterator[int]:
    # 64-bit hashes instead of tuples: a tenth of the memory, and a false match once in 10^13 or so.
    return (hash(tuple(words[i : i + NGRAM])) for i in range(len(words) - NGRAM + 1))
