"""The calibrated voice figure on the demo's texts: what it tells, what it never praises, and when it says nothing."""

import random
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.evaluation_factories import heldout, neighbours, train
from twin_assets.core.errors import TwinError
from twin_assets.core.records import SplitDocument
from twin_assets.evaluation.voice.background import gather
from twin_assets.evaluation.voice.instrument import VoiceInstrument, sentence
from twin_assets.evaluation.voice.package_prose import package_prose, readme_prose
from twin_assets.evaluation.voice.stylometry import windows

README = """# tidelog ![build](https://x/badge.svg)

Tidelog reads what the gauge on the pier has written, and it says when the water was where you thought it would be.

```python
import tidelog  # this is code, and it says the same as what is above but nobody would read it aloud
```

| a table | of things that are not what anybody would call the prose of the person who wrote it |
|---|---|

You can give it a file that was cut in the middle, and it will go on from the last line that it can make out:

    tidelog --resume and here is more of what is code, which is not what the author would say to you.

## Changelog

This was fixed in the last version, and it is a sentence that should not be counted as prose of the author.
"""


def prose(split: list[SplitDocument]) -> list[str]:
    return [d.voice_text for d in split]


@lru_cache
def instrument() -> VoiceInstrument:
    """Fitted on the training side, the assistant and one of the neighbours left out: they are strangers to it."""
    known = {name: texts for name, texts in neighbours().items() if name != "marcus-vale"}
    return VoiceInstrument.fit(prose(train()), known)


def test_the_authors_new_text_stands_near_one_and_a_strangers_below_it() -> None:
    own = instrument().figure(prose(heldout()), 1)
    stranger = instrument().figure(neighbours()["marcus-vale"], 1)
    assert own.value is not None
    assert stranger.value is not None
    assert own.value > 0.7
    assert stranger.value < own.value - 0.3
    assert own.low is not None
    assert own.high is not None
    assert 0 <= own.low <= own.value <= own.high <= 1
    assert f"{own.value:.2f}" in sentence(own)


def test_what_is_nearer_than_the_author_writes_is_flagged_instead_of_praised() -> None:
    """The very texts that the fit saw are nearer to their mean than any new one of the author's can be."""
    seen = instrument().figure(prose(train()), 1)
    assert seen.value == 1
    assert seen.typical
    assert "no praise" in sentence(seen)
    assert not instrument().figure(prose(heldout()), 1).typical


def test_nonsense_of_the_authors_words_is_never_above_one() -> None:
    words = " ".join(prose(train())).split()
    drawn = instrument().figure([" ".join(random.Random(3).choices(words, k=6000))], 1)
    assert drawn.value is not None
    assert drawn.high is not None
    assert drawn.value <= drawn.high <= 1


def test_the_flag_is_for_what_is_nearer_to_the_average_than_the_author_is() -> None:
    own = instrument().calibration.nearness
    assert instrument().highest_typical(24) < instrument().highest_typical(2)
    assert np.mean(own) < instrument().highest_typical(24) <= np.max(own)


@pytest.mark.parametrize(
    ("texts", "reads", "said"), [(["Too short."], None, "windows"), (None, False, "nonsense")]
)
def test_too_little_text_and_what_failed_sense_have_no_figure(
    texts: list[str] | None, reads: bool | None, said: str
) -> None:
    figure = instrument().figure(texts or prose(heldout()), 1, reads)
    assert figure.value is None
    assert said in (figure.note or "")
    assert sentence(figure).startswith("Whose voice this is can't be said: ")


def test_the_calibration_scores_no_text_with_a_fit_that_saw_it() -> None:
    """Text that only the author could have written is known to a fit that saw it; left out, it is a stranger's."""
    strange = neighbours()["marcus-vale"]
    others = {name: texts for name, texts in neighbours().items() if name != "marcus-vale"}
    texts = prose(train())
    # One of five parts of the "author" is really another person's: no other part helps to know it.
    mixed = [strange[i // 5 % len(strange)] if i % 5 == 0 else text for i, text in enumerate(texts)]
    nearness = VoiceInstrument.fit(mixed, others).calibration.nearness
    first = len(windows(mixed[::5]))
    assert np.max(nearness[:first]) < np.min(nearness[first:])


def test_the_same_texts_give_the_same_figure() -> None:
    known = {name: texts for name, texts in neighbours().items() if name != "marcus-vale"}
    again = VoiceInstrument.fit(prose(train()), dict(reversed(known.items())))
    assert again.figure(prose(heldout()), 7) == instrument().figure(prose(heldout()), 7)


def test_too_few_others_or_too_little_of_the_author_is_an_error_that_says_what_helps() -> None:
    with pytest.raises(TwinError, match="twin impostors fetch"):
        VoiceInstrument.fit(prose(train()), dict(list(neighbours().items())[:2]))
    with pytest.raises(TwinError, match="0 windows"):
        VoiceInstrument.fit(["A word."], neighbours())


def test_a_persona_is_never_told_from_its_own_texts_nor_from_another_language(tmp_path: Path) -> None:
    own = prose(train())
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "1.md").write_text("\n\n".join(own[:3]))
    (tmp_path / "namesake").mkdir()
    (tmp_path / "namesake" / "1.md").write_text(neighbours()["marcus-vale"][0])
    (tmp_path / "namesake" / "ATTRIBUTION.txt").write_text("Author: Runa Hollis\n")
    japanese = ["今日はいろんな事をしたので、ちゃんとした風には書かずにメモ的な書き方で進めます。" * 30]
    found = gather(["Runa Hollis"], own, neighbours() | {"ja": japanese}, tmp_path)
    assert found.left_out["mirror"] == "it holds text of the persona's"
    assert found.left_out["namesake"] == "it bears the persona's name"
    assert found.left_out["ja"] == "it is in another language"
    assert set(found.people) == set(neighbours())
    assert found.packages  # the neighbours are few
    assert found.weakness
    assert not gather(["A B"], japanese, neighbours()).people


def test_descriptions_of_packages_are_read_as_prose_and_a_maintainer_is_not_a_stranger_to_himself() -> None:
    read = readme_prose(README)
    assert "what the gauge on the pier has written" in read
    assert "go on from the last line" in read
    assert not any(word in read for word in ("import", "badge", "table", "--resume", "fixed in"))
    found = package_prose()
    assert sum(bool(windows(list(texts))) for texts in found.values()) > 50
    assert not any("llm-twin" in name for name in found)
    somebody = next(name for name in found if "@" in name)
    assert somebody in gather([somebody.split("<")[0].strip()], prose(train()), {}).left_out
