"""Documents in, cleaned documents out: two text views, boilerplate gone, secrets masked.

`voice_text` keeps what makes a voice: punctuation, case, line breaks, contractions, emoji. `search_text` is
normalised for retrieval. A document that is dropped is counted under its reason.
"""

import re
import unicodedata

from twin_assets.core.records import CleanedDocument, Document, Record
from twin_assets.feature.boilerplate import boilerplate_kind, is_block_page
from twin_assets.feature.quality import assess_quality
from twin_assets.feature.views import element_kinds, html_blocks, join_blocks, markdown_blocks

# Kinds of unstructured elements that are no running text of the author's.
_NOT_WRITING = {"Footer", "Header", "EmailAddress", "Address", "PageBreak", "Image", "FormKeysValues"}

_EMAIL = re.compile(r"\b[\w.+-]+@[\w-]+\.[\w.-]*\w\b")
_SECRET = re.compile(
    r"\b(?:sk-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{30,}|AKIA[0-9A-Z]{16}|xox[abprs]-[A-Za-z0-9-]{10,}|"
    r"hf_[A-Za-z0-9]{30,}|eyJ[A-Za-z0-9_-]{15,}\.[A-Za-z0-9_-]{15,}\.[A-Za-z0-9_-]+)\b|"
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----",
    re.DOTALL,
)


class CleaningResult(Record):
    """`dropped` holds document ids by reason, `removed` counts of boilerplate blocks by kind."""

    documents: list[CleanedDocument]
    dropped: dict[str, list[str]]
    removed: dict[str, int]


def clean_documents(documents: list[Document], languages: list[str]) -> CleaningResult:
    """Clean every document; drop, with a reason, what nothing should be learnt from."""
    kept: list[CleanedDocument] = []
    dropped: dict[str, list[str]] = {}
    removed: dict[str, int] = {}
    for document in documents:
        if document.partial:
            dropped.setdefault("partial", []).append(document.doc_id)
            continue
        if is_block_page(document.body):
            dropped.setdefault("block_page", []).append(document.doc_id)
            continue
        cleaned = clean_document(document)
        for kind in cleaned.removed:
            removed[kind] = removed.get(kind, 0) + 1
        reasons = assess_quality(cleaned, languages)
        if reasons:
            dropped.setdefault(reasons[0], []).append(document.doc_id)
        else:
            kept.append(cleaned)
    return CleaningResult(
        documents=sorted(kept, key=lambda d: d.doc_id), dropped=dict(sorted(dropped.items())), removed=removed
    )


def clean_document(document: Document) -> CleanedDocument:
    """Both views of one document. `removed` names the kind of each boilerplate block taken out."""
    blocks, removed = _writing(document)
    voice, masked = _mask(
        join_blocks(blocks) if document.category != "code" or _is_prose(document) else blocks[0]
    )
    return CleanedDocument(
        persona=document.persona, source=document.source, category=document.category, doc_id=document.doc_id,
        url=document.url, title=document.title, published_at=document.published_at, language=document.language,
        content_hash=document.content_hash, visibility=document.visibility, voice_text=voice,
        search_text=search_view(voice), words=len(voice.split()), removed=[*removed, *masked],
    )  # fmt: skip


def search_view(text: str) -> str:
    """Text normalised for retrieval: NFKC, white space collapsed, markup signs gone. Never trained on."""
    plain = re.sub(r"^(## |- |> |```)", "", unicodedata.normalize("NFKC", text), flags=re.MULTILINE)
    return re.sub(r"\s+", " ", plain).strip()


def _is_prose(document: Document) -> bool:
    return document.mime in ("text/html", "text/markdown")


def _writing(document: Document) -> tuple[list[str], list[str]]:
    """The author's blocks of a document, and the kinds of the blocks left out."""
    if document.mime == "text/html":
        kinds = element_kinds(document.body)
        blocks = html_blocks(document.body)
    elif document.mime == "text/markdown":
        kinds, blocks = {}, markdown_blocks(document.body)
    else:
        return [document.body.replace("\r\n", "\n").strip("\n")], []
    kept: list[str] = []
    removed: list[str] = []
    for number, block in enumerate(blocks):
        kind = None if block.startswith("```") else boilerplate_kind(re.sub(r"^(## |- |> )", "", block))
        if kind is None and kinds.get(re.sub(r"\s+", "", block)) in _NOT_WRITING:
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


def _mask(text: str) -> tuple[str, list[str]]:
    """Secrets and e-mail addresses replaced, and what was found."""
    text, secrets = _SECRET.subn("[secret]", text)
    text, addresses = _EMAIL.subn("[email]", text)
    return text, ["secret"] * secrets + ["email"] * addresses
