"""The voice metric on the demo's texts: whose they are, and when it must not say."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.evaluation_factories import heldout, neighbours, train
from twin_assets.core.errors import TwinError
from twin_assets.core.persona.impostors import ATTRIBUTION
from twin_assets.core.text.content_words import ENGLISH, function_words
from twin_assets.evaluation.voice.compare import Gain, paired_gain
from twin_assets.evaluation.voice.impostors import read_impostors
from twin_assets.evaluation.voice.meter import VoiceMeter
from twin_assets.evaluation.voice.stylometry import mask_topic, prose, tokens, windows, word_count


@lru_cache
def meter() -> VoiceMeter:
    """Fitted on the training side and on every other text of each neighbour."""
    return VoiceMeter.fit([d.voice_text for d in train()], {n: t[::2] for n, t in neighbours().items()})


def own_unseen() -> list[str]:
    return [d.voice_text for d in heldout()]


def others_unseen() -> list[str]:
    return [text for texts in neighbours().values() for text in texts[1::2]]


def test_the_authors_held_out_text_scores_above_other_authors() -> None:
    own, others = meter().score(own_unseen(), 1), meter().score(others_unseen(), 1)
    assert own.margin_low is not None
    assert others.margin_high is not None
    assert own.margin_low > 0 > others.margin_high
    assert own.verifier_low is not None
    assert others.verifier_high is not None
    assert own.verifier_low > others.verifier_high


def test_an_author_the_meter_was_never_shown_scores_below_the_real_one() -> None:
    for name, texts in neighbours().items():
        others = {n: t for n, t in neighbours().items() if n != name}
        without = VoiceMeter.fit([d.voice_text for d in train()], others)
        own, stranger = without.score(own_unseen(), 1).margin, without.score(texts, 1).margin
        assert own is not None
        assert stranger is not None
        assert own > stranger, name


def test_an_interval_holds_its_mean_and_repeats_with_its_seed() -> None:
    once, again = meter().score(own_unseen(), 7), meter().score(own_unseen(), 7)
    assert once == again
    assert once.margin_low is not None
    assert once.margin is not None
    assert once.margin_high is not None
    assert once.margin_low < once.margin < once.margin_high


@pytest.mark.parametrize("texts", [[], [""], ["Too short to say."], ["word " * 300]])
def test_too_little_text_gets_no_number_but_a_reason(texts: list[str]) -> None:
    score = meter().score(texts, 1)
    assert (score.margin, score.verifier, score.windows) == (None, None, 0)
    assert score.note is not None
    assert f"{sum(len(t.split()) for t in texts)} words" in score.note


def test_a_meter_without_impostors_or_author_says_what_to_add() -> None:
    with pytest.raises(TwinError, match="impostors:"):
        VoiceMeter.fit([d.voice_text for d in train()], {"nobody": ["Hardly anything."]})
    with pytest.raises(TwinError, match="0 windows"):
        VoiceMeter.fit([], neighbours())


def test_the_order_of_impostors_changes_nothing() -> None:
    author = [d.voice_text for d in train()]
    backwards = VoiceMeter.fit(author, dict(reversed(neighbours().items())))
    forwards = VoiceMeter.fit(author, neighbours())
    cut = windows(own_unseen())
    assert np.allclose(forwards.margins(cut), backwards.margins(cut))


def test_a_system_nearer_to_the_author_has_a_gain_above_zero() -> None:
    near = [w for text in own_unseen() for w in windows([text], 130)][:16]
    far = [w for text in others_unseen() for w in windows([text], 130)][:16]
    many = min(len(near), len(far))
    gain = paired_gain(lambda cut: float(meter().margins(cut).mean()), near[:many], far[:many], 1)
    assert gain.low is not None
    assert gain.low > 0
    assert gain.pairs == many // 2


def test_a_system_has_no_gain_over_itself() -> None:
    texts = windows(own_unseen(), 260)
    gain = paired_gain(lambda cut: float(meter().margins(cut).mean()), texts, texts, 1)
    assert (gain.mean, gain.low, gain.high) == (0, 0, 0)


def test_the_pairs_that_a_gain_needs_go_by_its_spread_alone() -> None:
    gain = Gain(mean=0.2, low=-0.11, high=0.51, pairs=6, spread=0.39)
    assert gain.pairs_needed(0.15) == 26  # (1.96 * 0.39 / 0.15) ** 2 = 25.97
    assert gain.model_copy(update={"mean": 0.6}).pairs_needed(0.15) == 26
    assert gain.model_copy(update={"spread": 0.0}).pairs_needed(0.15) == 0
    assert Gain(mean=None, low=None, high=None, pairs=2).pairs_needed(0.15) is None


def test_a_gain_from_a_handful_of_words_is_not_given() -> None:
    gain = paired_gain(lambda cut: float(meter().margins(cut).mean()), ["Short."] * 24, ["Shorter."] * 24, 1)
    assert (gain.mean, gain.low, gain.pairs) == (None, None, 0)


def test_short_posts_are_pooled_into_windows_and_the_rest_is_left_out() -> None:
    posts = [f"post {n} " + "word " * 98 for n in range(6)]
    assert [len(w.split()) for w in windows(posts)] == [250, 250]
    assert word_count(posts) == 600


def test_code_tables_links_and_markup_are_not_voice() -> None:
    text = (
        "# Title\n\nI wrote [a page](https://x.org/a 'b') on `tar -x`.\n\n```sh\nrm -rf build\n```\n\n"
        "| a | b |\n|---|---|\n\n    indented = code\n\n- **Bold** point, see https://y.org/z?\n> Quoted."
    )
    left = prose(text)
    for gone in ("rm -rf", "| a", "indented", "https", "tar", "**", "#", "> "):
        assert gone not in left
    for kept in ("Title", "I wrote a page on", "Bold point, see", "Quoted."):
        assert kept in left


def test_curly_and_straight_quotes_are_the_same_habit() -> None:
    assert tokens(prose("“It’s” …")) == tokens(prose('"It\'s" ...')) == ['"', "it's", '"', "..."]


def test_masking_hides_the_topic_and_keeps_function_words() -> None:
    assert mask_topic("The 12 ferries don't wait, Zoë.", ENGLISH) == "The ## ******* don't ****, ***."


def test_another_language_keeps_its_own_widespread_words() -> None:
    german = [["der", "hafen", "und", "die", "fähre"], ["der", "wind", "und", "die", "see"]]
    kept = function_words(german)
    assert {"der", "und", "die"} <= kept
    assert "the" not in kept


def test_impostors_are_read_without_front_matter(tmp_path: Path) -> None:
    (tmp_path / "anna").mkdir()
    (tmp_path / "anna" / "a.md").write_text("---\ntitle: A\n---\nBody, with --- in it.\n")
    (tmp_path / "anna" / "b.md").write_bytes(b"+++\r\ntitle = 'B'\r\n+++\r\nWindows line ends.\r\n")
    (tmp_path / "anna" / "c.md").write_text(
        "Title: C\nDate: 2020-01-02\n\nUnfenced fields, as Pelican has them.\n"
    )
    (tmp_path / "anna" / "empty.md").write_text("---\ntitle: nothing\n---\n")
    assert read_impostors([tmp_path / "anna"]) == {
        "anna": ["Body, with --- in it.", "Windows line ends.", "Unfenced fields, as Pelican has them."]
    }
    (tmp_path / "anna" / ATTRIBUTION).write_text("Whose this is.")
    (tmp_path / "anna" / "d.txt").write_text("Plain text, as many archives have it.\n")
    assert read_impostors([tmp_path / "anna"])["anna"][3:] == ["Plain text, as many archives have it."]
    (tmp_path / "anna" / "a.md").write_text("---\ntitle: [\n---\nA\n")
    with pytest.raises(TwinError, match=r"a\.md: broken front matter"):
        read_impostors([tmp_path / "anna"])


def test_impostor_folders_that_mislead_are_refused(tmp_path: Path) -> None:
    for parent in ("one", "two"):
        (tmp_path / parent / "anna").mkdir(parents=True)
        (tmp_path / parent / "anna" / "a.md").write_text("Text.")
    with pytest.raises(TwinError, match="Two impostor folders"):
        read_impostors([tmp_path / "one" / "anna", tmp_path / "two" / "anna"])
    with pytest.raises(TwinError, match="holds no Markdown and no plain text"):
        read_impostors([tmp_path / "nobody"])
    (tmp_path / "one" / "anna" / "a.md").write_bytes(b"\xff\xfe\x00bad")
    with pytest.raises(TwinError, match="not UTF-8"):
        read_impostors([tmp_path / "one" / "anna"])
