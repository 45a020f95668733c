"""Documents in, cleaned documents out: two text views, boilerplate gone, secrets and personal data masked.

`voice_text` keeps what makes a voice: punctuation, case, line breaks, contractions, emoji. `search_text` is
normalised for retrieval. A document that is dropped is counted under its reason.
"""

import logging
import pickle
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from tempfile import TemporaryFile
from typing import NamedTuple

from twin_assets.core.data_runner import Runner, map_rows
from twin_assets.core.records import CleanedDocument, Document, Exchange
from twin_assets.core.row_file import RowFile
from twin_assets.core.text.html.block_pages import is_block_page
from twin_assets.core.text.html.boilerplate import boilerplate_kind
from twin_assets.core.text.privacy import ALL_KINDS, SECRET_KINDS, kinds_to_mask, mask, scan
from twin_assets.core.text.words import count_words
from twin_assets.feature.corpus.cleaning.markdown import (
    element_kinds,
    html_blocks,
    join_blocks,
    markdown_blocks,
)
from twin_assets.feature.corpus.cleaning.repeated_ends import repeated_ends
from twin_assets.feature.corpus.language import detect_language
from twin_assets.feature.corpus.quality import assess_quality
from twin_assets.feature.corpus.talks import exchanges_of

log = logging.getLogger(__name__)

# Documents of a task: some tenths of a second's work.
PARTITION = 20

# Kinds of unstructured elements that are no running text of the author's.
_NOT_WRITING = {"Footer", "Header", "EmailAddress", "Address", "PageBreak", "Image", "FormKeysValues"}

# Only a short line without a full stop can be such an element; the rest need not be asked about.
_MAX_DOUBTFUL_WORDS = 8
_DOUBTFUL = re.compile(r"@|\d{5}")
_MARKED = ("```", "## ", "- ", "> ", "  ")


class CleaningResult(NamedTuple):
    """`dropped` holds document ids by reason, `removed` counts of boilerplate blocks by kind, `masked` counts
    of secrets and personal data by kind."""

    documents: RowFile[CleanedDocument]
    dropped: dict[str, list[str]]
    removed: dict[str, int]
    masked: dict[str, int]


def clean_documents(
    documents: Iterable[Document],
    languages: list[str],
    mask_personal_data: bool = True,
    turns: Mapping[str, str] | None = None,
    runner: Runner | None = "native",
) -> CleaningResult:
    """Clean every document; drop, with a reason, what nothing should be learnt from. `turns` are the messages of
    conversations by document id (`talks`). `runner` is as in `map_rows`, with its errors; what ends many texts is told
    here, by hashes of the texts' blocks; the blocks wait on this machine's disk."""
    dropped: dict[str, list[str]] = {}
    removed: Counter[str] = Counter()
    with TemporaryFile() as waiting:

        def read() -> Iterator[list[str]]:
            for document, writing in map_rows(_read, documents, runner, partition=PARTITION):
                if isinstance(writing, str):
                    dropped.setdefault(writing, []).append(document.doc_id)
                else:
                    pickle.dump((document, writing), waiting)
                    yield writing.blocks

        def rows() -> Iterator[tuple[Document, _Writing, str | None]]:
            for first, last in ends:
                document, writing = pickle.load(waiting)  # noqa: S301  # of this process
                yield document, writing.without(first, last), (turns or {}).get(document.doc_id)

        def passed() -> Iterator[CleanedDocument]:
            finish = partial(_finished, languages=languages, mask_personal_data=mask_personal_data)
            for cleaned, reasons in map_rows(finish, rows(), runner, partition=PARTITION):
                removed.update(cleaned.removed)
                if reasons:
                    dropped.setdefault(reasons[0], []).append(cleaned.doc_id)
                else:
                    yield cleaned

        ends = repeated_ends(read())
        waiting.seek(0)
        clean = RowFile[CleanedDocument].of(passed())
    doc_ids = [doc_id for (doc_id,) in clean.values("doc_id")]
    if doc_ids != sorted(doc_ids):  # the warehouse gives them in this order
        clean = RowFile[CleanedDocument].of(sorted(clean, key=lambda d: d.doc_id))
    return CleaningResult(
        documents=clean,
        dropped=dict(sorted(dropped.items())),
        removed={kind: n for kind, n in removed.items() if kind not in ALL_KINDS},
        masked={kind: n for kind, n in removed.items() if kind in ALL_KINDS},
    )


def _read(document: Document) -> tuple[Document, "_Writing | str"]:
    """The document without its body, and its writing, or the reason to drop it unread."""
    bare = document.model_copy(update={"body": ""})
    if document.partial:
        return bare, "partial"
    if document.mime == "text/html" and is_block_page(document.body):
        return bare, "block_page"
    try:
        return bare, _writing(document)
    except Exception:  # a page can be odd in any way; the others are not
        log.exception("not cleaned: %s", document.url)
        return bare, "unreadable"


def _finished(
    row: "tuple[Document, _Writing, str | None]", languages: list[str], mask_personal_data: bool
) -> tuple[CleanedDocument, list[str]]:
    """The cleaned document of its writing and of its messages, if it is a conversation; with reasons to drop it."""
    document, writing, turns = row
    cleaned = _cleaned(document, writing, mask_personal_data)
    if turns is not None:
        cleaned = _with_exchanges(cleaned, turns, mask_personal_data)
    return cleaned, assess_quality(cleaned, languages)


def clean_document(document: Document, mask_personal_data: bool = True) -> CleanedDocument:
    """Both views of one document, and its language where none was declared.

    `removed` names the kind of each boilerplate block taken out and of each thing masked in `voice_text`.
    """
    return _cleaned(document, _writing(document), mask_personal_data)


def _cleaned(document: Document, writing: "_Writing", mask_personal_data: bool) -> CleanedDocument:
    kinds = kinds_to_mask(mask_personal_data)
    prose = _is_prose(document)
    voice, masked = mask(writing.text, kinds)
    language = document.language
    if language is None and (prose or document.category != "code"):
        language = detect_language(voice)
    return CleanedDocument(
        persona=document.persona,
        source=document.source,
        category=document.category,
        doc_id=document.doc_id,
        url=mask(document.url, SECRET_KINDS)[0],
        title=mask(document.title, kinds)[0] if document.title else document.title,
        published_at=document.published_at,
        language=language,
        content_hash=document.content_hash,
        visibility=document.visibility,
        voice_text=voice,
        # Normalising may uncover what was spread over two lines.
        search_text=mask(search_view(voice), kinds)[0],
        words=count_words(voice),
        removed=[*writing.removed, *masked.elements()],
    )


def _with_exchanges(document: CleanedDocument, turns: str, mask_personal_data: bool) -> CleanedDocument:
    """The document with what was asked and answered in it; without answers that cleaning took apart."""
    kinds = kinds_to_mask(mask_personal_data)
    exchanges = [
        Exchange(asked=mask(one.asked, kinds)[0], answered=mask(one.answered, kinds)[0])
        for one in exchanges_of(turns)
    ]
    whole = [one for one in exchanges if one.answered in document.voice_text]
    return document.model_copy(update={"exchanges": whole})


def leaks(
    documents: Iterable[CleanedDocument], mask_personal_data: bool = True, runner: Runner | None = "native"
) -> Counter[str]:
    """Secrets, and personal data where it is to be masked, still in any text of the documents, by kind. `runner` is as in
    `map_rows`."""
    kinds_of = partial(_leaks_of, kinds=kinds_to_mask(mask_personal_data))
    return sum(map_rows(kinds_of, documents, runner, partition=PARTITION), Counter[str]())


def _leaks_of(document: CleanedDocument, kinds: frozenset[str]) -> Counter[str]:
    texts = (
        document.voice_text,
        document.search_text,
        document.title or "",
        *(one.asked for one in document.exchanges),
    )
    return Counter(finding.kind for text in texts for finding in scan(text, kinds))


def search_view(text: str) -> str:
    """Text normalised for retrieval: NFKC, white space collapsed, markup signs gone. Never trained on."""
    plain = re.sub(
        r"^(## |- |> |(?:`{3,}|~{3,})[\w+#-]*)", "", unicodedata.normalize("NFKC", text), flags=re.MULTILINE
    )
    return re.sub(r"\s+", " ", plain).strip()


def _is_prose(document: Document) -> bool:
    return document.mime in ("text/html", "text/markdown")


class _Writing(NamedTuple):
    """The author's blocks of a document, the kinds of the blocks left out, and whether the blocks are marked-up text:
    those of plain text are its paragraphs as they stand, code is one."""

    blocks: list[str]
    removed: list[str]
    marked: bool

    @property
    def text(self) -> str:
        return join_blocks(self.blocks) if self.marked else "\n\n".join(self.blocks)

    def without(self, first: int, last: int) -> "_Writing":
        blocks = self.blocks[first : len(self.blocks) - last]
        return self._replace(blocks=blocks, removed=[*self.removed, *["repeated"] * (first + last)])


def _writing(document: Document) -> _Writing:
    if document.mime == "text/html":
        blocks = html_blocks(document.body)
        furniture = _furniture(blocks, document.language)
    elif document.mime == "text/markdown":
        blocks, furniture = markdown_blocks(document.body), set()
    else:
        text = document.body.replace("\r\n", "\n").strip("\n")
        return _Writing([text] if document.category == "code" else text.split("\n\n"), [], False)
    writing: list[str] = []
    removed: list[str] = []
    for number, block in enumerate(blocks):
        # Code, headings, items and quotations are never lines of a site's: "## Comments" may head an article's part.
        kind = None if block.startswith(_MARKED) else boilerplate_kind(block)
        if kind is None and block in furniture:
            kind = "page_furniture"
        if (
            kind is None
            and number == 0
            and document.title
            and block.removeprefix("## ").strip() == document.title
        ):
            kind = "repeated_title"
        if kind is None:
            writing.append(block)
        else:
            removed.append(kind)
    return _Writing(writing, removed, True)


def _furniture(blocks: list[str], language: str | None) -> set[str]:
    """Blocks that unstructured tells to be an address or the like and no writing."""
    short = [
        b
        for b in blocks
        if _DOUBTFUL.search(b) and count_words(b) <= _MAX_DOUBTFUL_WORDS and b[0] not in "`#>-"
    ]
    kinds = element_kinds(short, language)
    return {block for block, kind in zip(short, kinds, strict=True) if kind in _NOT_WRITING}
