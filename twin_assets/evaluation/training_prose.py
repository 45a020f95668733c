"""The texts that instruments learn an author from."""

from collections.abc import Sequence

from twin_assets.core.records import SplitDocument


def training_prose(corpus: Sequence[SplitDocument]) -> tuple[str, ...]:
    """The training side's texts without code, in the corpus' order: a tuple, so that what is fitted on them can be kept."""
    return tuple(d.voice_text for d in corpus if d.split == "train" and d.category != "code")
