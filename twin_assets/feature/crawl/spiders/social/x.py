"""X (Twitter): the account's archive in every layout that it has had. Retweets are not ours."""

import re
from typing import Any

from twin_assets.feature.crawl.formats.archives import archive_members
from twin_assets.feature.crawl.formats.exports.x import (
    CUT,
    LINK,
    NAMES,
    Account,
    Notes,
    Tweet,
    inner,
    read_records,
)
from twin_assets.feature.crawl.spiders.base import Answers
from twin_assets.feature.crawl.spiders.social.posts import Post, SocialSpider

_FILES = (
    r"(^|/)((community-)?tweets?|note-tweets?|account|article|protected-history|user_details)"
    r"([-_]?part[-_]?\d+)?\.js(on)?$|(^|/)tweets/[^/]+\.js(on)?$|(^|/)tweets\.csv$"
)
# X shows some 275 characters of a longer post; an ellipsis of one's own mostly ends a shorter one.
_CUT_LENGTH = 250
_RETWEET = re.compile(r"(^|\s|[\"“(])(?:RT|MT)\s*@\w+")
# A quoted post's address at the end, or a short one that nothing is known about (mostly of a picture).
_TAIL = re.compile(
    r"(?<!\s)(?:\s*+https?://(?:(?:mobile\.|www\.)?(?:twitter|x)\.com/(?:i/web|\w+)/status/\d+\S*+|t\.co/\w++))++$"
)
_UNREADABLE = "a record that can't be read"


class XSpider(SocialSpider):
    name = "x"
    unknown_fix = (
        "set x.archive to the zip that X prepares under Settings, Your account, Download an archive."
    )

    def begin(self) -> Answers:
        assert self.persona.x
        path = self.persona.x.archive
        try:
            files: dict[str, list[Any]] = {}
            for name, data in archive_members(path, _FILES):
                kind, rows, lost = read_records(name, data)
                if lost:
                    self.skip(_UNREADABLE, name, lost)
                    self.listing_complete = False  # what a damaged file lacks is not deleted
                files.setdefault(kind, []).extend(rows)
            if not files.keys() & {"tweets", "tweets_csv", "community_tweet"}:
                raise ValueError("no tweets.js in it")
            yield from self.documents(self._posts(files))
        except ValueError as error:
            self.fail(path.name, f"unreadable archive: {error}", True, self.unknown_fix)

    def _posts(self, files: dict[str, list[Any]]) -> dict[str, Post]:
        tweets: dict[str, Tweet] = {}
        for row in [*(files.get("tweets") or files.get("tweets_csv", [])), *files.get("community_tweet", [])]:
            try:
                tweet = Tweet.of(row)
            except (KeyError, TypeError, ValueError, AttributeError):
                self.skip(_UNREADABLE, str(row)[:60])
                continue
            tweets[tweet.id] = tweet
        account = Account.of(files, tweets)
        notes = Notes(inner(files, "note_tweet", "noteTweet"))
        edited = [
            tweet.versions for tweet in tweets.values() if tweet.versions and tweet.versions[-1] in tweets
        ]
        newest = {old: versions[-1] for versions in edited for old in versions[:-1]}
        posts: dict[str, Post] = {}
        for tweet in tweets.values():
            if tweet.id in newest:
                self.skip("an earlier version of an edited post", tweet.url(account.name))
            elif tweet.retweet:
                self.skip("retweet", tweet.url(account.name))
            elif post := self._post(tweet, account, notes, newest):
                posts[post.id] = post
        if left := notes.left():
            self.skip("a long post whose short form is gone", left[0].text[:60], len(left))
        for article in files.get("article", []):
            self.skip("an article, which the archive holds in pieces", str(article)[:60])
        return posts

    def _post(
        self, tweet: "Tweet", account: "Account", notes: "Notes", newest: dict[str, str]
    ) -> Post | None:
        raw, links, cut = tweet.text, tweet.links, False
        if note := notes.whole(tweet):
            raw, links = note.text, links | note.links
        elif tail := CUT.search(raw):
            more = any("/i/web/status/" in links.get(link, "") for link in tail.group(1).split())
            cut = tweet.truncated or more or tail.start() >= _CUT_LENGTH
        retweeted = _RETWEET.search(raw)
        own, cut = (raw[: retweeted.start()], False) if retweeted else (raw, cut)
        if retweeted and not NAMES.sub("", own + " ").strip(' :;,.-–—"“”«»|<>/^'):
            self.skip("retweet", tweet.url(account.name))
            return None
        return Post(
            id=tweet.id,
            text=_shown(own, links, account.name),
            url=tweet.url(account.name),
            order=(int(tweet.id), ""),
            at=tweet.at,
            reply_to=newest.get(tweet.reply_to or "", tweet.reply_to),
            to_other=tweet.answered is not None and not account.is_own(tweet),
            addressed=_addressed(raw, account.name),
            language=tweet.language,
            partial=cut,
            visibility="connections" if account.protected or tweet.for_followers else "public",
            payload={"likes": tweet.likes},
        )


def _shown(text: str, links: dict[str, str], user: str) -> str:
    """The post's words, with real addresses in place of t.co; without its pictures', or a quoted post's."""
    text = re.sub(rf"^\s*(?:@{re.escape(user)}\s+)+", "", text, flags=re.I)
    text = LINK.sub(lambda match: links.get(match.group(), match.group()), text).strip()
    return _TAIL.sub("", text).strip()


def _addressed(text: str, user: str) -> bool:
    names = NAMES.match(text + " ")
    return names is not None and any(
        n.casefold() != user.casefold() for n in re.findall(r"@(\w+)", names.group())
    )
