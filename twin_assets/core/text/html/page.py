"""What a web page says. As a program it is the reader of `apart`: HTML of some megabytes takes seconds to clean."""

from twin_assets.core.records import Record
from twin_assets.core.text.apart import answer, read_apart
from twin_assets.core.text.html.block_pages import block_reason
from twin_assets.core.text.html.blocks import html_blocks
from twin_assets.core.text.html.meta import page_meta


class PageText(Record):
    """Paragraphs divided by empty lines, and what the page says about itself; `published` as it is written there.

    `blocked` names the kind of block page that it is instead.
    """

    text: str
    title: str | None = None
    author: str | None = None
    published: str | None = None
    blocked: str | None = None


def read_page(data: bytes) -> PageText:
    """Read HTML in UTF-8 in this process."""
    text = data.decode(errors="replace")
    if why := block_reason(200, "text/html", text):
        return PageText(text="", blocked=why)
    meta = page_meta(text)
    return PageText(
        text="\n\n".join(html_blocks(text)),
        title=meta["title"],
        author=meta["author"],
        published=meta["published"],
    )


def read_page_apart(data: bytes, seconds: int) -> PageText:
    """The same in a process of its own with limits on time and memory. Raises ValueError past those."""
    return PageText.model_validate_json(read_apart(__name__, "a page", data, seconds))


if __name__ == "__main__":
    answer(read_page)
