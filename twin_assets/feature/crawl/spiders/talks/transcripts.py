"""Transcripts: what the persona says in WebVTT and SRT files, by the speakers that they name.

A file that tells no speakers apart is the persona's as a whole: they declared it.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from twin_assets.core.storage.raw import RawItem
from twin_assets.feature.crawl.formats.talks.captions import MAX_FILE_BYTES, read_captions, speech
from twin_assets.feature.crawl.formats.text.encodings import decode_text
from twin_assets.feature.crawl.formats.values import as_time
from twin_assets.feature.crawl.spiders.base import Answers, SourceSpider

KINDS = (".vtt", ".srt")
_LANGUAGE = re.compile(r"\.[a-z]{2,3}(?:-[A-Za-z]{2,4})?$")
_DATE = re.compile(r"(?<!\d)((?:19|20)\d\d)[-_.]?(\d\d)[-_.]?(\d\d)(?!\d)")
_LONG = 800


class TranscriptsSpider(SourceSpider):
    name = "transcripts"
    unknown_fix = (
        "name .vtt or .srt files (or folders) in transcripts.files, and in also_known_as the names that the persona "
        "bears as a speaker."
    )

    def begin(self) -> Answers:
        assert self.persona.transcripts
        for path in self.persona.transcripts.files:
            if path.is_dir():
                yield from self._folder(path)
            elif path.is_file():
                if item := self._file(path, path.name):
                    yield item
            else:
                self.fail(str(path), "missing file", True, self.unknown_fix)

    def _folder(self, folder: Path) -> Iterator[RawItem]:
        root = folder.resolve()
        for path in sorted(folder.rglob("*")):
            where = path.relative_to(folder).as_posix()
            if not path.is_file() or any(part.startswith(".") for part in Path(where).parts):
                continue
            if path.suffix.lower() not in KINDS:
                self.skip(f"no transcript ({path.suffix or 'no suffix'})", where)
            elif not path.resolve().is_relative_to(root):
                self.skip("link out of the folder", where)
            elif item := self._file(path, where):
                yield item

    def _file(self, path: Path, item_id: str) -> RawItem | None:
        if not self.wanted(item_id, path.name):
            self.skip("left out by the persona's patterns", item_id)
            return None
        try:
            captions = read_captions(self._text(path), self._names())
        except ValueError as error:
            self.listed.add(item_id)  # it is there, so it isn't deleted
            self.fail(
                str(path), f"unreadable transcript: {error}", False, "give .vtt or .srt files with times."
            )
            return None
        if captions.bad:
            self.skip("a cue with a broken time", item_id, captions.bad)
        own = {name for name in captions.speakers() if self.authors.is_named(name)}
        if captions.voiced and not own:
            names = ", ".join(captions.speakers())[:200]
            self.skip("no speaker is the persona", f"{item_id}: {names or 'speakers change, without names'}")
            return None
        others = sum(cue.speaker not in own for cue in captions.cues) if captions.voiced else 0
        if others:
            self.skip("somebody else speaks", item_id, others)
        body = speech(captions.cues, own if captions.voiced else None)
        if not body:
            self.skip("a transcript without words", item_id)
            return None
        return self.item(
            item_id,
            category="article" if len(body) > _LONG else "post",
            url=path.resolve().as_uri(),
            title=_LANGUAGE.sub("", path.stem),
            published_at=_date(path.stem),
            mime="text/plain",
            body=body,
            payload={"seconds": round(captions.cues[-1].end), "speakers": len(captions.speakers())},
        )

    def _names(self) -> tuple[str, ...]:
        return (self.persona.full_name, *self.persona.also_known_as)

    def _text(self, path: Path) -> str:
        if path.suffix.lower() not in KINDS:
            raise ValueError(
                f"{path.suffix or 'a file without suffix'} is no kind of transcript that is read"
            )
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ValueError(f"larger than {MAX_FILE_BYTES // 1_000_000} MB")
        return decode_text(path.read_bytes())


def _date(stem: str) -> datetime | None:
    """A day in a file's name, as recorders put it there."""
    match = _DATE.search(stem)
    return as_time("-".join(match.groups())) if match else None
