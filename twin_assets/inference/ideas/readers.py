"""What readers asked and liked, as the request log, the feedback and the posts' own counts have it."""

import statistics
from collections import deque
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import numpy as np

from twin_assets.core.feedback.store import FOLDER as FEEDBACK
from twin_assets.core.feedback.store import Feedback, read_reaction
from twin_assets.core.records import Visibility, may_see
from twin_assets.core.storage.erased import erased_list
from twin_assets.core.storage.lake import Lake
from twin_assets.core.storage.raw import read_items
from twin_assets.core.text.content_words import content_words
from twin_assets.inference.ideas.corpus import Corpus, Embed
from twin_assets.inference.twin.request_log import RequestRecord, day_objects, log_days

DAYS = 90
# Of more the last are looked at.
MOST_REQUESTS, MOST_QUESTIONS, MOST_REACTIONS, MOST_POSTS = 5_000, 500, 200, 20_000
# A question that was answered is an idea when so many asked it; one that was declined at once.
OFTEN = 3
# A post is liked with so many likes, and so many times those of the persona's median post.
FEWEST_LIKES, TIMES_MEDIAN = 3, 2.0


class AskedQuestion(NamedTuple):
    """A question as it was asked last, with its unit vector, how often it was asked, and how often of that declined."""

    text: str
    vector: np.ndarray
    asked: int
    declined: int


class Liked(NamedTuple):
    """Something that was liked: what it is called, by how much (`said`), and the places of its passages."""

    called: str
    said: str
    places: list[int]


def recent_requests(lake: Lake, persona: str, audience: Visibility) -> list[RequestRecord]:
    """The last requests whose texts the log keeps and `audience` may see, oldest first; days before are not read."""
    erased, rows = erased_list(lake, persona), list[RequestRecord]()
    for day, names in reversed(log_days(lake, persona, _since()).items()):
        of_day = (row for _, some in day_objects(lake, persona, day, names) for row in some)
        seen = deque(
            (row for row in of_day if row.prompt and may_see(audience, row.visibility)), MOST_REQUESTS
        )
        rows = [*erased.without(seen), *rows]
        if len(rows) >= MOST_REQUESTS:
            break
    return rows[-MOST_REQUESTS:]


def asked_questions(rows: list[RequestRecord], embed: Embed, same_subject: float) -> list[AskedQuestion]:
    """Questions that were declined or asked often, each once."""
    questions = [
        row
        for row in rows
        if row.kind == "answer" and row.outcome in ("answered", "refused") and row.question
    ]
    questions = [row for row in questions if len(set(content_words(row.question or ""))) > 1]
    questions = questions[-MOST_QUESTIONS:][::-1]
    if not questions:
        return []
    vectors = embed([row.question or "" for row in questions])
    groups: list[list[int]] = []
    for place, vector in enumerate(vectors):
        group = next((g for g in groups if float(vectors[g[0]] @ vector) >= same_subject), None)
        if group is None:
            groups.append([place])
        else:
            group.append(place)
    found = [
        AskedQuestion(
            questions[group[0]].question or "",
            vectors[group[0]],
            len(group),
            sum(questions[place].outcome == "refused" for place in group),
        )
        for group in groups
    ]
    return [one for one in found if one.declined or one.asked >= OFTEN]


def liked_texts(
    lake: Lake, persona: str, rows: list[RequestRecord], corpus: Corpus, likes: dict[str, int]
) -> Iterator[Liked]:
    """Posts that were liked more than the persona's others, the most liked first, then texts of the twin's with a thumb up. Of
    both only what stands on passages that are there. `likes` are those of `post_likes`."""
    usual = statistics.median(likes.values()) if likes else 0
    enough = max(FEWEST_LIKES, TIMES_MEDIAN * usual)
    for document, count in sorted(likes.items(), key=lambda item: (-item[1], item[0])):
        if count >= enough and (places := corpus.documents.get(document)):
            first = corpus.passages[places[0]]
            yield Liked(first.title or first.text, f"{count} people liked", places)
    texts = {row.request_id: row for row in rows if row.kind == "write"}
    if not texts:
        return
    at = {passage.chunk_id: place for place, passage in enumerate(corpus.passages)}
    for one in reversed(_last_reactions(lake, persona)):
        row = texts.get(one.request_id) if one.thumb == "up" else None
        if row and (places := [at[chunk] for chunk in row.retrieved if chunk in at]):
            yield Liked(row.prompt or "", "a reader gave a thumb up to", places)


def post_likes(lake: Lake, persona: str) -> dict[str, int]:
    """Likes by document, of sources that tell them (an archive of X); the newest version of a post counts."""
    likes: dict[str, int] = {}
    seen: set[str] = set()
    for key in sorted(lake.keys(f"raw/x/{persona}/"), reverse=True):
        for item in reversed(read_items(lake, key)):
            if item.doc_id not in seen:
                seen.add(item.doc_id)
                count = _count(item.payload.get("likes"))
                if item.kind == "item" and count is not None:
                    likes[item.doc_id] = count
        if len(seen) >= MOST_POSTS:
            break
    return likes


def _last_reactions(lake: Lake, persona: str) -> list[Feedback]:
    keys = sorted(lake.keys(f"{FEEDBACK}/{persona}"))[-MOST_REACTIONS:]
    return erased_list(lake, persona).without(one for key in keys if (one := read_reaction(lake, key)))


def _count(told: object) -> int | None:
    """A count as an export has it, a number or its digits."""
    text = str(told)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None


def _since() -> date:
    return (datetime.now(UTC) - timedelta(days=DAYS)).date()
