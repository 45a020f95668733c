"""Words and sentences in scripts with and without spaces: the same rule wherever they are counted, cut or compared."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin_assets.core.text import words
from twin_assets.core.text.content_words import content_words, grounded_share, topic_words
from twin_assets.core.text.tokens import estimated_tokens, first_tokens
from twin_assets.core.text.words import (
    count_words,
    first_words,
    has_unspaced,
    joined,
    listed,
    sentences,
    spaced,
    term_spans,
    terms,
    word_spans,
)

JAPANESE = "昨日の夜、港の時刻表を三回も読み直した。船長は「また潮が変わった」と言って笑っていた。"
CHINESE = "昨天晚上，我把港口的时刻表读了三遍。船长笑着说潮水又变了。"
THAI = "เมื่อคืนฉันอ่านตารางเรือสามรอบ กัปตันหัวเราะแล้วบอกว่าน้ำขึ้นน้ำลงเปลี่ยนอีกแล้ว"
LAO = "ມື້ນີ້ອາກາດດີຫຼາຍ ຂ້ອຍໄປຕະຫຼາດ"
KHMER = "ខ្ញុំអានតារាងទូកបីដង។ ប្រធានទូកសើច។"
BURMESE = "ဒီနေ့ရာသီဥတုကောင်းတယ်။ ကျွန်တော်ဈေးသွားတယ်။"
MIXED = "今日はFirefox 3.6の設定を変えて、restartした。It's done - at last."


@pytest.mark.parametrize(
    ("text", "fewest", "most"),
    [
        (JAPANESE, 20, 30),
        (CHINESE, 14, 20),
        (THAI, 16, 24),
        (LAO, 6, 9),
        (KHMER, 6, 10),
        (BURMESE, 8, 13),
        (MIXED, 15, 20),
    ],
)
def test_a_text_without_spaces_has_about_the_words_that_a_reader_counts(
    text: str, fewest: int, most: int
) -> None:
    assert fewest <= count_words(text) <= most
    assert len(word_spans(text)) == count_words(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "one",
        "It’s a tide – not a table… 😀 #1️⃣",
        "Ñandú, 오늘 날씨가 좋다",
        "Привет, мир",
        "नमस्ते दुनिया",
    ],
)
def test_where_scripts_have_spaces_words_are_what_stands_between_them(text: str) -> None:
    assert count_words(text) == len(text.split())
    assert [text[a:b] for a, b in word_spans(text)] == text.split()
    assert spaced(text) == text


def test_text_of_scripts_with_spaces_never_reaches_the_dictionaries() -> None:
    count_words(JAPANESE)
    asked = words._segments.cache_info()
    for text in ("The tide, again. " * 50, "Ñandú – Привет, 오늘 नमस्ते"):
        count_words(text), terms(text), spaced(text), word_spans(text), first_words(text, 3)
    assert words._segments.cache_info() == asked
    terms(JAPANESE)
    assert words._segments.cache_info() != asked


def test_words_are_cut_compared_and_joined_as_their_script_writes_them() -> None:
    assert terms("我喜欢渡轮。Ferry!") == ["我", "喜欢", "渡轮", "ferry"]
    assert first_words(JAPANESE, 3, " …") == "昨日の夜、 …"
    assert first_words("one two  three", 2, "...") == "one two..."
    assert first_words("one two", 5, "...") == "one two"
    assert first_words(THAI, 0) == ""
    assert joined(["時刻", "表"]) == "時刻表"
    assert joined(["Firefox", "設定"]) == "Firefox 設定"
    assert listed(["潮", "港"]) == "潮、港"
    assert listed(["tides", "tables"]) == "tides and tables"
    assert spaced("潮が変わった") != "潮が変わった"


def test_sentences_end_where_their_script_ends_them() -> None:
    assert [JAPANESE[a:b] for a, b in sentences(JAPANESE)] == [
        "昨日の夜、港の時刻表を三回も読み直した。", "船長は「また潮が変わった」と言って笑っていた。"
    ]  # fmt: skip
    assert len(sentences(CHINESE)) == 2
    assert len(sentences("本当に？！「うん。」そう。")) == 3
    assert len(sentences(KHMER)) == 2
    assert len(sentences(BURMESE)) == 2
    assert len(sentences(THAI)) == 2  # Thai has no mark for it, only a space
    assert len(sentences('It is 3.6 m. He said "no." Then\nnothing')) == 4


@pytest.mark.parametrize("text", [JAPANESE, CHINESE, THAI, KHMER, BURMESE, MIXED])
def test_first_tokens_of_a_text_without_spaces_fit_and_are_not_none(text: str) -> None:
    cut = first_tokens(text * 3, 60)
    assert cut.endswith("...")
    assert len(cut) > 12
    assert estimated_tokens(cut.removesuffix("...")) <= 62
    # No tokenizer of bytes makes more tokens than there are bytes.
    assert estimated_tokens("潮" * 100) == 300


def test_content_words_are_nouns_and_no_particles() -> None:
    found = content_words("船長は時刻表のデータを読む")
    assert {"船長", "データ"} <= set(found)
    assert {"は", "の", "を"}.isdisjoint(found)
    assert "但是" not in topic_words("但是潮水变了")
    assert grounded_share("時刻表を直した", "昨日、時刻表を直した。") == 1
    assert grounded_share("時刻表を直した", "猫が寝ている。") == 0


@given(st.text(st.sampled_from("今日はหนึ่ง船កខ။a b.\n。「」é1 ")))
def test_places_are_in_order_and_cover_every_letter(text: str) -> None:
    for spans in (word_spans(text), term_spans(text)):
        assert all(a < b for a, b in spans)
        assert all(first[1] <= second[0] for first, second in itertools.pairwise(spans))
    assert [text[a:b].lower() for a, b in term_spans(text)] == terms(text)
    covered = {i for a, b in word_spans(text) for i in range(a, b)}
    assert all(i in covered for i, c in enumerate(text) if c.isalnum())
    assert count_words(text) == len(word_spans(text))
    assert has_unspaced(spaced(text)) == has_unspaced(text)


def test_marks_of_italics_are_no_part_of_a_word() -> None:
    assert content_words("The _harbour_ and its tide_table_, and _Holm's_ ferry") == content_words(
        "The harbour and its tide_table, and Holm's ferry"
    )
