"""Posts that were published with the twin and are not the author's own words: collected again, they are left out.

The ledger (`core.publishing`) has each with its text and what the place said. A collected document is one of them by the id or
address of the post, or by its words: platforms shorten links and tidy white space, and people mend a word in the composer.
"""

import re
from collections import defaultdict
from collections.abc import Iterable

from rapidfuzz.distance import Indel

from twin_assets.core.publishing import Post
from twin_assets.core.records import CleanedDocument
from twin_assets.core.text.words import ngrams, terms

# A share of the words of both texts, as Indel's normalised similarity has it. Somebody else's text on the subject shares far less.
SAME = 0.8
# Words in a row that two texts must share to be compared at all; a text of fewer is compared whole.
RUN = 5
REASON = "published with the twin, not the author's own"
_ADDRESS = re.compile(r"https?://\S+")


def not_their_own(documents: Iterable[CleanedDocument], posts: Iterable[Post]) -> set[str]:
    """Ids of the documents that are posts of the ledger which nobody called the author's own."""
    posts = list(posts)
    own = {post.version for post in posts if post.mine}
    others = [post for post in posts if post.outcome != "refused" and post.version not in own]
    if not others:
        return set()
    names = {name for post in others for name in (post.post_id, post.address) if name}
    numbers = {number for name in names for number in re.findall(r"\d{10,}", name)}
    texts = {post.version: _words(post.text) for post in others}
    by_run: dict[str, set[str]] = defaultdict(set)
    for version, words in texts.items():
        for run in _runs(words):
            by_run[run].add(version)
    found = set()
    for document in documents:
        if names & {document.url, document.doc_id} or numbers & set(re.findall(r"\d{10,}", document.url)):
            found.add(document.doc_id)
            continue
        words = _words(document.voice_text)
        likely = {version for run in _runs(words) for version in by_run.get(run, ())}
        if any(Indel.normalized_similarity(words, texts[version]) >= SAME for version in likely):
            found.add(document.doc_id)
    return found


def _words(text: str) -> list[str]:
    """Without addresses, which platforms change; with them where there is little else: "Source:" and a link is not the same
    as "Source:" and another."""
    words = terms(_ADDRESS.sub(" ", text))
    return words if len(words) >= RUN else terms(text)


def _runs(words: list[str]) -> list[str]:
    return ngrams(words, RUN) if len(words) > RUN else [" ".join(words)] if words else []
