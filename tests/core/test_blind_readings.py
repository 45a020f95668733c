"""What blind readers' answers say, and that each pair counts once for a reader."""

import random
import re
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import pytest

from tests.support.s3_double import lake_in
from twin_assets.core.blind_readings import (
    CLOSE,
    FEWEST,
    AlreadyRead,
    Choice,
    Reading,
    add_reading,
    finding,
    findings,
    readings,
    sentence,
    settled,
)
from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import text_hash
from twin_assets.core.storage.lake import LocalLake, S3Lake


def answer(
    lake: LocalLake, pair: int, right: bool | None, reader: str = "ines", model: str = "twin:1"
) -> None:
    choice: Choice = "skip" if right is None else "left"
    add_reading(
        lake, "runa", model, reader, pair_id=str(pair), kind="author", texts=[f"a{pair}", f"b{pair}"], choice=choice,
        right=right,
    )  # fmt: skip


verdict = lru_cache(maxsize=None)(settled)


def until_settled(share: float, most: int, rng: random.Random) -> tuple[str, int]:
    """The verdict of a reader with that share of right answers, who stops as soon as there is one."""
    right = 0
    for n in range(1, most + 1):
        right += rng.random() < share
        if (found := verdict(right, n)) != "open":
            return found, n
    return "open", most


def test_a_reader_who_guesses_is_seldom_said_to_tell_and_one_who_can_soon_is() -> None:
    rng = random.Random(5)
    guessing = [until_settled(0.5, 60, rng)[0] for _ in range(300)]
    assert sum(v in ("right", "wrong") for v in guessing) <= 0.05 * 300
    assert guessing.count("alike") > 200, "36 answers are enough where half are right"
    telling = [until_settled(0.95, 60, rng) for _ in range(60)]
    assert all(v == "right" for v, _ in telling)
    assert sorted(n for _, n in telling)[30] <= 12
    deceived = [until_settled(0.05, 60, rng)[0] for _ in range(20)]
    assert set(deceived) == {"wrong"}


def test_alike_is_wrongly_said_of_one_who_tells_in_at_most_one_of_twenty() -> None:
    rng = random.Random(6)
    wrong = sum(until_settled(CLOSE, 80, rng)[0] == "alike" for _ in range(300))
    assert wrong <= 0.05 * 300


def test_it_says_how_many_more_answers_would_settle_it() -> None:
    assert finding("author", []).more == FEWEST
    assert finding("author", [True] * FEWEST).verdict == "right"
    assert finding("author", [True] * (FEWEST - 1)).verdict == "open"
    assert finding("author", [True, False, True]).more == FEWEST - 3
    for said in ([True, True, False] * 4, [True, False] * 6, [False] * 6 + [True] * 2):
        more, n, share = finding("author", said).more, len(said), (sum(said) + 1) / (len(said) + 2)
        assert more is not None
        assert settled(sum(said) + share * more, n + more) != "open"
        assert settled(sum(said) + share * (more - 1), n + more - 1) == "open"


def test_a_verdict_stands_though_later_answers_are_worse() -> None:
    found = finding("author", [True] * 10 + [False] * 10)
    assert (found.verdict, found.right, found.answers) == ("right", 10, 20)
    assert found.e_value > 20


def test_sentences_say_it_to_a_layperson() -> None:
    says = {
        sentence(finding("author", [True] * 9)): "You tell them apart: 9 of 9 right",
        sentence(
            finding("author", [False] * 9)
        ): "You tell them apart, but take the twin for the author: only 0 of 9",
        sentence(finding("author", [True, False] * 18)): "You can't tell them apart after 36 pairs: 18 right",
        sentence(finding("author", [])): "Not enough yet: 8 answers can be.",
        sentence(finding("author", [True])): "Not enough yet: you gave 1 answer, 1 right; at least 7 more",
        sentence(
            finding("base", [True] * 9), "2 readers"
        ): "2 readers find the twin closer than its base model",
        sentence(
            finding("base", [False] * 9)
        ): "You find the base model with a prompt closer than the twin: in 9 of 9",
        sentence(finding("base", [True, False] * 18)): "You find neither closer after 36 pairs",
        sentence(finding("base", [True] * 3)): "Not enough yet: you gave 3 answers; at least 5 more",
    }
    for told, begins in says.items():
        assert told.startswith(begins)
        assert told.endswith(".")
    assert not re.search(r"\d right", sentence(finding("base", [True] * 3))), (
        "the score would tell whose was chosen"
    )


def test_each_pair_counts_once_for_a_reader_whatever_happens_at_the_same_time(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    answer(lake, 1, True)
    with pytest.raises(AlreadyRead, match="counts once"):
        answer(lake, 1, False)

    def click(n: int) -> str:
        try:
            answer(LocalLake(tmp_path), 2 + n % 3, n % 2 == 0)
        except AlreadyRead:
            return "refused"
        return "stored"

    with ThreadPoolExecutor(8) as clicks:
        outcomes = list(clicks.map(click, range(24)))
    assert outcomes.count("stored") == 3
    mine = readings(lake, "runa", "ines")
    assert [r.number for r in mine] == [1, 2, 3, 4]
    assert sorted(r.pair_id for r in mine) == ["1", "2", "3", "4"]
    answer(lake, 1, False, reader="ola")
    with pytest.raises(AlreadyRead):
        answer(lake, 1, False, model="twin:2")
    answer(lake, 9, False, model="twin:2")
    assert len(readings(lake, "runa")) == 6
    assert findings(readings(lake, "runa"), "twin:2")["author"].answers == 1


def test_what_was_skipped_is_no_answer(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    answer(lake, 1, None)
    answer(lake, 2, True)
    found = findings(readings(lake, "runa"), "twin:1")
    assert (found["author"].answers, found["base"].answers) == (1, 0)


def test_a_damaged_answer_is_named(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    answer(lake, 1, True)
    [key] = lake.keys("blind_readings")
    lake.write(key.replace("1.json", "2.json"), b"{")
    with pytest.raises(TwinError, match=r"blind_readings/runa/.* is damaged"):
        readings(lake, "runa")


def test_an_answer_costs_as_many_requests_whatever_was_answered_before(tmp_path: Path) -> None:
    """Three readers on a real S3 server, counted as they leave the client: what one has read is not read again."""
    with lake_in("s3", tmp_path) as lake:
        assert isinstance(lake, S3Lake)
        lake.create("blind_readings/first", b"")  # once a day: whether the store heeds conditions
        asked: list[str] = []
        lake.client.meta.events.register(
            "before-send.s3", lambda event_name, **_: asked.append(event_name.rsplit(".", 1)[1])
        )

        def cost(pair: int) -> list[str]:
            """Requests of an answer, and of the view that follows it."""
            asked.clear()
            answer(lake, pair, right=True, reader=f"reader {pair % 3}")
            assert len(readings(lake, "runa")) == pair + 1
            return list(asked)

        costs = [cost(pair) for pair in range(24)]
        assert costs[0] == costs[-1] == ["ListObjectsV2", "PutObject", "ListObjectsV2"]
        elsewhere = Reading(**readings(lake, "runa")[-1].model_dump() | {"number": 99, "texts": ["x"]})
        key = f"blind_readings/runa/{text_hash(elsewhere.reader)}/00000099.json"
        lake.write(key, elsewhere.model_dump_json().encode())  # by another process
        asked.clear()
        assert len(readings(lake, "runa")) == 25
        assert asked == ["ListObjectsV2", "GetObject"]
        lake.delete(key)
        assert len(readings(lake, "runa")) == 24
        lake.write(key, b"{}")  # the number is given again
        with pytest.raises(TwinError, match="is damaged"):
            readings(lake, "runa")
