"""Bluesky: the account's repository, as the CAR file that it exports or unpacked to JSON. Reposts are not ours."""

import re
from datetime import UTC, datetime
from typing import Any

from twin_assets.core.records import Visibility
from twin_assets.core.text.storable import clean_text, load_json
from twin_assets.feature.crawl.formats.archives import archive_members
from twin_assets.feature.crawl.formats.exports.car import Repository, read_repository
from twin_assets.feature.crawl.formats.values import parse_time
from twin_assets.feature.crawl.spiders.base import Answers
from twin_assets.feature.crawl.spiders.social.posts import Post, SocialSpider

_POSTS = "app.bsky.feed.post/"
_PROFILE = "app.bsky.actor.profile/self"
_LINK = "app.bsky.richtext.facet#link"
_UNREADABLE = "a record that can't be read"


class BlueskySpider(SocialSpider):
    name = "bluesky"
    unknown_fix = (
        "set bluesky.archive to the CAR file that Bluesky gives under Settings, Account, Export my data."
    )

    def begin(self) -> Answers:
        assert self.persona.bluesky
        path = self.persona.bluesky.archive
        try:
            repository = self._repository()
            if repository.lost:
                self.skip(_UNREADABLE, path.name, repository.lost)
                self.listing_complete = False  # what a damaged file lacks is not deleted
            yield from self.documents(self._posts(repository))
        except ValueError as error:
            self.fail(path.name, f"unreadable archive: {error}", True, self.unknown_fix)

    def _repository(self) -> Repository:
        """From the CAR file, or from a folder or archive of the records as JSON, each in its own file."""
        assert self.persona.bluesky
        path = self.persona.bluesky.archive
        records: dict[str, dict[str, Any]] = {}
        did, lost = "", 0
        pattern = r"\.car$|(^|/)(app\.bsky\.(feed\.post|feed\.repost|actor\.profile)/[\w.~-]+|_commit)\.json$"
        for name, data in archive_members(path, pattern):
            if name.endswith(".car"):
                return read_repository(data)
            match = re.search(r"(did:[a-z]+:[\w.%-]+)/", f"{path.name}/{name}")
            did = did or (match.group(1) if match else "")
            try:
                record = load_json(data)
            except ValueError:
                lost += 1
                continue
            if name.endswith("_commit.json"):
                did = str(record.get("did") or did)
            else:
                records["/".join(name.removesuffix(".json").split("/")[-2:])] = record
        if not records:
            raise ValueError("no .car file and no posts in it")
        return Repository(did, records, lost)

    def _posts(self, repository: Repository) -> dict[str, Post]:
        labels = repository.records.get(_PROFILE, {}).get("labels")
        closed = isinstance(labels, dict) and "!no-unauthenticated" in str(labels.get("values"))
        posts = {}
        for path, record in repository.records.items():
            if path.startswith("app.bsky.feed.repost/"):
                self.skip("a repost", path)
            if not path.startswith(_POSTS):
                continue
            key = path.removeprefix(_POSTS)
            try:
                posts[key] = self._post(key, record, repository.did, "connections" if closed else "public")
            except (KeyError, TypeError, ValueError, AttributeError):
                self.skip(_UNREADABLE, path)
        return posts

    def _post(self, key: str, record: dict[str, Any], did: str, visibility: Visibility) -> Post:
        assert self.persona.bluesky
        reply = record.get("reply") or {}
        parent, root = (str((reply.get(name) or {}).get("uri") or "") for name in ("parent", "root"))
        at = parse_time(str(record.get("createdAt") or ""))
        codes = record.get("langs")
        codes = {str(code).split("-")[0].lower() for code in codes} if isinstance(codes, list) else set()
        return Post(
            id=key,
            text=_shown(str(record["text"]), record.get("facets")),
            at=at,
            url=f"https://bsky.app/profile/{self.persona.bluesky.handle or did}/post/{key}",
            order=(int((at or datetime.fromtimestamp(0, UTC)).timestamp()), key),
            reply_to=parent.rsplit("/", 1)[-1] or None,
            to_other=any(uri and not uri.startswith(f"at://{did}/") for uri in (parent, root)),
            language=codes.pop() if len(codes) == 1 else None,
            visibility=visibility,
            payload={"tags": record.get("tags") or []},
        )


def _shown(text: str, facets: Any) -> str:
    """The words, with whole addresses where the post shows shortened ones. Facets count in bytes of UTF-8."""
    data = text.encode("utf-8", "surrogatepass")
    links = []
    for facet in facets if isinstance(facets, list) else []:
        try:
            start, end = int(facet["index"]["byteStart"]), int(facet["index"]["byteEnd"])
            links += [(start, end, str(f["uri"])) for f in facet["features"] if f.get("$type") == _LINK]
        except (KeyError, TypeError, ValueError, AttributeError):
            continue  # a mark that can't be read leaves the words as they are
    before = len(data)
    for start, end, uri in sorted(links, reverse=True):
        if not 0 <= start < end <= before:
            continue
        if _is_short_for(data[start:end].decode("utf-8", "replace"), uri):
            data, before = data[:start] + uri.encode("utf-8", "surrogatepass") + data[end:], start
    return clean_text(data.decode("utf-8", "surrogatepass")).strip()


def _is_short_for(shown: str, uri: str) -> bool:
    """Whether the words of a link are its own address, mostly without its beginning and end."""
    bare = re.sub(r"^https?://", "", shown.strip()).rstrip("….")
    return "." in bare and bare.casefold() in uri.casefold()
