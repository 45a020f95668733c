"""Makes text storable that came out of somebody's JSON."""


def clean_text(text: str) -> str:
    """The text with halves of surrogate pairs put together, or replaced where one is missing, and without NUL."""
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return whole.replace("\0", "")
