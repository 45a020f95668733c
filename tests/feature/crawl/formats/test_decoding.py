"""Text in the encodings that people's files are in."""

import pytest

from twin_assets.feature.crawl.formats.text.encodings import decode_text

FRENCH = "Le café est fermé, hélas. À bientôt, mes élèves."
RUSSIAN = "Часы в гавани отстают на четыре минуты, и никто этого не замечает."


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (FRENCH, "latin-1"),
        ("# Auteur: André\nx = 1\n", "latin-1"),
        ("El reloj del puerto atrasa, mañana también lo señala.", "cp1252"),
        ("Die Uhr geht nach – „niemand“ merkt's. Größe überall.", "cp1252"),
        ("Zażółć gęślą jaźń. Zegar w porcie spóźnia się o cztery minuty.", "cp1250"),
        ("Zażółć gęślą jaźń. Zegar w porcie spóźnia się o cztery minuty.", "iso8859_2"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8_r"),
        ("// Привет, мир\nint x = 1;\n", "cp1251"),
        ("港の時計は四分遅れている。誰も気づかない。", "shift_jis"),
        ("港の時計は四分遅れている。誰も気づかない。", "euc_jp"),
        ("港の時計は四分遅れている。誰も気づかない。", "iso2022_jp"),
        ("港口的钟慢了四分钟，没有人注意到。", "gb18030"),
        ("港口的鐘慢了四分鐘，沒有人注意到。", "big5"),
        ("항구의 시계는 사 분 늦다. 아무도 모른다.", "cp949"),
        ("Το ρολόι του λιμανιού πάει τέσσερα λεπτά πίσω.", "cp1253"),
        (FRENCH, "utf-8"),
        (FRENCH, "utf-8-sig"),
        (FRENCH, "utf-16"),
    ],
)
def test_a_text_is_decoded_although_nothing_says_how(text: str, encoding: str) -> None:
    assert decode_text(text.encode(encoding)) == text


@pytest.mark.parametrize(
    "head",
    [
        "# -*- coding: koi8-r -*-", "// vim: set fileencoding=koi8-r :", '<?xml version="1.0" encoding="koi8-r"?>',
        '<meta charset="koi8-r">', '@charset "koi8-r";',
    ],
)  # fmt: skip
def test_a_files_own_declaration_comes_first(head: str) -> None:
    text = f"{head}\nда"  # too short to tell
    assert decode_text(text.encode("koi8_r")) == text


def test_a_declaration_that_does_not_fit_is_passed_over() -> None:
    for declared in ("nonsense", "latin-1", "utf-8"):
        text = f"# coding: {declared}\n{RUSSIAN if declared == 'utf-8' else FRENCH}"
        assert decode_text(text.encode("cp1251" if declared == "utf-8" else "utf-8")) == text
    assert decode_text("# coding: latin-1\n“quoted”".encode("cp1252")).endswith("“quoted”")
    assert decode_text(b"") == ""


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(ValueError, match="no encoding"):
        decode_text(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1\0\0\0\1\0")


LETTERS_OF_ONE_LANGUAGE = [
    (
        "Im Wärterhäuschen saß früher mein Großvater und zählte die Möwen über dem Fluß, bis die Fähre kam. ",
        "latin-1",
    ),
    (
        "Im Wärterhäuschen saß früher mein Großvater und zählte die Möwen über dem Fluß, bis die Fähre kam. ",
        "mac_roman",
    ),
    (
        "Ve věži bydlel můj dědeček a každou neděli počítal otáčky, než přišla bouře a hodiny se zastavily. ",
        "iso8859_2",
    ),
    (
        "Ve věži bydlel můj dědeček a každou neděli počítal otáčky, než přišla bouře a hodiny se zastavily. ",
        "cp1250",
    ),
    (
        "A toronyban lakott a nagyapám, és minden vasárnap számolta a fordulatokat, míg jött a vihar és az idő. ",
        "cp1250",
    ),
    (
        "Kulede dedem otururdu ve her pazar turları sayardı, fırtına gelip saati durduruncaya kadar böyleydi. ",
        "iso8859_9",
    ),
    (
        "В башне жил мой дед и каждое воскресенье считал обороты, пока не пришла буря и часы не встали. ",
        "iso8859_5",
    ),
    (
        "У вежі жив мій дід і щонеділі рахував оберти, поки не прийшла буря і годинник не зупинився. ",
        "koi8_u",
    ),
    ("كان جدي يسكن في البرج ويعد اللفات كل يوم أحد حتى جاءت العاصفة وتوقفت الساعة. ", "iso8859_6"),
]


@pytest.mark.parametrize("times", [1, 8])
@pytest.mark.parametrize(("text", "encoding"), LETTERS_OF_ONE_LANGUAGE)
def test_a_one_byte_encoding_is_told_by_the_letters_of_the_language_that_the_words_speak(
    text: str, encoding: str, times: int
) -> None:
    assert decode_text((text * times).encode(encoding)) == text * times


def test_utf8_with_a_few_bytes_that_are_none_is_utf8_all_the_same() -> None:
    text = "Die Fähre fährt früh über den Fluß, sagen die Wärter."
    assert decode_text(text.encode() + b" Caf\xe9.") == text + " Café."
    assert decode_text((text + " ü").encode()[:-1]) == text + " "  # cut in the middle of a letter
    assert decode_text(text.encode() + b" \xed\xa0\xbd\xed\xb8\x80!") == text + " !"  # halves of an emoji
    assert decode_text(f"{text}\x00{text * 5}".encode()) == text * 6
