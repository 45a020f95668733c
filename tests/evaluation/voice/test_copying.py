"""The copy check: what counts as copied, and what is left."""

from tests.support.machine import growth
from twin_assets.evaluation.voice.copying import CopyCheck, copied

TRAINING = [
    "The tide came in at six, and the ferry left the quay without its cook or its flag. Nobody minded."
]


def test_a_text_recited_word_for_word_is_all_copied() -> None:
    report = copied(TRAINING, TRAINING)
    assert report.copied_share == 1.0
    assert report.longest_words == 20
    assert report.longest == TRAINING[0].rstrip(".")


def test_case_and_punctuation_do_not_hide_a_copy() -> None:
    text = "He said: THE TIDE came in -- at six -- and the ferry left the quay! Then he slept."
    report = copied([text], TRAINING)
    assert report.longest_words == 12
    assert report.copied_share == 12 / 17
    assert report.examples == ["THE TIDE came in -- at six -- and the ferry left the quay"]


def test_seven_words_in_a_row_are_not_a_copy() -> None:
    assert copied(["and the ferry left the quay without a sound"], TRAINING).copied_share == 0


def test_two_runs_are_counted_apart() -> None:
    text = "the tide came in at six and the sea rose, the quay without its cook or its flag nobody slept"
    report = copied([text], TRAINING)
    assert report.longest_words == 9
    assert report.copied_share == 17 / 20
    assert len(report.examples) == 2


def test_no_run_goes_from_one_training_text_into_the_next() -> None:
    assert copied(["one two three four five six seven eight"], ["one two three four", "five six seven eight"]).copied_share == 0  # fmt: skip


def test_what_is_left_without_copies_keeps_its_own_words() -> None:
    check = CopyCheck(TRAINING)
    text = "I say: the tide came in at six, and the ferry left the quay. So I went home."
    assert check.without_copies(text) == "I say: . So I went home."
    assert check.without_copies("Nothing of it is copied.") == "Nothing of it is copied."
    assert check.without_copies("") == ""


def test_no_text_and_no_training_give_zeros() -> None:
    assert copied([], TRAINING).copied_share == 0
    assert copied(TRAINING, []).longest_words == 0


def test_time_grows_with_the_training_words_and_no_faster() -> None:
    training = [" ".join(str(n * 7919 % 50_021) for n in range(start, start + 1000)) for start in range(1000)]
    assert copied(training[:20], training).copied_share == 1.0
    assert growth(lambda texts: copied(training[:20], training[:texts]), 250, 4) < 10
