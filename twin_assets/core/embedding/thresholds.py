"""Cosines from which on something counts, which hold for one embedder only: another spreads its vectors otherwise.

Those of the embedder that the platform carries were measured; those of any other are made by `calibrate` and kept in
the lake. An embedder without them is refused, since with another's it would decline what it can answer, or drop what
is no copy.
"""

import math

from pydantic import ValidationError

from twin_assets.core.embedding.embedder import Embedder
from twin_assets.core.errors import TwinError
from twin_assets.core.records import Record
from twin_assets.core.storage.lake import Lake


class Thresholds(Record):
    """In [-1, 1]. The values that stand here are those of offline-minilm.

    `answerable`: no passage as near to a question, and the corpus has nothing to stand on. Measured on the demo persona:
    96% of far-off questions are declined, 53% of tempting near ones, and no answerable one.
    `supported`: from here on a claim counts as supported. Of 1,198 public claims that the measure was fitted on, 67% of
    those that their references support reach it and 24% of the others: of thresholds in steps of 0.05 the strictest whose
    macro-F1, cross-validated there, is within 0.01 of the best. benchmarks/claims.py has claims that the fit has not seen.
    `weak`: a hybrid score under this: nothing found was much to the point.
    `contaminated`: a training text nearer to a held-out one says nearly the same.
    `duplicate`: two documents this near are one. Posts of one author on one theme reach 0.9; only retellings pass this
    and the rule of lengths.
    `same_subject`: of a post and an article. Of 34 posts of the demo persona, the 6 above it are about their article; of
    the 9 from 0.65 to 0.7, 3 are not.
    `says_the_rest`: of an opening or closing and the rest of its article. Read on a real blog: above it they say what
    the article says, below 0.6 they greet, thank, and lead somewhere else.
    `agreeing_draft`, `agreeing_request`: of a passage and what a teacher says of it, measured on two authors. Half of a
    passage says what a draft might: 99% are nearer to the whole, and 92 to 98% of the author's other passages are not. A
    title of key phrases with a question made of them: 94% are nearer, and 78 to 89% of other passages are not.
    """

    answerable: float = 0.33
    supported: float = 0.55
    weak: float = 0.45
    contaminated: float = 0.97
    duplicate: float = 0.95
    same_subject: float = 0.7
    says_the_rest: float = 0.7
    agreeing_draft: float = 0.4
    agreeing_request: float = 0.2

    @property
    def quotable(self) -> float:
        """A sentence nearer than this to a question answers it: a little more than halfway from what a corpus can answer to what
        says the same.

        Set on the demo persona: of its own questions 21 of 30 have such a sentence in their passages, of 30 that nothing answers
        2. Of questions made of a real author's held-out documents (matklad) 17 of 30, of strangers' 1 of 15.
        """
        return self.answerable + 0.55 * (self.same_subject - self.answerable)


OFFLINE_MINILM = Thresholds()
COSINE_WEIGHT = 3.73
"""Of a claim's support, what a cosine weighs in the logit (inference/grounding/claims.py has the rest)."""
TYPICAL_COSINE = 0.65  # of a claim at the threshold with its nearest sentences
CALIBRATION = 2  # of what a calibration holds
_MEASURED = {"8e6269ae3268": OFFLINE_MINILM}  # by the embedder's fingerprint


class Calibration(Record):
    """What `calibrate` found for an embedder, from so many pairs of texts. Those of version 1 were made
    when support was half a cosine, and counted from 0.65 on."""

    embedder: str
    fingerprint: str
    pairs: int
    thresholds: Thresholds
    version: int = 1

    def of_today(self) -> Thresholds:
        """The thresholds, also of a calibration that was made for the support of before."""
        if self.version >= CALIBRATION:
            return self.thresholds
        typical = TYPICAL_COSINE + 2 * (self.thresholds.supported - 0.65)
        return self.thresholds.model_copy(update={"supported": round(supported_at(typical), 3)})


def supported_at(typical: float) -> float:
    """From what support on a claim counts with an embedder that says `typical` where ours says TYPICAL_COSINE."""
    ours = math.log(OFFLINE_MINILM.supported / (1 - OFFLINE_MINILM.supported))
    return 1 / (1 + math.exp(-(ours + COSINE_WEIGHT * (typical - TYPICAL_COSINE))))


def thresholds_of(lake: Lake, embedder: Embedder) -> Thresholds:
    """The thresholds of an embedder. Raises TwinError for one that none are known of."""
    if measured := _MEASURED.get(embedder.fingerprint):
        return measured
    try:
        return Calibration.model_validate_json(lake.read(calibration_key(embedder.fingerprint))).of_today()
    except (KeyError, ValidationError) as error:
        state = "no" if isinstance(error, KeyError) else "damaged"
        raise TwinError(
            f"The embedder {embedder.name!r} has {state} thresholds: how near texts are that say the same, or answer a "
            "question, is another figure for each embedder.",
            "run `twin calibrate FOLDER` once, with a folder of Markdown of the kind that "
            "is written here; or set TWIN_EMBEDDER=offline-minilm.",
        ) from None


def calibration_key(fingerprint: str) -> str:
    """Where the lake has an embedder's calibration."""
    return f"embedders/{fingerprint}.json"
