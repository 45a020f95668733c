"""Lines of a PDF become paragraphs; what stands on every page is no text."""

from twin_assets.core.text.pdf_lines import paragraphs_of

PAGES = [
    [
        "The tide came in over the flats, and nobody had moved the boats before it did, so",
        "we stood on the quay and watched them go. It was a well-known place for floating re-",
        "mainders.",
        "What we did",
        "Tam rang the harbour office, which was closed, and then the other one. He is well-",
        "known there.",
        "• Ropes, dry",
        "• Tea",
        "Then we went home, and the next day the boats were back on the mud, more or less",
    ],
    ["where we had left them, which nobody could explain. The office said it was the ﬁrst time."],
    ["Since then we look at the table before we look at the water.", "It helps."],
]


MORE = [
    [f"The {day} was much the same as any other, with one boat in and one boat out."]
    for day in ("Monday", "Tuesday", "Friday", "Sunday")
]


def test_heads_numbers_and_broken_lines_are_mended() -> None:
    heads = ["On Tides {}", "{} Ada Example"]
    pages = [*PAGES, *MORE]
    printed = ["\n".join([heads[n % 2].format(n), *page, str(n)]) for n, page in enumerate(pages, 1)]
    found = paragraphs_of(printed)
    assert found[:6] == [
        "The tide came in over the flats, and nobody had moved the boats before it did, so we stood on the quay and watched "
        "them go. It was a well-known place for floating remainders.",
        "What we did",
        "Tam rang the harbour office, which was closed, and then the other one. He is well-known there.",
        "- Ropes, dry",
        "- Tea",
        "Then we went home, and the next day the boats were back on the mud, more or less where we had left them, which nobody "
        "could explain. The office said it was the first time. Since then we look at the table before we look at the water.",
    ]
    assert not any("On Tides" in text or "Ada Example" in text or text.isdigit() for text in found)


def test_a_single_page_loses_nothing() -> None:
    assert paragraphs_of(["1\n\nSo it was."]) == ["1", "So it was."]
    assert paragraphs_of([""]) == []
