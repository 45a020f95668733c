"""Sent mail: whose it is, what was never sent, and its text, in mailboxes as mail programs leave them."""

import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.feature.crawl.writing import crawl, settings, stored, write
from twin_assets.core.persona.definition import Persona
from twin_assets.core.persona.sources import Mail
from twin_assets.feature.crawl.formats.talks.mail_text import read_mail

OWN = "The clock in the harbour runs four minutes late."
ME = "Runa Hollis <runa@harbour.example>"


def who(*files: Path, **more: object) -> Persona:
    return Persona(
        name="runa", full_name="Runa Hollis", also_known_as=["runa@harbour.example"], about="Ferries.",
        license="CC-BY-4.0", mail=Mail(files=list(files), **more),
    )  # fmt: skip


def mail(
    body: str = OWN, sender: str = ME, number: int = 1, *headers: str, subject: str = "Re: The clock"
) -> str:
    return "\n".join(
        [
            f"From: {sender}", "To: Kim Lund <kim@harbour.example>", f"Subject: {subject}",
            f"Date: Mon, 2 Mar 2020 10:11:{number:02} +0100", f"Message-ID: <{number}@harbour.example>", *headers, "", body, "",
        ]
    )  # fmt: skip


def mbox(*mails: str, separator: str = "From 123@xxx Mon Mar 02 10:11:12 +0000 2020") -> str:
    return "".join(f"{separator}\n{text}\n" for text in mails)


def text_of(body: str, *headers: str, charset: str = "utf-8") -> str:
    return read_mail(mail(body, ME, 1, *headers).encode(charset)).own_text()


def test_only_sent_mail_is_kept_and_each_once(tmp_path: Path) -> None:
    here = settings(tmp_path)
    path = write(
        tmp_path / "All mail.mbox",
        mbox(
            mail(f"{OWN}\n\nOn Sun, 1 Mar 2020, Kim wrote:\n> Is it late?\n\n-- \nRuna"),
            mail("Is it late?", "Kim Lund <kim@harbour.example>", 2),
            mail("A notice in your name.", "Runa Hollis <notifications@forge.example>", 3),
            mail(OWN, ME, 1),
            mail("> only what Kim wrote", ME, 4),
        ),
    )
    report = crawl(here, who(path), "mail")
    [item] = stored(here, "mail")
    assert report.error is None
    assert report.skipped == {
        "by another author": 2,
        "the same mail again": 1,
        "nothing of one's own in it": 1,
    }
    assert (item.body, item.title, item.item_id) == (OWN, "The clock", "1@harbour.example")
    assert (item.url, item.visibility, item.category) == ("mid:1@harbour.example", "private", "post")
    assert item.published_at == datetime(2020, 3, 2, 9, 11, 1, tzinfo=UTC)
    assert "kim@" not in item.model_dump_json()


@pytest.mark.parametrize(
    ("reason", "headers"),
    [
        ("draft", ["X-Mozilla-Draft-Info: internal/draft; vcard=0"]),
        ("draft", ["X-Unsent: 1"]),
        ("trash", ["X-Mozilla-Status: 0009"]),
        ("a chat", ["X-Gmail-Labels: Chat,Archived"]),
        ("in a folder of drafts, trash or the like (Drafts)", ["X-Gmail-Labels: Opened,Drafts"]),
        (
            "in a folder of drafts, trash or the like (Entwürfe)",
            ["X-Gmail-Labels: =?UTF-8?Q?Ge=C3=B6ffnet,Entw=C3=BCrfe?="],
        ),
        ("in a folder of drafts, trash or the like (Spam)", ["X-Gmail-Labels: Spam,Sent"]),
        ("an automatic answer", ["Auto-Submitted: auto-replied"]),
        ("an automatic answer", ["Subject: Automatic reply: away", "X-Autoreply: yes"]),
        ("a report of delivery", ['Content-Type: multipart/report; boundary="b"']),
        ("a calendar invitation", ["Content-Type: text/calendar; method=REQUEST"]),
        ("a list's digest", ['Content-Type: multipart/digest; boundary="b"']),
        ("encrypted", ['Content-Type: multipart/encrypted; boundary="b"']),
    ],
)
def test_what_was_never_written_or_never_sent_is_left_out_with_its_reason(
    reason: str, headers: list[str]
) -> None:
    assert read_mail(mail(OWN, ME, 1, *headers).encode()).left_out == reason


def test_mail_labelled_as_sent_is_kept() -> None:
    assert (
        read_mail(mail(OWN, ME, 1, "X-Gmail-Labels: Sent,Important", "Auto-Submitted: no").encode()).left_out
        is None
    )


def test_maildirs_folders_and_zips_are_read_and_their_drafts_and_trash_are_not(tmp_path: Path) -> None:
    here = settings(tmp_path)
    box = tmp_path / "Maildir"
    for number, place in enumerate(
        [
            "cur/1.host:2,S",
            "new/2.host",
            "cur/3.host:2,DS",
            "cur/4.host:2,ST",
            ".Sent/cur/5.host:2,S",
            ".Drafts/cur/6.host:2,S",
        ]
    ):
        write(box / place, mail(f"Number {number + 1}", ME, number + 1))
    for extra in ("Sent/cur", "Sent/new", "Sent/tmp", "tmp"):
        (box / extra).mkdir(parents=True, exist_ok=True)
    folder = tmp_path / "Profile"
    write(folder / "Sent", mbox(mail("Number 7", ME, 7), separator="From - Mon Mar  2 10:11:12 2020"))
    write(folder / "Sent.msf", "// index")
    write(folder / "Trash", mbox(mail("Number 8", ME, 8)))
    write(folder / "export/one.eml", mail("Number 9", ME, 9))
    apple = mail("Number 10", ME, 10)
    write(folder / "export/two.emlx", f"{len(apple)}\n{apple}<?xml version='1.0'?><plist></plist>")
    with zipfile.ZipFile(tmp_path / "takeout.zip", "w") as archive:
        archive.writestr(
            "Takeout/Mail/All mail Including Spam and Trash.mbox", mbox(mail("Number 11", ME, 11))
        )
    report = crawl(here, who(box, folder, tmp_path / "takeout.zip"), "mail")
    kept = {int(item.body.split()[1]) for item in stored(here, "mail")}
    assert (report.error, kept) == (None, {1, 2, 5, 7, 9, 10, 11})
    assert (report.skipped["draft"], report.skipped["trash"]) == (1, 1)
    assert report.skipped["in a folder of drafts, trash or the like (Drafts)"] == 1


def test_a_line_that_begins_with_from_divides_no_mail(tmp_path: Path) -> None:
    here = settings(tmp_path)
    path = write(
        tmp_path / "box",
        mbox(
            mail(
                "I come\n\nFrom kim@harbour.example Mon Mar 02 10:11:12 2020\nis how it begins.\n\nFrom here to there.\n\n>From the sea.",
                ME,
                1,
            ),
            mail(OWN, ME, 2),
        ),
    )
    crawl(here, who(path), "mail")
    assert [item.body for item in stored(here, "mail")] == [
        "I come\n\nFrom kim@harbour.example Mon Mar 02 10:11:12 2020\nis how it begins.\n\nFrom here to there.\n\nFrom the sea.",
        OWN,
    ]


@pytest.mark.parametrize(
    ("body", "headers", "charset", "right"),
    [
        ("Grüße", ["Content-Type: text/plain; charset=iso-8859-1"], "latin-1", "Grüße"),
        ("Grüße", ["Content-Type: text/plain; charset=us-ascii"], "utf-8", "Grüße"),
        ("Привет из гавани. Часы на башне опаздывают на четыре минуты, и никто не знает почему.", ["Content-Type: text/plain; charset=x-unknown"], "cp1251", "Привет из гавани. Часы на башне опаздывают на четыре минуты, и никто не знает почему."),
        ("Gr=C3=BC=C3=9Fe", ["Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: quoted-printable"], "utf-8", "Grüße"),
        ("not base64!", ["Content-Transfer-Encoding: base64"], "utf-8", None),
        (
            "The clock in the \nharbour is late.\n \nYes.\n> was it \n> late?\n-- \nRuna", ["Content-Type: text/plain; format=flowed"], "utf-8",
            "The clock in the harbour is late.\n\nYes.",
        ),
        ("The clo \nck", ["Content-Type: text/plain; format=flowed; delsp=yes"], "utf-8", "The clock"),
        (
            '<html><body><div>Late &amp; slow</div><div class="gmail_signature">Runa<br>Tel.</div><div class="gmail_quote"><div class="gmail_attr">'
            "On Mon, 2 Mar 2020 at 10:11, Kim &lt;kim@h.example&gt; wrote:<br></div><blockquote>Is it late?</blockquote></div></body></html>",
            ["Content-Type: text/html; charset=utf-8"], "utf-8", "Late & slow",
        ),
        (
            '<p>Late.</p><div id="divRplyFwdMsg"><b>Fra:</b> Kim<br></div><div>Is it late?</div>',
            ["Content-Type: text/html"], "utf-8", "Late.",
        ),
        (
            '--b\nContent-Type: text/plain\n\nLate.\n--b\nContent-Type: text/plain; name="log.txt"\nContent-Disposition: attachment\n\nlog\n'
            "--b\nContent-Type: message/rfc822\n\nFrom: kim@h.example\nSubject: x\n\nTheirs.\n--b--",
            ['Content-Type: multipart/mixed; boundary="b"'], "utf-8", "Late.",
        ),
        (
            "--b\nContent-Type: text/plain\n\nPlain.\n--b\nContent-Type: text/html\n\n<p>Rich.</p>\n--b--",
            ['Content-Type: multipart/alternative; boundary="b"'], "utf-8", "Plain.",
        ),
        (
            "--b\nContent-Type: text/plain\n\nKim invites you.\n--b\nContent-Type: text/calendar; method=REQUEST\n\nBEGIN:VCALENDAR\n--b--",
            ['Content-Type: multipart/alternative; boundary="b"'], "utf-8", "",
        ),
        ("------=_P.1\nContent-Type: text/plain\n\nLate.\n------=_P.1--", ["Content-Type: multipart/mixed; boundary=----=_P.1"], "utf-8", "Late."),
        ("--b\nno end", ['Content-Type: multipart/mixed; boundary="other"'], "utf-8", None),
    ],
)  # fmt: skip
def test_a_mails_text_is_read_whatever_its_form(
    body: str, headers: list[str], charset: str, right: str | None
) -> None:
    found = text_of(body, *headers, charset=charset)
    assert right is None or found == right


@pytest.mark.parametrize(
    "separator",
    [
        "From -",
        "From - Mon Mar  2 10:11:12 2020",
        "From runa at harbour.example  Mon Mar  2 10:11:12 2020",
        "From MAILER-DAEMON Mon Mar  2 10:11:12 2020",
        "From runa@harbour.example",
    ],
)
def test_mboxes_are_divided_as_their_programs_divide_them(separator: str, tmp_path: Path) -> None:
    here = settings(tmp_path)
    archive = mail(OWN + " Yes.", "runa at harbour.example (Runa Hollis)", 2)
    crawl(here, who(write(tmp_path / "box", mbox(mail(OWN, ME, 1), archive, separator=separator))), "mail")
    assert [item.body for item in stored(here, "mail")] == [OWN, OWN + " Yes."]


def test_headers_are_decoded_and_names_in_them_compared(tmp_path: Path) -> None:
    here = settings(tmp_path)
    folder = tmp_path / "mails"
    write(
        folder / "1.eml",
        mail(OWN, "=?utf-8?q?Runa_Hollis?= <r@old.example>", 1, subject="=?iso-8859-1?q?AW=3A_Gr=FC=DFe?="),
    )
    write(folder / "2.eml", mail(OWN + " Yes.", '"Hollis, Runa" <other@x.example>', 2))
    write(folder / "3.eml", mail(OWN + " No.", "RUNA@HARBOUR.EXAMPLE", 3, subject="Grüße =?x-no?q?a?="))
    write(folder / "4.eml", "no headers here")
    report = crawl(here, who(folder), "mail")
    titles = {item.item_id.split("@")[0]: item.title for item in stored(here, "mail")}
    assert (titles["1"], titles["3"], set(titles)) == ("Grüße", "Grüße a", {"1", "2", "3"})
    assert report.skipped == {"not a mail": 1}


def test_what_is_no_mailbox_is_an_error_that_names_it_and_the_kinds(tmp_path: Path) -> None:
    here = settings(tmp_path)
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 no more")
    good = write(tmp_path / "good.eml", mail())
    report = crawl(
        here,
        who(tmp_path / "none", write(tmp_path / "letter.docx", "x"), tmp_path / "broken.zip", good),
        "mail",
    )
    assert report.failed == {"unreadable mailbox": 3}
    assert "broken.zip" in (report.error or "")
    assert "mbox files" in (report.error or "")
    assert len(stored(here, "mail")) == 1


def test_folders_can_be_chosen_by_pattern(tmp_path: Path) -> None:
    here = settings(tmp_path)
    folder = tmp_path / "Profile"
    write(folder / "Sent", mbox(mail(OWN, ME, 1)))
    write(folder / "Archive", mbox(mail(OWN + " Yes.", ME, 2)))
    crawl(here, who(folder, include=["Sent*"]), "mail")
    assert [item.item_id for item in stored(here, "mail")] == ["1@harbour.example"]
