"""Reads a table of an export, whatever its maker thought a CSV is: encoding, delimiter, lines above the header."""

import csv
import io
import re
import unicodedata

from charset_normalizer import from_bytes

MAX_FIELD = 10_000_000
_DELIMITERS = ",;\t|"
_PREAMBLE = 30  # lines that may stand above a header


def decode(data: bytes) -> str:
    """Text by its byte order mark, as UTF-8, or by what its bytes look like."""
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig")):
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        guess = from_bytes(data[:200_000]).best()
        return data.decode(guess.encoding if guess else "cp1252", "replace")


def column(name: str) -> str:
    """A column's name in its compared form: `Share Commentary` and `ShareCommentary` are one."""
    return re.sub(r"\W|_", "", unicodedata.normalize("NFKC", name)).casefold()


def read_table(data: bytes, known: set[str], begins: str = "") -> list[dict[str, str]]:
    """Rows by compared column name. The header is the first row that has two of the `known` names, else the first.

    Cells beyond the header go under "" of the row, empty ones are left out. Where every row `begins` alike (a regular
    expression), a quote that is never closed costs its own row only. Raises ValueError for what is no table.
    """
    text = decode(data).replace("\0", "")
    head, delimiter = _header(text, known)
    csv.field_size_limit(MAX_FIELD)
    try:
        rows = _rows(text[head:], delimiter)
        if begins and any(re.search(rf"\n{begins}", cell) for row in rows for cell in row):
            parts = re.split(rf"(?m)^(?={begins})", text[head:])
            rows = [row for part in parts for row in _rows(part, delimiter)[:1]]
    except csv.Error as error:
        raise ValueError(f"no table ({error})") from None
    if not rows:
        return []
    names = [column(name) for name in rows[0]]
    return [
        {names[at] if at < len(names) else "": cell for at, cell in enumerate(row) if cell}
        for row in rows[1:]
        if any(cell.strip() for cell in row)
    ]


def _rows(text: str, delimiter: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


def _header(text: str, known: set[str]) -> tuple[int, str]:
    """Where the header begins, and what parts its names."""
    at = 0
    first = None
    for line in text[:100_000].splitlines(keepends=True)[:_PREAMBLE]:
        for delimiter in _DELIMITERS:
            names = {column(name) for name in next(csv.reader([line], delimiter=delimiter), [])}
            if len(names & known) >= 2:
                return at, delimiter
        if first is None and line.strip():
            first = at, max(_DELIMITERS, key=line.count)
        at += len(line)
    return first or (0, ",")
