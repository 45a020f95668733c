"""X's archives in every layout: what is one post, whose words they are, and what is half of a talk."""

import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.feature.crawl.spiders.social.social import collect
from twin_assets.core.persona.sources import X
from twin_assets.core.storage.raw import RawItem
from twin_assets.feature.crawl.items import CrawlReport

ME, BOB = "77", "88"


def tweet(number: int, text: str, **more: Any) -> dict[str, Any]:
    created = f"Wed Oct {number:02} 20:19:24 +0000 2018"
    return {"tweet": {"id_str": str(1000 + number), "full_text": text, "created_at": created} | more}


def reply(number: int, text: str, to: int, user: str = ME, **more: Any) -> dict[str, Any]:
    return tweet(number, text, in_reply_to_status_id_str=str(1000 + to), in_reply_to_user_id_str=user, **more)


def note(text: str, urls: list[dict[str, str]] | None = None) -> dict[str, Any]:
    return {
        "noteTweet": {"createdAt": "2018-10-01T20:19:24.000Z", "core": {"text": text, "urls": urls or []}}
    }


def script(kind: str, rows: list[Any]) -> str:
    return f"window.YTD.{kind}.part0 = {json.dumps(rows)}"


def archive(tmp_path: Path, files: dict[str, str], account: bool = True) -> X:
    tmp_path.mkdir(exist_ok=True)
    path = tmp_path / "x.zip"
    named = [{"account": {"username": "runahollis", "accountId": ME}}]
    with zipfile.ZipFile(path, "w") as out:
        for name, text in files.items():
            out.writestr(name, text)
        if account:
            out.writestr("data/account.js", script("account", named))
    return X(archive=path)


def posts(tmp_path: Path, *rows: dict[str, Any], **files: str) -> tuple[CrawlReport, dict[str, RawItem]]:
    named = {f"data/{name.replace('_', '-')}.js": text for name, text in files.items()}
    return collect(tmp_path, "x", archive(tmp_path, {"data/tweets.js": script("tweets", list(rows))} | named))


@pytest.mark.parametrize(
    "files",
    [
        {"data/tweet.js": script("tweet", [tweet(1, "One."), tweet(2, "Two.")])},
        {"tweets.js": script("tweets", [tweet(1, "One."), tweet(2, "Two.")])},
        {
            "data/tweets.js": script("tweets", [tweet(1, "One.")]),
            "data/tweets-part1.js": script("tweets", [tweet(2, "Two.")]).replace("part0", "part1"),
        },
        {"data/tweets/tweets-part0.js": script("tweets", [tweet(1, "One."), tweet(2, "Two.")]) + ";\n"},
        {"data/tweets/a.json": json.dumps([tweet(1, "One."), tweet(2, "Two.")])},
        {"twitter-2023/data/tweets.js": "\ufeff" + script("tweets", [tweet(1, "One."), tweet(2, "Two.")])},
        {
            "data/tweets.js": script("tweets", [tweet(1, "One.")]),
            "data/community-tweet.js": script("community_tweet", [tweet(2, "Two.")]),
        },
    ],
    ids=[
        "tweet.js",
        "root",
        "parts",
        "folder of parts",
        "no assignment",
        "folder around and BOM",
        "community",
    ],
)
def test_every_layout_since_2018_is_read(tmp_path: Path, files: dict[str, str]) -> None:
    deleted = {"data/deleted-tweets.js": script("deleted_tweets", [tweet(9, "Gone.")])}
    report, items = collect(tmp_path, "x", archive(tmp_path, files | deleted))
    assert (report.error, report.skipped) == (None, {})
    assert {key: item.body for key, item in items.items()} == {"1001": "One.", "1002": "Two."}


def grailbird() -> dict[str, str]:
    """The archive of the years before 2018: a file a month, and a table of everything."""
    user = {"id_str": ME, "screen_name": "runahollis", "protected": False}
    rows = [
        {
            "id": 1001, "id_str": "1001", "text": "Late again: http://t.co/a &amp; wet", "user": user,
            "created_at": "2014-05-02 20:19:24 +0000",
            "entities": {"urls": [{"url": "http://t.co/a", "expanded_url": "https://tide.example/log"}]},
        },
        {
            "id": 1002, "text": "RT @bob: cut sho…", "user": user, "created_at": "2014-05-03 20:19:24 +0000",
            "retweeted_status": {"id": 5, "text": "cut short"},
        },
    ]  # fmt: skip
    table = (
        '"tweet_id","in_reply_to_status_id","in_reply_to_user_id","timestamp","source","text",'
        '"retweeted_status_id","retweeted_status_user_id","retweeted_status_timestamp","expanded_urls"\n'
        '"1001","","","2014-05-02 20:19:24 +0000","web","Late again: http://t.co/a &amp; wet","","","",'
        '"https://tide.example/log"\n'
        '"1002","","","2014-05-03 20:19:24 +0000","web","RT @bob: cut sho…","5","6","2014-05-01 01:01:01 +0000",""\n'
    )
    return {
        "data/js/tweets/2014_05.js": f"Grailbird.data.tweets_2014_05 = \n {json.dumps(rows)}",
        "data/js/user_details.js": f'var user_details =  {{"screen_name": "runahollis", "id": "{ME}"}}',
        "data/js/payload_details.js": 'var payload_details =  {"tweets": 2}',
        "tweets.csv": table,
    }


@pytest.mark.parametrize("left_out", ["", "tweets.csv", "data/js/tweets/2014_05.js"])
def test_the_layout_before_2018_is_read_by_month_or_from_its_table(tmp_path: Path, left_out: str) -> None:
    files = {name: text for name, text in grailbird().items() if name != left_out}
    report, items = collect(tmp_path, "x", archive(tmp_path, files, account=False))
    assert (report.error, report.skipped) == (None, {"retweet": 1})
    assert items["1001"].body == "Late again: https://tide.example/log & wet"
    assert items["1001"].published_at == datetime(2014, 5, 2, 20, 19, 24, tzinfo=UTC)
    assert items["1001"].url == "https://x.com/runahollis/status/1001"


def test_a_cut_post_is_whole_by_its_note_whatever_is_escaped_in_which(tmp_path: Path) -> None:
    """The kind: the same words in two files, escaped, linked and addressed differently."""
    start = "Pumps > sails & oars, every time that we have measured it: "
    whole = note(
        f"{start}https://t.co/n and a long rest.",
        [{"shortUrl": "https://t.co/n", "expandedUrl": "https://tide.example/x?a=1&copy=2"}],
    )
    escaped = start.replace("&", "&amp;").replace(">", "&gt;")
    report, items = posts(
        tmp_path,
        tweet(1, f"{escaped}https://t.co/other and a… https://t.co/q https://t.co/r"),
        note_tweet=script("note_tweet", [whole]),
    )
    assert report.skipped == {}
    assert items["1001"].body == f"{start}https://tide.example/x?a=1&copy=2 and a long rest."
    assert not items["1001"].partial


def test_notes_that_begin_alike_are_told_apart_by_time(tmp_path: Path) -> None:
    start = "The same beginning of every weekly report on the pumps: "
    later = note(f"{start}the second.")
    later["noteTweet"]["createdAt"] = "2018-10-02T20:19:25.000Z"
    rows = [note(f"{start}the first."), later]
    _, items = posts(
        tmp_path, tweet(1, f"{start}t…"), tweet(2, f"{start}t…"), note_tweet=script("note_tweet", rows)
    )
    assert [items[key].body[len(start) :] for key in ("1001", "1002")] == ["the first.", "the second."]


def test_a_cut_post_without_its_note_is_partial_but_an_ellipsis_of_ones_own_is_not(tmp_path: Path) -> None:
    more = {"urls": [{"url": "https://t.co/w", "expanded_url": "https://twitter.com/i/web/status/1002"}]}
    _, items = posts(
        tmp_path,
        tweet(1, "word " * 54 + "wor…"),
        tweet(2, "Cut here… https://t.co/w", entities=more),
        tweet(3, "And then we waited…"),
    )
    assert [items[key].partial for key in ("1001", "1002", "1003")] == [True, True, False]


def test_a_note_whose_post_is_gone_stays_out_and_is_counted(tmp_path: Path) -> None:
    report, items = posts(
        tmp_path, tweet(1, "One."), note_tweet=script("note_tweet", [note("Deleted since.")])
    )
    assert list(items) == ["1001"]
    assert report.left_out == {"a long post whose short form is gone": ["Deleted since."]}


def test_a_self_reply_whose_parent_is_deleted_is_kept(tmp_path: Path) -> None:
    report, items = posts(tmp_path, reply(5, "It was the clock after all.", to=4))
    assert report.skipped == {}
    assert items["1005"].body == "It was the clock after all."


def test_a_talk_is_out_with_everything_that_hangs_on_it(tmp_path: Path) -> None:
    """The kind: threads whose root answers somebody else, also where only a name at the beginning tells it."""
    report, items = posts(
        tmp_path,
        tweet(1, "Why was the table late?"),
        reply(2, "@bob yes, twice", to=900, user=BOB),
        reply(3, "and once more", to=2),
        reply(4, "and more", to=3),
        reply(5, "@bob what I meant: rope", to=800),
        tweet(6, "@bob good morning", in_reply_to_user_id_str=BOB),
        reply(7, "It was the clock.", to=1),
        reply(8, "@bob thanks!", to=1, user=BOB),
    )
    assert {key: item.body for key, item in items.items()} == {
        "1001": "Why was the table late?\n\nIt was the clock."
    }
    assert report.skipped == {"reply to someone else": 6}
    assert report.left_out["reply to someone else"][0] == "https://x.com/runahollis/status/1002"


def test_ones_own_name_before_a_reply_is_no_text(tmp_path: Path) -> None:
    _, items = posts(tmp_path, tweet(1, "One."), reply(2, "@RunaHollis two.", to=1))
    assert items["1001"].body == "One.\n\ntwo."


def test_only_the_last_version_of_an_edited_post_counts_and_replies_follow_it(tmp_path: Path) -> None:
    edit = {
        "edit": {"initialTweetId": "1001", "editControlInitial": {"editTweetIds": ["1001", "1002", "1003"]}}
    }
    report, items = posts(
        tmp_path,
        tweet(1, "Teh pump."),
        tweet(2, "The pmup.", edit_info=edit),
        tweet(3, "The pump.", edit_info=edit),
        reply(4, "It leaks.", to=1),
    )
    assert {key: item.body for key, item in items.items()} == {"1003": "The pump.\n\nIt leaks."}
    assert report.skipped == {"an earlier version of an edited post": 2}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("RT @bob: not mine", None),
        ("“RT @bob: not mine”", None),
        ("@carol RT @bob: not mine", None),
        ("So true! RT @bob: not mine", "So true!"),
    ],
)
def test_somebody_elses_words_after_rt_are_left_out(tmp_path: Path, text: str, kept: str | None) -> None:
    _, items = posts(tmp_path, tweet(1, text), tweet(2, "Mine."))
    assert (items["1001"].body if "1001" in items else None) == kept


def test_links_are_whole_and_pictures_and_quoted_posts_are_none(tmp_path: Path) -> None:
    links = [
        {"url": "https://t.co/a", "expanded_url": "https://tide.example/a"},
        {"url": "https://t.co/ab", "expanded_url": "https://tide.example/b"},
        {"url": "https://t.co/q", "expanded_url": "https://twitter.com/bob/status/5"},
    ]
    entities = {"urls": links, "media": [{"url": "https://t.co/pic"}]}
    report, items = posts(
        tmp_path,
        tweet(
            1, "See https://t.co/ab, then https://t.co/a https://t.co/pic https://t.co/q", entities=entities
        ),
        tweet(2, "https://t.co/q", entities=entities),
        tweet(3, "An older picture. https://t.co/unknown", entities=entities),
    )
    assert items["1001"].body == "See https://tide.example/b, then https://tide.example/a"
    assert items["1003"].body == "An older picture."
    assert report.skipped == {"a post without words": 1}


def test_a_text_in_extended_form_is_taken_whole(tmp_path: Path) -> None:
    row = tweet(1, "", truncated=True, extended_tweet={"full_text": "Cut here no more."})
    row["tweet"]["text"] = "Cut he… https://t.co/x"
    _, items = posts(tmp_path, row)
    assert (items["1001"].body, items["1001"].partial) == ("Cut here no more.", False)


def test_a_protected_account_and_posts_for_followers_are_for_connections(tmp_path: Path) -> None:
    row = tweet(2, "For those who pay.", scopes={"followers": True})
    _, items = posts(tmp_path / "open", tweet(1, "One."), row)
    assert [item.visibility for item in items.values()] == ["public", "connections"]
    history = [
        {"protectedHistory": {"protectedAt": "2024-01-01T00:00:00.000Z", "action": "Unprotect"}},
        {"protectedHistory": {"protectedAt": "2024-02-01T00:00:00.000Z", "action": "Protect"}},
    ]
    _, items = posts(
        tmp_path / "closed", tweet(1, "One."), protected_history=script("protected_history", history)
    )
    assert items["1001"].visibility == "connections"


def test_languages_in_the_codes_of_x_are_put_right(tmp_path: Path) -> None:
    rows = [tweet(n, f"Words {n}.", lang=code) for n, code in enumerate(("de", "in", "qme", "zxx"), 1)]
    _, items = collect(
        tmp_path, "x", archive(tmp_path, {"data/tweets.js": script("tweets", rows)}), languages=["de", "en"]
    )
    assert [item.language for item in items.values()] == ["de", "id", None, None]


def test_one_record_that_cant_be_read_costs_none_of_the_others(tmp_path: Path) -> None:
    half = json.dumps(tweet(1, "Half a pair: \ud83d. Whole: \ud83d\ude00.\0"))
    rows = [json.loads(half), {"tweet": {"full_text": "No number."}}, "no record", None, tweet(3, "Three.")]
    report, items = posts(tmp_path, *rows)
    assert {key: item.body for key, item in items.items()} == {
        "1001": "Half a pair: \ufffd. Whole: 😀.", "1003": "Three.",
    }  # fmt: skip
    assert (report.error, report.skipped) == (None, {"a record that can't be read": 3})


def test_a_damaged_file_gives_what_can_be_read_and_proves_no_deletion(tmp_path: Path) -> None:
    rows = [
        tweet(n, f"Post {n}.", entities={"user_mentions": [{"name": "a"}, {"name": "b"}]}) for n in (1, 2, 3)
    ]
    whole = script("tweets", rows)
    collect(tmp_path, "x", archive(tmp_path, {"data/tweets.js": whole}))
    broken = whole.replace('"Post 2."', '"Post 2.', 1)[:-4]
    report, items = collect(tmp_path, "x", archive(tmp_path, {"data/tweets.js": broken}))
    assert (report.error, report.deleted, report.unchanged) == (None, 0, 1)
    assert report.skipped == {"a record that can't be read": 2}
    assert len(items) == 3


def test_replies_that_go_in_a_circle_end(tmp_path: Path) -> None:
    _, items = posts(tmp_path, reply(1, "One.", to=2), reply(2, "Two.", to=1), reply(3, "Three.", to=3))
    assert sorted(item.body for item in items.values()) == ["One.\n\nTwo.", "Three."]


def test_an_archive_of_something_else_is_an_error_with_the_fix(tmp_path: Path) -> None:
    report, _ = collect(tmp_path, "x", archive(tmp_path, {"posts.json": "[]"}))
    assert "no tweets.js in it" in (report.error or "")
    assert "Download an archive" in (report.error or "")
