"""The text of a PDF. As a program it is the reader of `apart`."""

import io
from datetime import UTC, datetime

from twin_assets.core.records import Record
from twin_assets.core.text.apart import answer, read_apart
from twin_assets.core.text.pdf_lines import paragraphs_of


class PdfText(Record):
    """Paragraphs divided by empty lines, and what the file says about itself."""

    text: str
    title: str | None
    author: str | None
    created: datetime | None
    pages: int


def read_pdf(data: bytes) -> PdfText:
    """Read in this process. Raises ValueError with what is wrong with the file."""
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(io.BytesIO(data))
        pages = [page.extract_text() for page in reader.pages]
        about = reader.metadata
    except (PyPdfError, ValueError, KeyError, OSError) as error:
        raise ValueError(f"broken PDF ({error})") from None
    text = "\n\n".join(paragraphs_of(pages))
    if not text:
        raise ValueError("a PDF without text (a scan?)")
    created = about.creation_date if about else None
    return PdfText(
        text=text,
        title=(about.title if about else None) or None,
        author=(about.author if about else None) or None,
        pages=len(pages),
        created=(created if created.tzinfo else created.replace(tzinfo=UTC)) if created else None,
    )


def read_pdf_apart(data: bytes, seconds: int) -> PdfText:
    """The same in a process of its own with limits on time and memory. Raises ValueError also past those."""
    return PdfText.model_validate_json(read_apart(__name__, "a PDF", data, seconds))


if __name__ == "__main__":
    answer(read_pdf)
