"""How other authors score: what a text must be above to be called the author's."""

import numpy as np

from twin_assets.evaluation.voice.meter import VoiceMeter, VoiceScore, summarise, too_little
from twin_assets.evaluation.voice.stylometry import windows, word_count

# Fewer impostors can't spare one.
MIN_FOR_LEAVING_OUT = 3


def lower_bound_score(
    author: list[str], impostors: dict[str, list[str]], seed: int
) -> tuple[VoiceScore, str]:
    """Other authors' score, and how it was taken."""
    usable = {name: texts for name, texts in impostors.items() if windows(texts)}
    if len(usable) < MIN_FOR_LEAVING_OUT:
        shown = {name: texts[::2] for name, texts in usable.items()}
        if not any(windows(texts) for texts in shown.values()):
            return too_little(0), "not measured: too little of other authors to set some aside"
        unseen = [text for texts in usable.values() for text in texts[1::2]]
        score = VoiceMeter.fit(author, shown).score(unseen, seed)
        return score, "texts of the other authors that the meter was not shown"
    margins, verified, words = [], [], 0
    for name, texts in usable.items():
        rest = VoiceMeter.fit(author, {n: t for n, t in usable.items() if n != name})
        margins.append(rest.margins(windows(texts)))
        verified.append(rest.verify(windows(texts)))
        words += word_count(texts)
    score = summarise(np.concatenate(margins), np.concatenate(verified), words, seed)
    return score, "other authors, each scored by a meter that was not shown them"
