"""Documents in, cleaned documents out: two text views, boilerplate gone, secrets and personal data masked.

`voice_text` keeps what makes a voice: punctuation, case, line breaks, contractions, emoji. `search_text` is
normalised for retrieval. A document that is dropped is counted under its reason.
"""

import logging
import re
import unicodedata
from collections import Counter

from twin_assets.core.records import CleanedDocument, Document, Record
from twin_assets.core.text.block_pages import is_block_page
from twin_assets.core.text.boilerplate import boilerplate_kind
from twin_assets.core.text.privacy import ALL_KINDS, SECRET_KINDS, kinds_to_mask, mask, scan
from twin_assets.core.text.words import count_words
from twin_assets.feature.corpus.language import detect_language
from twin_assets.feature.corpus.markdown import element_kinds, html_blocks, join_blocks, markdown_blocks
from twin_assets.feature.corpus.quality import assess_quality
from twin_assets.feature.corpus.repeated import repeated_lines, without_repeated

log = logging.getLogger(__name__)

# Kinds of unstructured elements that are no running text of the author's.
_NOT_WRITING = {"Footer", "Header", "EmailAddress", "Address", "PageBreak", "Image", "FormKeysValues"}

# Only a short line without a full stop can be such an element; the rest need not be asked about.
_MAX_DOUBTFUL_WORDS = 8
_DOUBTFUL = re.compile(r"@|\d{5}")
_MARKED = ("```", "## ", "- ", "> ", "  ")


class CleaningResult(Record):
    """`dropped` holds document ids by reason, `removed` counts of boilerplate blocks by kind, `masked` counts
    of secrets and personal data by kind."""

    documents: list[CleanedDocument]
    dropped: dict[str, list[str]]
    removed: dict[str, int]
    masked: dict[str, int] = {}


def clean_documents(
    documents: list[Document], languages: list[str], mask_personal_data: bool = True
) -> CleaningResult:
    """Clean every document; drop, with a reason, what nothing should be learnt from."""
    kept: list[CleanedDocument] = []
    dropped: dict[str, list[str]] = {}
    removed: Counter[str] = Counter()
    cleaned_ones: list[CleanedDocument] = []
    for document in documents:
        if document.partial:
            dropped.setdefault("partial", []).append(document.doc_id)
            continue
        if document.mime == "text/html" and is_block_page(document.body):
            dropped.setdefault("block_page", []).append(document.doc_id)
            continue
        try:
            cleaned_ones.append(clean_document(document, mask_personal_data))
        except Exception:  # a page can be odd in any way; the others are not
            log.exception("not cleaned: %s", document.url)
            dropped.setdefault("unreadable", []).append(document.doc_id)
    repeated = repeated_lines(cleaned_ones)
    for cleaned in cleaned_ones:
        cleaned = _without_repeated(cleaned, repeated.get(cleaned.source, set()))
        removed.update(cleaned.removed)
        reasons = assess_quality(cleaned, languages)
        if reasons:
            dropped.setdefault(reasons[0], []).append(cleaned.doc_id)
        else:
            kept.append(cleaned)
    return CleaningResult(
        documents=sorted(kept, key=lambda d: d.doc_id),
        dropped=dict(sorted(dropped.items())),
        removed={kind: n for kind, n in removed.items() if kind not in ALL_KINDS},
        masked={kind: n for kind, n in removed.items() if kind in ALL_KINDS},
    )


def clean_document(document: Document, mask_personal_data: bool = True) -> CleanedDocument:
    """Both views of one document, and its language where none was declared.

    `removed` names the kind of each boilerplate block taken out and of each thing masked in `voice_text`.
    """
    blocks, removed = _writing(document)
    kinds = kinds_to_mask(mask_personal_data)
    prose = _is_prose(document)
    voice, masked = mask(join_blocks(blocks) if document.category != "code" or prose else blocks[0], kinds)
    language = document.language
    if language is None and (prose or document.category != "code"):
        language = detect_language(voice)
    return CleanedDocument(
        persona=document.persona, source=document.source, category=document.category, doc_id=document.doc_id,
        url=mask(document.url, SECRET_KINDS)[0], title=mask(document.title, kinds)[0] if document.title else document.title,
        published_at=document.published_at, language=language, content_hash=document.content_hash,
        visibility=document.visibility, voice_text=voice,
        # Normalising may uncover what was spread over two lines.
        search_text=mask(search_view(voice), kinds)[0],
        words=count_words(voice), removed=[*removed, *masked.elements()],
    )  # fmt: skip


def _without_repeated(document: CleanedDocument, lines: set[str]) -> CleanedDocument:
    """The article without the lines that its source sets round every one."""
    voice, times = without_repeated(document.voice_text, lines) if document.category == "article" else ("", 0)
    if not times:
        return document
    return document.model_copy(
        update={
            "voice_text": voice,
            "search_text": search_view(voice),
            "words": count_words(voice),
            "removed": [*document.removed, *["repeated_line"] * times],
        }
    )


def leaks(documents: list[CleanedDocument], mask_personal_data: bool = True) -> Counter[str]:
    """Secrets, and personal data where it is to be masked, still in any text of the documents, by kind."""
    kinds = kinds_to_mask(mask_personal_data)
    return Counter(
        finding.kind
        for document in documents
        for text in (document.voice_text, document.search_text, document.title or "")
        for finding in scan(text, kinds)
    )


def search_view(text: str) -> str:
    """Text normalised for retrieval: NFKC, white space collapsed, markup signs gone. Never trained on."""
    plain = re.sub(
        r"^(## |- |> |(?:`{3,}|~{3,})[\w+#-]*)", "", unicodedata.normalize("NFKC", text), flags=re.MULTILINE
    )
    return re.sub(r"\s+", " ", plain).strip()


def _is_prose(document: Document) -> bool:
    return document.mime in ("text/html", "text/markdown")


def _writing(document: Document) -> tuple[list[str], list[str]]:
    """The author's blocks of a document, and the kinds of the blocks left out."""
    if document.mime == "text/html":
        blocks = html_blocks(document.body)
        furniture = _furniture(blocks, document.language)
    elif document.mime == "text/markdown":
        blocks, furniture = markdown_blocks(document.body), set()
    else:
        return [document.body.replace("\r\n", "\n").strip("\n")], []
    kept: list[str] = []
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
            kept.append(block)
        else:
            removed.append(kind)
    return kept, removed


def _furniture(blocks: list[str], language: str | None) -> set[str]:
    """Blocks that unstructured tells to be an address or the like and no writing."""
    short = [
        b
        for b in blocks
        if _DOUBTFUL.search(b) and count_words(b) <= _MAX_DOUBTFUL_WORDS and b[0] not in "`#>-"
    ]
    kinds = element_kinds(short, language)
    return {block for block, kind in zip(short, kinds, strict=True) if kind in _NOT_WRITING}
