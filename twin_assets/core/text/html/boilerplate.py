"""Lines that a site or a newsletter sets beside a text, told by their whole wording: calls to share and to subscribe,
counts of comments, notices of cookies and of copyright. What else stands around a text is the extractor's to leave out.
"""

import re

from twin_assets.core.text.words import count_words

_NETWORK = (
    r"(?:x|twitter|facebook|instagram|linkedin|mastodon|bluesky|threads|youtube|medium|github|gitlab|tiktok|pinterest|"
    r"telegram|whatsapp|reddit|e-?mail|hacker news|rss|feedly|substack|patreon)"
)
_NETWORKS = rf"{_NETWORK}(?:,? (?:and|or|&) {_NETWORK}|, {_NETWORK})*"
_LETTER = r"(?:[\w'’&-]+ ){0,5}(?:newsletter|mailing list|e-?mail list|blog|channel|feed)"

# Each is matched against a whole block: a sentence of an author's that holds such words is no such line.
_LINES = {
    "share": [
        rf"(?:share|tweet|pin|restack|clap|like|print|e-?mail)(?: (?:this|it))?(?: (?:post|article|story|page))?(?: (?:on|to|via) {_NETWORKS})?",
        r"copy link", r"click to (?:tweet|share\b.*|e-?mail\b.*)", rf"share on {_NETWORKS} \(opens in new window\)",
        r"(?:like|enjoyed) this (?:post|article|story)\? share it.{0,40}",
    ],
    "subscribe": [
        r"subscribe(?: (?:now|today|here|for free))?", r"sign up(?: (?:now|today|here))?", r"type your email.{0,12}",
        rf"(?:subscribe|sign up) (?:for free )?(?:to|for) (?:my|our|the|this) {_LETTER}(?: (?:to|for|and)\b.*)?",
        r"(?:thanks for reading\b.{0,80})?subscribe for free to (?:receive|get) new posts\b.*",
        r"subscribe to (?:receive|get) (?:new|more|future) posts\b.*",
        r"subscribe to (?:receive|get|be) (?:an? e-?mail|e-?mails|notified|updates?)\b.{0,60}",
        r".{0,80}\bis a reader-supported publication\..*",
        r"join (?:the |over |more than )?\d[\d,.]*(?:k|\+)* (?:other )?(?:readers|subscribers|followers)\b.*",
        r"this post is for (?:paid|paying)(?: \w+)? subscribers(?: only)?",
        r"become a (?:paid|paying|free|medium|founding) (?:member|subscriber)\b.{0,60}",
        r"get (?:my|our|all|every|each|future|more|new|the|weekly|daily)\b.{0,80} (?:in|to|into) your inbox\b.{0,60}",
    ],
    "follow": [
        rf"(?:follow|find|connect with) (?:me|us) (?:on|at|over on) (?:{_NETWORKS}|@\S+)(?: (?:at )?@?\S+)?",
        rf"follow (?:@?\w+)(?: \w+)? on {_NETWORKS}", r"follow @\w+",
    ],
    "cookies": [
        r"(?:we use cookies|this (?:web)?site uses cookies)\b.{0,160}\b(?:experience|consent|accept|agree|preferences)\b.*",
        r"accept(?: all)? cookies", r"cookie (?:policy|settings|preferences)",
    ],
    "comments": [
        r"(?:\d+|no|one) (?:comments?|responses?|replies|likes?|claps|restacks?)", r"comments?(?: \(\d+\))?",
        r"(?:leave|post|add|write) a (?:comment|reply|response)", r"discussion about this (?:post|video|podcast|episode)",
    ],
    "navigation": [
        r"home|archives?|menu|search|sign in|log in|open in app|back to (?:the )?(?:top|home)|skip to (?:main )?content",
        r"(?:next|previous|prev|older|newer)(?: (?:post|posts|page|article|story))?",
        r"read more|continue reading|read (?:the )?full (?:post|article|story)|related (?:posts|articles|stories)|you may also like",
    ],
    "notices": [
        r"privacy policy|terms(?: of (?:service|use))?|all rights reserved",
        r"(?:copyright|©|\(c\))(?: ?©)? ?(?:19|20)\d\d\b.{0,80}", r"this slideshow requires javascript",
        r"(?:advertisements?|sponsored content|(?:story|article) continues below(?: advertisement)?)(?: ?[-–—] ?scroll to continue)?",
    ],
    "origin": [
        r"the post .{1,200} (?:first appeared|appeared first) on .{1,80}",
        r".{1,200} was originally published in .{1,80} on medium, where people are continuing the conversation\b.*",
        r"(?:this (?:post|article|essay|story) (?:was )?)?originally (?:published|posted) (?:at|on) (?:https?://)?[\w.-]+\.\w{2,}\S*(?: on .{1,30})?",
    ],
    "byline": [
        r"(?:posted|published|written|submitted|created|(?:last )?(?:updated|modified|edited))(?: on| at|:)? (?:[\w./,-]+ ){0,4}[\w./-]*\b(?:19|20)\d\d\b[\d/.:, apm-]*+(?:(?:by|in|\||·) .{1,40})?",
    ],
    "reading_time": [r"\d+ ?-?min(?:ute)?s? read", r"reading time:? (?:about |~)?\d+ min(?:ute)?s?"],
}  # fmt: skip
# What a button or a link says ends in no full stop, as a sentence does: "Print it.", "No comment."
_LABELS = frozenset(["share", "comments", "navigation", "byline"])
_SENTENCE = re.compile(r"(?<!\.)\.[\"'”’)\]]*$")
_KINDS = {
    kind: re.compile(rf"\W*(?:{'|'.join(lines)})[^\w)]*", re.IGNORECASE) for kind, lines in _LINES.items()
}

MAX_BLOCK_WORDS, MAX_BLOCK_LETTERS = 40, 1_000
# "If you enjoyed this, follow me on Medium and subscribe to …": a reason before, and two calls in one.
_LEAD = re.compile(
    r"^(?:(?:if you (?:enjoyed|liked|loved|found)\b[^.!?]{0,60}?|thanks? (?:you )?for reading(?: this\b[^.!?,]{0,20})?)[,.!:] ?)?"
    r"(?:please |feel free to |don['’]t forget to )?",
    re.IGNORECASE,
)
_AND = re.compile(
    r",? (?:and|or|&) (?=(?:follow|subscribe|share|clap|like|leave|sign|connect)\b)", re.IGNORECASE
)
_BAR = re.compile(r" [·•|] ")


def boilerplate_kind(text: str) -> str | None:
    """The kind of boilerplate that a block of text is, or None for the author's own.

    A bar ("5 min read · Listen · Share") is boilerplate when half of what it lists is.
    """
    text = " ".join(text.split())
    if len(text) > MAX_BLOCK_LETTERS or count_words(text) > MAX_BLOCK_WORDS:
        return None
    if kind := _line_kind(text):
        return kind
    parts = _BAR.split(text)
    kinds = [kind for part in parts if (kind := _line_kind(part))]
    return kinds[0] if kinds and 2 * len(kinds) >= len(parts) else None


def _line_kind(text: str) -> str | None:
    call = _LEAD.sub("", text)
    kinds = [_one_kind(part) for part in _AND.split(call)]
    kind = _one_kind(call) or (kinds[0] if None not in kinds else None)
    # A label ends in no full stop, but a call with its reason before it may.
    return None if kind in _LABELS and call == text and _SENTENCE.search(text) else kind


def _one_kind(text: str) -> str | None:
    return next((kind for kind, pattern in _KINDS.items() if pattern.fullmatch(text)), None)
