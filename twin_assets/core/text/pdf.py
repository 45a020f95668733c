"""The text of a PDF. As a program it reads one from stdin and writes JSON, so that a hostile file can be ended."""

import io
import resource
import subprocess
import sys
from datetime import UTC, datetime

from twin_assets.core.records import Record
from twin_assets.core.text.pdf_lines import paragraphs_of

MAX_MEMORY = 2_000_000_000  # bytes of address space of the process that reads a stranger's file


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
        text=text, title=(about.title if about else None) or None,
        author=(about.author if about else None) or None, pages=len(pages),
        created=(created if created.tzinfo else created.replace(tzinfo=UTC)) if created else None,
    )  # fmt: skip


def read_pdf_apart(data: bytes, seconds: int) -> PdfText:
    """The same in a process of its own with limits on time and memory. Raises ValueError also past those."""
    command = [sys.executable, "-m", "twin_assets.core.text.pdf", str(seconds)]
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=2 * seconds, check=False)
    except subprocess.TimeoutExpired:
        raise ValueError(f"a PDF that takes longer than {seconds} s to read") from None
    if done.returncode == 2:
        # The reader's own warnings may stand before the error.
        raise ValueError(done.stderr.decode(errors="replace").strip().rpartition("\n")[2])
    if done.returncode:
        raise ValueError("a PDF that can't be read within the limits")
    return PdfText.model_validate_json(done.stdout)


def _main(seconds: int) -> int:
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    try:
        found = read_pdf(sys.stdin.buffer.read())
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    print(found.model_dump_json())
    return 0


if __name__ == "__main__":
    sys.exit(_main(int(sys.argv[1])))
