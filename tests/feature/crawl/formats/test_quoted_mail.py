"""What of a mail its sender wrote: quotes in many mail programs' forms, forwards and signatures off."""

import time

import pytest

from twin_assets.feature.crawl.formats.talks.quoted_mail import own_part

OWN = "The clock in the harbour runs four minutes late.\n\nI measured it twice."


@pytest.mark.parametrize(
    "attribution",
    [
        "On Mon, 2 Mar 2020, Kim wrote:",
        "On Mon, 2 Mar 2020 at 10:11, Kim Lund <\nkim.lund@harbour.example> wrote:",
        "On 2 Mar 2020, at 10:11, A Person With a Name That Is Long\n<kim.lund@harbour.example>\nwrote:",
        "Kim Lund <kim@harbour.example> writes:",
        "Kim Lund wrote:",
        "Kimさんは書きました:",
        "Am 02.03.2020 um 10:11 schrieb Kim Lund:",
        "Am Mo., 2. März 2020 um 10:11 Uhr schrieb Kim Lund <\nkim@harbour.example>:",
        "Le lun. 2 mars 2020 à 10:11, Kim Lund <kim@harbour.example> a écrit :",
        "El lun, 2 mar 2020 a las 10:11, Kim Lund (<kim@harbour.example>) escribió:",
        "Il giorno lun 2 mar 2020 alle ore 10:11 Kim Lund <kim@harbour.example> ha scritto:",
        "Em seg., 2 de mar. de 2020 às 10:11, Kim Lund <kim@harbour.example> escreveu:",
        "Op ma 2 mrt. 2020 om 10:11 schreef Kim Lund <kim@harbour.example>:",
        "W dniu 2.03.2020 o 10:11, Kim Lund pisze:",
        "пн, 2 мар. 2020 г. в 10:11, Kim Lund <kim@harbour.example>:",
        "在 2020年3月2日，10:11，Kim Lund <kim@harbour.example> 写道：",
        "2020年3月2日(月) 10:11 Kim Lund <kim@harbour.example>:",
        "2020-03-02 10:11 GMT+01:00 Kim Lund <kim@harbour.example>:",
        "Pada tanggal Sen, 2 Mar 2020 pukul 10:11 Kim Lund <kim@harbour.example> berkata:",
    ],
)
@pytest.mark.parametrize("mark", ["> ", ""])
def test_the_mail_below_a_line_that_says_who_wrote_it_is_left_out(attribution: str, mark: str) -> None:
    if not mark and attribution in ("Kim Lund wrote:", "Kimさんは書きました:"):
        pytest.skip("without marks a bare name may be the sender's own lead-in")
    quoted = "\n".join(mark + line for line in ("Is the clock late?", "", "Kim"))
    assert own_part(f"{OWN}\n\n{attribution}\n\n{quoted}\n") == OWN


@pytest.mark.parametrize(
    "headers",
    [
        "From: Kim Lund <kim@harbour.example>\nSent: Monday, March 2, 2020 10:11\nTo: Runa\nSubject: Clock",
        "Von: Kim Lund\nGesendet: Montag, 2. März 2020 10:11\nAn: Runa Hollis\nBetreff: Uhr",
        "*De :* Kim Lund\n*Envoyé :* lundi 2 mars 2020\n*À :* Runa\n*Objet :* Horloge",
        "________________________________\nDe: Kim <kim@harbour.example>\nEnviado: lunes\nPara: Runa\nAsunto: Reloj",
        "-----Original Message-----\nFrom: Kim",
        "‐‐‐‐‐‐‐ Original Message ‐‐‐‐‐‐‐\nHi",
        "[cid:image001.png@01D5F0]\n\n-------- Weitergeleitete Nachricht --------\nBetreff: Uhr",
        "-------- Ursprüngliche Nachricht --------\nHallo",
        "---------- Forwarded message ---------\nFrom: Kim <kim@harbour.example>",
        "Begin forwarded message:\n\nFrom: Kim <kim@harbour.example>",
        "发件人: Kim <kim@harbour.example>\n发送时间: 2020年3月2日\n收件人: Runa\n主题: 钟",
    ],
)
def test_an_older_or_forwarded_mail_without_marks_is_left_out(headers: str) -> None:
    assert own_part(f"{OWN}\n\n{headers}\n\nThe text of somebody else.\n\nKim") == OWN


def test_answers_between_quoted_lines_stay_in_order() -> None:
    mail = "Hi Kim,\n\nOn 2 Mar 2020, Kim wrote:\n> Is it late?\n\nBy four minutes.\n\n> Since when?\n\nSince May.\n"
    assert own_part(mail) == "Hi Kim,\n\nBy four minutes.\n\nSince May."


def test_the_rest_of_a_quoted_line_that_was_wrapped_on_the_way_is_no_answer() -> None:
    long = "> The clock was set by the harbour office in the spring and has run late since"
    assert own_part(f"{long}\nthen, I believe\n> and nobody knows.\n\nI do.") == "I do."


@pytest.mark.parametrize(
    "signature",
    [
        "-- \nRuna Hollis\nHarbour office",
        "--\nRuna",
        "Sent from my iPhone",
        "Von meinem iPhone gesendet",
        "Envoyé de mon iPhone",
        "Get Outlook for Android<https://aka.example/x>",
        "iPhoneから送信",
        "Sent with Proton Mail secure email.",
        "Best regards,\nRuna Hollis\nHarbour office\n+47 555 01 02",
        "Mit freundlichen Grüßen\nRuna Hollis",
        "_______________________________________________\nclocks mailing list\nclocks@lists.example\nhttps://lists.example/clocks",
        "Kind regards,\nRuna\n\n-- \nRuna Hollis, harbour office\n\nSent from my phone",
        "CONFIDENTIALITY NOTICE: this e-mail is for its addressee.\nIf it reached you in error, tell us.",
    ],
)
@pytest.mark.parametrize("below", ["", "\n\nOn 2 Mar 2020, Kim wrote:\n> Late?\n"])
def test_a_signature_is_taken_off(signature: str, below: str) -> None:
    assert own_part(f"{OWN}\n\n{signature}{below}") == OWN


@pytest.mark.parametrize(
    "text",
    [
        "On the other hand, the clock is old.\nOn average it loses a minute.",
        "As I wrote on 2 March 2020:\n\nThe clock is late.",
        "We go to sea on Monday.\nFrom: the harbour\nTo: the island",
        "- one\n- two\n\n- three",
        "Points:\n-- first\n-- second",
        "All of this was sent from my desk, which is slow.",
        "Thanks!",
        "With regards to the clock, I am late.",
        "Try this:\n\n>>> 1 + 1\n2",
        "```\n> echo out\nFrom: a@b.example\nTo: c@d.example\n--\nx\n```\n\nThat is the script.",
        "One part\n----\n\nAnother part",
        "The times:\n2020-03-02 10:11\n02/03/2020 10:11",
    ],
)
def test_own_words_that_look_a_little_like_a_quote_or_a_signature_stay(text: str) -> None:
    assert own_part(text) == text


def test_a_mail_that_only_passes_on_another_has_nothing_of_its_own() -> None:
    assert own_part("---------- Forwarded message ---------\nFrom: Kim <kim@harbour.example>\n\nText") == ""
    assert own_part("> only\n> quoted") == ""


@pytest.mark.parametrize(
    "line", ["-- ", "--", "> a", "_" * 40, "On 2 Mar 2020, Kim wrote", "Best regards,", "a@b.c " * 40, ""]
)
def test_ten_thousand_odd_lines_take_no_time(line: str) -> None:
    began = time.process_time()
    own_part(f"{line}\n" * 10_000)
    assert time.process_time() - began < 3
