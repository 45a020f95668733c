"""Tells of what kind an export is, by what it holds and never by its name, and lays it out as its spider reads it."""

import re
import shutil
import tarfile
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from twin_assets.feature.crawl.formats.archives import archive_members, member_names
from twin_assets.feature.crawl.formats.talks.conversations import load_json
from twin_assets.feature.crawl.formats.talks.discord import is_discord
from twin_assets.feature.crawl.formats.talks.slack import is_slack
from twin_assets.feature.crawl.formats.talks.telegram import is_telegram
from twin_assets.feature.crawl.formats.talks.whatsapp import is_whatsapp
from twin_assets.feature.crawl.formats.text.encodings import decode_text
from twin_assets.feature.crawl.formats.text.files import is_readable

_HEAD = 65_536
_LABEL = 60
_MAX_NAME_BYTES = 255
_MAX_DEPTH = 40
_SNIFFED = 20  # members that are opened to tell a kind
# Text, and no writing: here the name helps.
_DATA = {
    ".csv",
    ".tsv",
    ".js",
    ".ts",
    ".py",
    ".css",
    ".yaml",
    ".yml",
    ".toml",
    ".ini",
    ".ics",
    ".vcf",
    ".sql",
    ".log",
    ".sh",
}
_BINARY = {
    ".html",
    ".htm",
    ".xhtml",
    ".pdf",
    ".docx",
    ".epub",
    ".odt",
}  # by name; by what it holds it is none of these
# Never read, and often most of an archive.
_MEDIA = (
    r"(?i)^(?!.*\.(?:zip|jpe?g|png|gif|webp|avif|heic|bmp|tiff?|psd|mp[34]|m4[av]|mov|avi|mkv|webm|og[gav]|opus|wav|flac|woff2?"
    r"|ttf|otf|exe|dll|so|iso|dmg|apk)$)"
)
_HEADER_LINES = re.compile(r"(?:[!-9;-~]+:[^\n]*\r?\n(?:[ \t][^\n]*\r?\n)*){3,}")
_SRT = re.compile(r"\s*\d+\s*\r?\n\d\d:\d\d:\d\d[,.]\d+\s*-->")
_WXR = b"wordpress.org/export/"
_SITES = {
    "an Obsidian vault": r"(^|/)\.obsidian/", "a Jekyll site": r"(^|/)_config\.ya?ml$",
    "a Hugo site": r"(^|/)(hugo\.(toml|ya?ml|json)|archetypes/[^/]+)$", "a Pelican site": r"(^|/)pelicanconf\.py$",
}  # fmt: skip
# Exports that people have and that hold others' words or no writing, with what to ask for instead.
_UNREAD = {
    r"(^|/)messages\d*\.html$": "chats as HTML. Export them from Telegram as JSON (machine-readable) instead",
    r"(^|/)your_(facebook|instagram)_activity/|(^|/)posts/your_posts": "an export of Facebook or Instagram, which isn't read",
    r"(^|/)archive_browser\.html$": "Google's Takeout without mail. Choose Mail (mbox) there",
}  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """What a file is: the source whose spider reads it, and what to call it.

    `unpacked` archives are given to the spider as a folder, and so are single files with `folded`. `file` is the
    name that the spider goes by, or its suffix alone.
    """

    source: str
    title: str
    unpacked: bool = False
    folded: bool = False
    file: str = ""


def recognise(path: Path, name: str = "") -> Kind:
    """The kind of a file, an archive or a folder. `name` (what it was called) only tells text from Markdown.

    Raises ValueError for what is of no kind that is read (saying what is inside), and for what is broken or harmful.
    """
    if path.is_dir():
        return _of_members(path, "")
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head[:2] == b"PK":
        if not zipfile.is_zipfile(path):
            raise ValueError("a damaged zip file, or one cut off on its way: download it again")
        return _of_members(path, ".zip")
    if _is_tar(path):
        return _of_members(path, ".tar")
    return _of_content(path, head, name)


def prepare(path: Path, name: str, into: Path) -> tuple[Kind, Path]:
    """Recognise a file and lay it out below `into`; its kind, and the path that the persona's YAML would name.

    Folders stay where they are. Raises ValueError as `recognise` does.
    """
    kind = recognise(path, name)
    if path.is_dir():
        return kind, path
    label = label_of(name)
    into.mkdir(mode=0o700, parents=True, exist_ok=True)
    if kind.unpacked:
        unpack(path, into / label)
        return kind, into / label
    file = kind.file if not kind.file.startswith(".") else label + kind.file
    entry = into / label / file if kind.folded or file == kind.file else into / file
    entry.parent.mkdir(mode=0o700, exist_ok=True)
    entry.unlink(missing_ok=True)
    try:
        entry.hardlink_to(path)
    except OSError:  # on another disk, or somebody else's
        shutil.copyfile(path, entry)
    return kind, into / label if kind.folded else entry


def unpack(path: Path, folder: Path) -> None:
    """Unpack an archive's files, pictures and recordings aside, without the folder that may be around all of them.

    Raises ValueError for paths that lead out or that no disk takes, and past the limits of `archive_members`.
    """
    names = member_names(path)
    roots = {name.partition("/")[0] for name in names}
    around = f"{roots.pop()}/" if len(roots) == 1 and all("/" in name for name in names) else ""
    for name, data in archive_members(path, _MEDIA):
        inner = PurePosixPath(name.removeprefix(around))
        if len(inner.parts) > _MAX_DEPTH or any(
            len(part.encode("utf-8", "replace")) > _MAX_NAME_BYTES for part in inner.parts
        ):
            raise ValueError(f"member {name[:100]}… has too long a path")
        target = folder / inner
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise ValueError(f"member {name} can't be unpacked ({why})") from None


def label_of(name: str) -> str:
    """A short name for files and folders out of what a file was called: letters, digits, dots inside and dashes."""
    stem = re.sub(
        r"(?i)(\.(zip|tar|gz|tgz|bz2|xz|json|xml|txt|md|csv|html?))+$",
        "",
        PurePosixPath(name.replace("\\", "/")).name,
    )
    plain = re.sub(r"[^\w.]+", "-", unicodedata.normalize("NFC", stem)).strip("-._")
    plain = plain[:_LABEL].encode("utf-8", "ignore")[: _MAX_NAME_BYTES - 60].decode("utf-8", "ignore")
    return plain.rstrip("-._") or "export"


def _is_tar(path: Path) -> bool:
    try:
        return tarfile.is_tarfile(path)
    except (OSError, EOFError, zlib.error):
        return False


def _of_members(path: Path, suffix: str) -> Kind:
    names = member_names(path)
    kind = _export(path, names, suffix) or _talk(path, names, suffix) or _writing(names)
    if kind is None:
        reason = next(
            (why for pattern, why in _UNREAD.items() if any(re.search(pattern, n) for n in names)), None
        )
        if reason:
            raise ValueError(f"it is {reason}")
        raise ValueError(f"it is of no kind that is read. Inside: {_inside(names)}")
    return kind


def _export(path: Path, names: list[str], suffix: str) -> Kind | None:
    """A platform's export of posts or articles."""
    suffix = suffix or ".zip"  # a folder is never renamed

    def has(pattern: str) -> bool:
        return any(re.search(pattern, name) for name in names)

    shares = r"(^|/)(Shares|Rich[ _]Media)([ _-]?\(?\d+\)?)*\.csv$"
    if has(shares) or (has(r"(^|/)Profile\.csv$") and has(r"(^|/)(Positions|Connections|Skills)\.csv$")):
        return Kind("linkedin", "LinkedIn's data export", file=suffix)
    tweets = r"(^|/)(tweets?|community-tweet)([-_]?part[-_]?\d+)?\.js(on)?$|(^|/)tweets/[^/]+\.js(on)?$|(^|/)tweets\.csv$"
    if has(tweets) and _sniff(path, tweets, _is_x):
        return Kind("x", "X's archive", file=suffix)
    if has(r"(^|/)outbox\.json$") and _sniff(path, r"(^|/)outbox\.json$", _is_outbox):
        return Kind("mastodon", "Mastodon's archive", file=suffix)
    if has(r"\.car$") or has(r"(^|/)app\.bsky\.(feed\.post|actor\.profile)/"):
        return Kind("bluesky", "Bluesky's repository", file=suffix)
    if has(r"(^|/)posts\.csv$") and has(r"(^|/)posts/[^/]+\.html?$"):
        return Kind("substack", "Substack's export", file=suffix)
    story = r"(^|/)posts/[^/]+\.html$"
    if has(story) and _sniff(
        path, story, lambda data: b"h-entry" in data or b"e-content" in data or b'data-field="body"' in data
    ):
        return Kind("medium", "Medium's export", file=suffix)
    if _sniff(path, r"^([^/]+/){0,2}[^/]+\.xml$", lambda data: _WXR in data[:_HEAD], names):
        return Kind("wordpress", "WordPress's export", file=suffix)
    if _sniff(path, r"^([^/]+/){0,2}[^/]+\.json$", _is_ghost, names):
        return Kind("ghost", "Ghost's export", file=suffix)
    return None


def _talk(path: Path, names: list[str], suffix: str) -> Kind | None:
    """Mail, chats or transcripts."""
    unpacked = suffix == ".tar"  # their spiders read zips and folders
    if is_slack(names) or is_discord(names):
        title = "Slack's export" if is_slack(names) else "Discord's package"
        return Kind("chats", title, unpacked, file=suffix)
    if _sniff(path, r"(^|/)result\.json$", lambda data: is_telegram(_json(data)), names):
        return Kind("chats", "Telegram's export", unpacked, file=suffix)
    boxed = any(
        re.search(r"(?i)\.(mbox|mbx|emlx?)$|(^|/)(cur|new)/[^/]*[:;!]2,[A-Z]*$", name) for name in names
    )
    if boxed or _sniff(path, r"(^|/)[^./]+$", lambda data: data[:5] == b"From ", names):
        return Kind("mail", "mail", unpacked=True)
    texts = [name for name in names if name.lower().endswith(".txt")]
    writing = [name for name in names if is_readable(Path(name)) and name not in texts]
    if texts and not writing and _sniff(path, r"(?i)\.txt$", _is_whatsapp, texts):
        return Kind("chats", "WhatsApp's export", unpacked, file=suffix)
    spoken = sum(name.lower().endswith((".vtt", ".srt")) for name in names)
    if spoken > len(writing):
        return Kind("transcripts", "transcripts", unpacked=True)
    return None


def _writing(names: list[str]) -> Kind | None:
    if any(
        re.search(r"(^|/)messages\d*\.html$|(^|/)your_(facebook|instagram)_activity/", name) for name in names
    ):
        return None
    for member, suffix in (
        ("word/document.xml", ".docx"),
        ("META-INF/container.xml", ".epub"),
        ("content.xml", ".odt"),
    ):
        if member in names and ("mimetype" in names or "[Content_Types].xml" in names):
            if not is_readable(Path(f"a{suffix}")):
                return None
            return Kind("web", f"a file of writing ({suffix})", folded=True, file=suffix)
    if not any(is_readable(Path(name)) for name in names):
        return None
    sites = (title for title, pattern in _SITES.items() if any(re.search(pattern, name) for name in names))
    return Kind("web", next(sites, "a folder of writing"), unpacked=True)


def _of_content(path: Path, head: bytes, name: str) -> Kind:
    """The kind of a single file."""
    if not head.strip():
        raise ValueError("an empty file")
    if head[:5] == b"%PDF-":
        return Kind("web", "a PDF file", folded=True, file=".pdf")
    if b"eroots" in head[:100] and b"version" in head[:200]:
        return Kind("bluesky", "Bluesky's repository", file=".car")
    if head[:5] == b"From ":
        return Kind("mail", "a mailbox (mbox)", file=".mbox")
    if head[:2] == b"\x1f\x8b" or head[:4] in (b"Rar!", b"7z\xbc\xaf", b"\xfd7zX"):
        raise ValueError(
            "a packed file that is neither a zip nor a tar file: unpack it, and give what is inside"
        )
    text = _beginning(head)
    plain = text.lstrip("\ufeff \t\r\n")
    if _is_x(head):
        return Kind(
            "x", "posts of X's archive", file="tweets.csv" if "tweet_id" in plain[:300] else "tweets.js"
        )
    if plain[:1] in "{[" and not plain.startswith("{\\rtf"):
        return _of_json(path)
    if plain.startswith("<?xml") or plain[:4] in ("<rss", "<!--"):
        if _WXR in head:
            return Kind("wordpress", "WordPress's export", file=".xml")
        if re.search(r"<(rss|feed|rdf:RDF)\b", plain[:4_000]):
            raise ValueError("it is a feed. Name its address under Web, Pages instead")
    if re.search(r"(?i)\bsharecommentary\b", plain[:2_000]):
        return Kind("linkedin", "posts of LinkedIn's export", file="Shares.csv")
    if plain.startswith("WEBVTT"):
        return Kind("transcripts", "a transcript", file=".vtt")
    if _SRT.match(plain):
        return Kind("transcripts", "a transcript", file=".srt")
    if is_whatsapp(text):
        return Kind("chats", "WhatsApp's export", file=".txt")
    fronted = plain.startswith(("---\n", "---\r\n", "+++"))
    mail = None if fronted else re.match(r"(?:\d+\s*\n)?(" + _HEADER_LINES.pattern + ")", plain)
    if (
        mail
        and re.search(r"(?im)^from:", mail[1])
        and re.search(r"(?im)^(date|message-id|received|subject):", mail[1])
    ):
        return Kind("mail", "a mail", file=".emlx" if plain[0].isdigit() else ".eml")
    if re.search(r"(?i)<(!doctype html|html|body|article)\b", plain[:4_000]):
        if "page_wrap" in plain and "page_header" in plain and "Exported" in text[:_HEAD]:
            raise ValueError(f"it is {next(iter(_UNREAD.values()))}")
        return Kind("web", "an HTML page", folded=True, file=".html")
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in _DATA:
        raise ValueError(f"it is of no kind that is read. Inside: {plain[:60].splitlines()[0]!r}")
    if not is_readable(Path(f"a{suffix}")) or suffix in _BINARY:
        suffix = ".md" if plain.startswith(("---\n", "+++\n", "# ", "---\r\n")) else ".txt"
    return Kind("web", "a file of writing", folded=True, file=suffix)


def _of_json(path: Path) -> Kind:
    data = _json(path.read_bytes())
    if data is None:
        raise ValueError("JSON that is not whole: download it again")
    if is_telegram(data):
        return Kind("chats", "Telegram's export", file=".json")
    if isinstance(data, dict) and isinstance(data.get("orderedItems"), list):
        return Kind("mastodon", "Mastodon's posts", file="outbox.json")
    if _has_ghost_posts(data):
        return Kind("ghost", "Ghost's export", file=".json")
    if isinstance(data, dict) and "nbformat" in data and is_readable(Path("a.ipynb")):
        return Kind("web", "a notebook", folded=True, file=".ipynb")
    keys = (
        ", ".join(list(data)[:8])
        if isinstance(data, dict)
        else f"a list of {len(data)}"
        if isinstance(data, list)
        else "a value"
    )
    raise ValueError(f"it is of no kind that is read. Inside: JSON ({keys[:200]})")


def _sniff(path: Path, pattern: str, is_it: Any, names: list[str] | None = None) -> bool:
    """Whether one of the first members that match the pattern is what `is_it` looks for in its bytes.

    With `names` (paths of what is there) it isn't even looked for where none matches.
    """
    if names is not None and not any(re.search(pattern, name) for name in names):
        return False
    for number, (_, data) in enumerate(archive_members(path, pattern)):
        if is_it(data):
            return True
        if number >= _SNIFFED:
            break
    return False


def _is_x(data: bytes) -> bool:
    head = data[:4_000].lstrip(b"\xef\xbb\xbf \t\r\n")
    if re.match(rb"(window\.)?YTD\.|Grailbird|var\s+tweet", head):
        return True
    return head[:12].lstrip(b'"').startswith(b"tweet_id") or (head[:1] in b"[{" and b'"full_text"' in head)


def _is_outbox(data: bytes) -> bool:
    value = _json(data)
    return isinstance(value, dict) and "orderedItems" in value


def _is_ghost(data: bytes) -> bool:
    return b'"posts"' in data and _has_ghost_posts(_json(data))


def _has_ghost_posts(data: Any) -> bool:
    """Tables below `db`, or directly below `data`; or posts with what only Ghost's posts have."""
    databases = data.get("db", data) if isinstance(data, dict) else None
    for one in databases if isinstance(databases, list) else [databases]:
        tables = one.get("data", one) if isinstance(one, dict) else None
        posts = tables.get("posts") if isinstance(tables, dict) else None
        if isinstance(posts, list) and (
            "db" in data
            or any(isinstance(p, dict) and p.keys() & {"mobiledoc", "lexical", "html"} for p in posts[:20])
        ):
            return True
    return False


def _is_whatsapp(data: bytes) -> bool:
    return is_whatsapp(_beginning(data[:_HEAD]))


def _beginning(head: bytes) -> str:
    """The text of a file's first bytes. Raises ValueError where it is none."""
    for mark in (b"\n", b" "):  # not in the middle of a letter
        if len(head) == _HEAD and mark in head[-2_000:]:
            head = head[: head.rindex(mark)]
            break
    try:
        return decode_text(head)
    except ValueError:
        raise ValueError(
            f"it is of no kind that is read. Inside: bytes that are no text ({head[:8].hex()} …)"
        ) from None


def _json(data: bytes) -> Any:
    try:
        return load_json(data)
    except ValueError:
        return None


def _inside(names: list[str]) -> str:
    if not names:
        return "nothing"
    kinds = Counter(PurePosixPath(name).suffix.lower() or "no suffix" for name in names)
    counts = ", ".join(f"{count:,} {suffix}" for suffix, count in kinds.most_common(6))
    return f"{counts} ({', '.join(_some(names))})"


def _some(names: list[str]) -> Iterator[str]:
    for name in names[:4]:
        yield name[-80:]
    if len(names) > 4:
        yield "…"
