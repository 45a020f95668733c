"""Chats: the persona's messages as conversations, the others' as context beside them."""

import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.feature.crawl.writing import crawl, settings, stored, write
from twin_assets.core.persona.definition import Persona
from twin_assets.core.persona.sources import Chats
from twin_assets.core.storage.raw import RawItem
from twin_assets.feature.crawl.formats.talks.whatsapp import whatsapp_messages
from twin_assets.feature.crawl.items import CrawlReport


def who(*files: Path, **more: Any) -> Persona:
    return Persona(
        name="runa", full_name="Runa Hollis", also_known_as=["Runa", "runa@harbour.example"], about="Ferries.",
        license="CC-BY-4.0", chats=Chats(files=list(files), **more),
    )  # fmt: skip


def read(tmp_path: Path, *files: Path, **more: Any) -> tuple[CrawlReport, list[RawItem]]:
    here = settings(tmp_path)
    report = crawl(here, who(*files, **more), "chats")
    return report, stored(here, "chats")


def zipped(path: Path, files: dict[str, Any]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content if isinstance(content, str) else json.dumps(content))
    return path


def turns(item: RawItem) -> list[tuple[str, str, str]]:
    return [(turn["who"], turn["name"], turn["text"]) for turn in item.payload["turns"]]


# Telegram


def message(
    number: int, text: Any, sender: str = "user7", name: str = "Runa Hollis", hour: float = 10, **more: Any
) -> dict[str, Any]:
    time = int(datetime(2020, 3, 2, tzinfo=UTC).timestamp() + hour * 3600)
    return {
        "id": number,
        "type": "message",
        "date": "x",
        "date_unixtime": str(time),
        "from": name,
        "from_id": sender,
        "text": text,
    } | more


def theirs(number: int, text: Any, hour: float = 10, **more: Any) -> dict[str, Any]:
    return message(number, text, "user8", "Kim Lund", hour, **more)


def test_a_telegram_chat_becomes_conversations_with_the_others_as_context(tmp_path: Path) -> None:
    link = [
        "See ",
        {"type": "text_link", "text": "the log", "href": "https://x.example"},
        " and ",
        {"type": "code", "text": "x = 1"},
    ]
    rows = [
        theirs(1, "Is the clock late?"),
        message(2, "By four minutes.", hour=10.1),
        message(3, link, hour=10.2),
        {
            "id": 4,
            "type": "service",
            "actor": "Kim Lund",
            "actor_id": "user8",
            "action": "phone_call",
            "text": "",
        },
        message(5, "Somebody's news", hour=10.3, forwarded_from="News"),
        message(6, "", hour=10.4, media_type="sticker"),
        message(7, "Pick one", hour=10.5, via_bot="@poll"),
        message(8, "It is mended.", hour=30),
        theirs(9, "Anybody there?", hour=60),
        "nonsense",
    ]
    chat = {"name": "Kim Lund", "type": "personal_chat", "id": 99, "messages": rows}
    path = write(tmp_path / "result.json", json.dumps(chat))
    report, items = read(tmp_path, path)
    first, second = items
    assert report.error is None
    assert first.body == "By four minutes.\n\nSee the log and `x = 1`"
    assert turns(first)[:2] == [("other", "A", "Is the clock late?"), ("self", "self", "By four minutes.")]
    assert (second.body, second.item_id) == ("It is mended.", "telegram/99/20200303T060000")
    assert (first.visibility, first.title, first.published_at) == (
        "private",
        None,
        datetime(2020, 3, 2, 10, 6, tzinfo=UTC),
    )
    assert "Kim" not in first.model_dump_json()
    assert report.skipped == {
        "a system message": 1, "a forwarded message": 1, "a message without words": 1, "a bot's message": 1,
        "a conversation without the persona": 1, "an unreadable message": 1,
    }  # fmt: skip


def test_a_whole_telegram_account_knows_its_owner_and_notes_to_oneself_stay_out(tmp_path: Path) -> None:
    account = {
        "personal_information": {"user_id": 7, "first_name": "R."},
        "chats": {"list": [
            {"name": "Kim", "type": "personal_chat", "id": 1, "messages": [theirs(1, "Late?"), message(2, "Yes.", name="R.")]},
            {"type": "saved_messages", "id": 2, "messages": [message(1, "buy oil", name="R.")]},
            {"name": "News", "type": "public_channel", "id": 3, "messages": [message(1, "News.", "channel3", "News")]},
        ]},
        "left_chats": {"list": [{"name": "Old", "type": "private_group", "id": 4, "messages": [message(1, "Bye.", "7", "R.")]}]},
    }  # fmt: skip
    report, items = read(tmp_path, write(tmp_path / "result.json", json.dumps(account)))
    assert {item.body for item in items} == {"Yes.", "Bye."}
    assert report.skipped == {"a note to oneself": 1, "a chat without the persona": 1}


# WhatsApp

EXPORTS = {
    "Android, 24 hours": "02/03/2020, 10:11 - Messages are end-to-end encrypted.\n02/03/2020, 10:11 - Kim Lund: Late?\n02/03/2020, 10:12 - Runa: Yes: four\nminutes.\n13/03/2020, 10:12 - Runa: <Media omitted>\n",
    "Android, 12 hours, month first": "3/2/20, 10:11\u202fAM - Kim Lund: Late?\n3/2/20, 10:12\u202fAM - Runa: Yes: four\nminutes.\n3/13/20, 1:00\u202fPM - Runa: This message was deleted\n",
    "iOS": "[02/03/20, 10:11:12] Kim Lund: Late?\n[02/03/20, 10:12:12] Runa: Yes: four\nminutes.\n\u200e[13/03/20, 10:12:12] Runa: \u200eimage omitted\n[13/03/20, 10:13:12] Harbour: \u200eKim Lund added you\n",
    "German Android": "02.03.20, 10:11 - Kim Lund: Late?\n02.03.20, 10:12 - Runa: Yes: four\nminutes.\n13.03.20, 10:12 - Runa: Diese Nachricht wurde gelöscht.\n",
    "Spanish iOS": "[2/3/20, 10:11:12 a. m.] Kim Lund: Late?\n[2/3/20, 10:12:12 a. m.] Runa: Yes: four\nminutes.\n[13/3/20, 10:12:12 p. m.] Runa: Eliminaste este mensaje.\n",
    "Dutch Android": "02-03-20 10:11 - Kim Lund: Late?\n02-03-20 10:12 - Runa: Yes: four\nminutes.\n13-03-20 10:12 - Runa: <Media weggelaten>\n",
    "Swedish": "2020-03-02 10:11 - Kim Lund: Late?\n2020-03-02 10:12 - Runa: Yes: four\nminutes.\n2020-03-13 10:12 - Runa: IMG-1.jpg (bifogad fil)\n",
    "Chinese iOS": "[2020/3/2 上午10:11:12] Kim Lund: Late?\n[2020/3/2 上午10:12:12] Runa: Yes: four\nminutes.\n\u200e[2020/3/13 下午10:12:12] Runa: \u200e<附件：1.jpg>\n",
    "Arabic digits": "[\u200f٢\u200f/٣\u200f/٢٠٢٠ ١٠:١١:١٢ ص] Kim Lund: Late?\n[\u200f٢\u200f/٣\u200f/٢٠٢٠ ١٠:١٢:١٢ ص] Runa: Yes: four\nminutes.\n",
    "Korean": "2020. 3. 2. 오전 10:11 - Kim Lund: Late?\n2020. 3. 2. 오전 10:12 - Runa: Yes: four\nminutes.\n",
    "Finnish": "2.3.2020 klo 10.11 - Kim Lund: Late?\n2.3.2020 klo 10.12 - Runa: Yes: four\nminutes.\n13.3.2020 klo 10.12 - Kim Lund: <Media jätettiin pois>\n",
    "older iOS": "02.03.20 10.11.15: Kim Lund: Late?\n02.03.20 10.12.15: Runa: Yes: four\nminutes.\n",
    "line ends of Windows": "\ufeff02/03/2020, 10:11 - Kim Lund: Late?\r\n13/03/2020, 10:12 - ~\u202fRuna: null\r\n02/03/2020, 10:12 - Runa: Yes: four\r\nminutes.\r\n",
}


@pytest.mark.parametrize("export", EXPORTS.values(), ids=EXPORTS)
def test_whatsapp_is_read_in_every_phones_form(export: str, tmp_path: Path) -> None:
    path = write(tmp_path / "WhatsApp Chat with Kim Lund.txt", export)
    report, [item] = read(tmp_path, path)
    assert report.error is None
    assert turns(item) == [("other", "A", "Late?"), ("self", "self", "Yes: four\nminutes.")]
    assert item.body == "Yes: four\nminutes."
    assert item.payload["turns"][0]["at"][:16] == "2020-03-02T10:11"
    assert "Kim" not in item.model_dump_json()


def test_whatsapps_marks_in_a_message_are_no_words_and_its_caption_is() -> None:
    lines = (
        "02/03/2020, 10:11 - Runa: IMG-2.jpg (file attached)\nThe clock.\n02/03/2020, 10:12 - Runa: Late <This message was edited>\n"
        "02/03/2020, 10:13 - Runa: location: https://maps.google.com/?q=1,2\n02/03/2020, 10:14 - Runa: a < b and c > d\n"
        "02/03/2020, 10:15 - You deleted this message\n"
    )
    found = list(whatsapp_messages(lines))
    assert [m.text for m in found if not m.left_out] == ["The clock.", "Late", "a < b and c > d"]


def test_ios_zips_of_whatsapp_are_told_apart_though_all_hold_the_same_name(tmp_path: Path) -> None:
    text = "[02/03/20, 10:11:12] Runa: {}\n"
    one = zipped(tmp_path / "WhatsApp Chat - Kim.zip", {"_chat.txt": text.format("To Kim"), "1.jpg": "x"})
    two = zipped(tmp_path / "WhatsApp Chat - Bo.zip", {"_chat.txt": text.format("To Bo")})
    _, items = read(tmp_path, one, two)
    folder = tmp_path / "unpacked"
    write(folder / "Kim/_chat.txt", text.format("To Kim again"))
    write(folder / "Bo/_chat.txt", text.format("To Bo again"))
    _, more = read(tmp_path / "other", folder)
    assert {item.body for item in items} == {"To Kim", "To Bo"}
    assert {item.body for item in more} == {"To Kim again", "To Bo again"}


# Slack

USERS = [
    {
        "id": "U1",
        "name": "rh",
        "profile": {"real_name": "Runa Hollis", "display_name": "runa", "email": "runa@harbour.example"},
    },
    {"id": "U2", "name": "kim", "profile": {"real_name": "Kim Lund", "display_name": "Kim"}},
]


def slack(text: str, ts: str, user: str = "U1", **more: Any) -> dict[str, Any]:
    return {"type": "message", "user": user, "text": text, "ts": ts} | more


def test_a_slack_export_gives_channels_talks_and_threads(tmp_path: Path) -> None:
    day, next_day = 1583143200, 1583143200 + 86400
    files = {
        "users.json": USERS, "channels.json": [{"id": "C1", "name": "clocks"}], "dms.json": [{"id": "D1", "members": ["U1", "U2"]}],
        "clocks/2020-03-02.json": [
            slack("Is it late?", f"{day}.1", "U2"),
            slack("By &lt;4&gt; <https://x.example/log|minutes>, <@U2> in <#C1|clocks> <!here>", f"{day + 60}.1"),
            slack("Why?", f"{day + 70}.1", "U2", thread_ts=f"{day + 70}.1", reply_count=1),
            slack("joined", f"{day + 80}.1", subtype="channel_join"),
            slack("built", f"{day + 81}.1", "U9", subtype="bot_message", bot_id="B1"),
            slack("&gt; Why?\nRust.", f"{day + 90}.1"),
        ],
        "clocks/2020-03-03.json": [slack("The oil dried.", f"{next_day}.1", thread_ts=f"{day + 70}.1")],
        "D1/2020-03-02.json": [slack("Between us.", f"{day}.2")],
        "clocks/2020-03-04.json": "not JSON",
    }  # fmt: skip
    report, items = read(tmp_path, zipped(tmp_path / "slack.zip", files))
    bodies = {item.item_id: item.body for item in items}
    assert bodies == {
        "slack/C1/20200302T100000": "By <4> minutes, @Kim in #clocks @here\n\nRust.",
        f"slack/C1/{day + 70}.1": "The oil dried.",
        "slack/D1/20200302T100000": "Between us.",
    }
    thread = next(item for item in items if item.body == "The oil dried.")
    assert turns(thread) == [("other", "A", "Why?"), ("self", "self", "The oil dried.")]
    assert report.error is None
    assert report.skipped == {"a system message": 1, "an unreadable file": 1}
    assert report.left_out["an unreadable file"] == ["slack.zip/clocks/2020-03-04.json"]


# Discord


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_discords_package_holds_ones_own_messages(kind: str, tmp_path: Path) -> None:
    rows = [
        {"ID": 5, "Timestamp": "2020-03-02 10:11:12", "Contents": "It is late.", "Attachments": ""},
        {"ID": 6, "Contents": "", "Timestamp": ""},
    ]
    content = (
        json.dumps(rows)
        if kind == "json"
        else "ID,Timestamp,Contents,Attachments\n5,2020-03-02 10:11:12+00:00,It is late.,\n6,,,\n"
    )
    report, [item] = read(
        tmp_path, zipped(tmp_path / "package.zip", {f"messages/c12/messages.{kind}": content})
    )
    assert (item.item_id, item.body) == ("discord/12/20200302T101112", "It is late.")
    assert report.skipped == {"a message without words": 1}


# All


def test_every_answer_is_a_verbatim_part_of_the_body(tmp_path: Path) -> None:
    rows = [theirs(1, "One?"), message(2, "First.\n\nAnd more."), theirs(3, "Two?"), message(4, "Second.")]
    path = write(tmp_path / "result.json", json.dumps({"type": "personal_chat", "id": 1, "messages": rows}))
    _, [item] = read(tmp_path, path)
    assert all(text in item.body for side, _, text in turns(item) if side == "self")
    assert not any(text in item.body for side, _, text in turns(item) if side == "other")


def test_a_longer_export_later_changes_only_its_last_conversation(tmp_path: Path) -> None:
    here, path = settings(tmp_path), tmp_path / "result.json"
    rows = [message(1, "One."), message(2, "Two.", hour=30)]
    write(path, json.dumps({"type": "personal_chat", "id": 1, "messages": rows}))
    first = crawl(here, who(path), "chats")
    write(
        path,
        json.dumps(
            {
                "type": "personal_chat",
                "id": 1,
                "messages": [*rows, message(3, "Three.", hour=31), message(4, "Four.", hour=50)],
            }
        ),
    )
    second = crawl(here, who(path), "chats")
    assert (first.new, second.new, second.changed, second.unchanged, second.deleted) == (2, 1, 1, 1, 0)


def test_chats_are_chosen_by_their_names_which_no_item_bears(tmp_path: Path) -> None:
    family = {"name": "Family", "type": "private_group", "id": 1, "messages": [message(1, "At home.")]}
    work = {"name": "Work", "type": "private_group", "id": 2, "messages": [message(1, "At work.")]}
    path = write(tmp_path / "result.json", json.dumps({"chats": {"list": [family, work]}}))
    report, [item] = read(tmp_path, path, include=["Work*"])
    assert (item.body, report.skipped) == ("At work.", {"left out by the persona's patterns": 1})


def test_what_is_no_export_is_an_error_that_names_it_and_the_kinds(tmp_path: Path) -> None:
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 no more")
    files = [
        tmp_path / "none.json", tmp_path / "broken.zip", write(tmp_path / "notes.txt", "no dates here"),
        write(tmp_path / "other.json", '{"a": 1}'), write(tmp_path / "cut.json", '{"messages": ['), zipped(tmp_path / "empty.zip", {"a.png": "x"}),
    ]  # fmt: skip
    good = write(tmp_path / "good.txt", "02/03/2020, 10:11 - Runa: Mine.\n")
    report, items = read(tmp_path, *files, good)
    assert report.failed == {"unreadable export": 6}
    assert "Slack's export .zip" in (report.error or "")
    assert [item.body for item in items] == ["Mine."]


def test_a_chat_in_which_nobody_bears_a_name_of_the_personas_tells_who_is_in_it(tmp_path: Path) -> None:
    report, items = read(
        tmp_path,
        write(tmp_path / "chat.txt", "02/03/2020, 10:11 - R. H.: Mine?\n02/03/2020, 10:12 - Kim: No.\n"),
    )
    assert items == []
    assert report.left_out["a chat without the persona"] == ["chat: R. H., Kim"]
    assert "also_known_as" in (report.error or "")
