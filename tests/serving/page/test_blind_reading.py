"""Blind reading over the API: nothing tells whose text is where, each is read once, and answers outlive the service."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.access.keys import Keys
from tests.e2e.released_twin import evaluation
from tests.serving.twin_server import MODEL, Server, serving, twin
from twin_assets.core.blind_readings import KINDS, Kind, readings
from twin_assets.core.hashing import text_hash
from twin_assets.core.models.profiles import load_profile
from twin_assets.core.records import Visibility
from twin_assets.core.release.ledger import Ledger
from twin_assets.core.storage.lake import Lake
from twin_assets.evaluation.blind_pairs import BlindPair
from twin_assets.evaluation.gate import check_gate
from twin_assets.evaluation.report.page import render_html, report_key

PATH = "/ui/api/runa/blind"
OTHER_MODEL, OLD_MODEL, CLOSED_MODEL = "twin-runa-dpo:two", "twin-runa-dpo:old", "twin-runa-dpo:closed"


def pairs(candidate: str, base: str, count: int = 12) -> list[BlindPair]:
    """Twelve pairs of each kind; the author's texts are the same whatever the candidate."""
    found = []
    for kind, n in itertools.product(KINDS, range(count)):
        ours, other = f"{candidate} on {n} {kind}", f"author on {n}" if kind == "author" else f"{base} on {n}"
        pair_id = text_hash("\0".join([kind, *sorted([ours, other])]))
        found.append(BlindPair(pair_id=pair_id, kind=kind, topic=f"topic {n}", candidate=ours, other=other))
    return found


def store(lake: Lake, model: str, blind: list[BlindPair], visibility: Visibility = "public") -> None:
    report = evaluation(model).model_copy(update={"blind_pairs": blind, "visibility": visibility})
    lake.write(report_key("runa", model, "json"), report.model_dump_json().encode())
    if model != MODEL:
        Ledger(lake, "runa").append(model, "proposed", "pipeline", "new candidate")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Server, dict[str, dict[str, str]]]]:
    """A server with an evaluation to read; headers by the name of a key."""
    with twin(tmp_path) as (server, _):
        store(server.answers.lake, MODEL, pairs("candidate", "base"))
        yield server, made_keys(server)


def made_keys(server: Server) -> dict[str, dict[str, str]]:
    keys = Keys(server.answers.lake)
    made = {
        "ines": keys.create("ines", ["runa"], ["admin"]), "ola": keys.create("ola", ["runa"], ["admin"]),
        "writer": keys.create("writer", ["runa"], ["write", "feedback"]), "elsewhere": keys.create("elsewhere", ["ola"], ["admin"]),
        "friend": keys.create("friend", ["runa"], ["admin"], audience="connections"), "docs": keys.create("docs", ["runa"], ["read"]),
    }  # fmt: skip
    return {name: {"Authorization": f"Bearer {token}", "X-Twin-UI": "1"} for name, (token, _) in made.items()}


def look(server: Server, who: dict[str, str], model: str = MODEL) -> dict[str, Any]:
    answer = server.client.get(PATH, params={"model": model}, headers=who)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def say(
    server: Server, who: dict[str, str], pair: dict[str, Any], choice: str, model: str = MODEL, **changes: str
) -> httpx.Response:
    body = {"model": model, "pair_id": pair["pair_id"], "token": pair["token"], "choice": choice} | changes
    return server.client.post(PATH, json=body, headers=who)


def candidate_side(pair: dict[str, Any]) -> str:
    return "left" if pair["left"].startswith("candidate") else "right"


def test_nothing_that_is_sent_tells_whose_text_is_on_which_side(
    served: tuple[Server, dict[str, dict[str, str]]],
) -> None:
    server, who = served
    sides: dict[str, list[str]] = {"ines": [], "ola": []}
    for name, seen in sides.items():
        while (pair := look(server, who[name])["pair"]) is not None:
            assert set(pair) == {"pair_id", "token", "kind", "question", "topic", "left", "right"}
            seen.append(candidate_side(pair))
            assert say(server, who[name], pair, "skip").status_code == 200
    assert [len(seen) for seen in sides.values()] == [24, 24]
    both = sides["ines"] + sides["ola"]
    assert 10 <= both.count("left") <= 38, "a fair coin falls outside in one of 80,000 times"
    assert sides["ines"] != sides["ola"], "sides and order are drawn for each reader"


def test_nothing_else_that_the_view_loads_names_whose_these_texts_are(
    served: tuple[Server, dict[str, dict[str, str]]],
) -> None:
    server, who = served
    lake, report = (
        server.answers.lake,
        evaluation(MODEL).model_copy(update={"blind_pairs": pairs("candidate", "base")}),
    )
    page = render_html(report, check_gate(report, load_profile("smoke").gate))
    lake.write(report_key("runa", MODEL, "html"), page.encode())
    texts = [text for p in report.blind_pairs for text in (p.candidate, p.other)]
    for path in ("review", "report", "models"):
        loaded = server.client.get(f"/ui/api/runa/{path}", params={"model": MODEL}, headers=who["ines"])
        assert loaded.status_code == 200
        assert not [text for text in texts if text in loaded.text], path


def test_a_reader_is_told_after_each_answer_and_at_last_that_they_tell(
    served: tuple[Server, dict[str, dict[str, str]]],
) -> None:
    server, who = served
    first = look(server, who["ines"])
    assert (first["pair"]["kind"], first["left"], first["none"], first["gate"]) == ("base", 24, None, None)
    assert first["pair"]["question"] == "Which one is closer to how Runa writes?"
    assert [t["says"] for t in first["you"]] == ["Not enough yet: 8 answers can be."] * 2
    view = first
    for _ in range(8):
        answer = say(server, who["ines"], view["pair"], candidate_side(view["pair"]))
        said = answer.json()
        assert (said["right"], said["author"], said["says"]) == (None, None, "Noted."), (
            "it would tell whose is whose"
        )
        view = said["next"]
    base, author = view["you"]
    assert (base["verdict"], base["answers"]) == ("right", 8)
    assert base["says"].startswith(
        "You find the twin closer than its base model with a prompt: in 8 of 8 pairs"
    )
    assert (view["pair"]["kind"], author["answers"]) == ("author", 0)
    assert view["pair"]["question"] == "Which one did Runa write?"
    wrong = say(server, who["ines"], view["pair"], ours := candidate_side(view["pair"])).json()
    theirs = "right" if ours == "left" else "left"
    assert (wrong["right"], wrong["author"], wrong["says"]) == (
        False,
        theirs,
        f"No: the {'first' if theirs == 'left' else 'second'} one is theirs.",
    )
    view = wrong["next"]
    while view["pair"]:
        said = say(
            server, who["ines"], view["pair"], "left" if candidate_side(view["pair"]) == "right" else "right"
        ).json()
        assert said["right"]
        view = said["next"]
    assert view["you"][1]["says"] == "You tell them apart: 11 of 12 right, which guessing would not give."
    assert view["none"] == "You have read enough: more would change nothing."


def test_an_answer_counts_once_and_only_for_the_sides_that_were_shown(
    served: tuple[Server, dict[str, dict[str, str]]],
) -> None:
    server, who = served
    pair = look(server, who["ines"])["pair"]
    assert say(server, who["ola"], pair, "left").status_code == 409, "another reader saw other sides, perhaps"
    assert say(server, who["ines"], pair, "left", token="0" * 32).status_code == 409
    assert say(server, who["ines"], pair, "both").status_code == 422
    assert say(server, who["ines"], pair, "left", pair_id="0" * 16).status_code == 404
    assert say(server, who["ines"], pair, "left", token="é" * 32).status_code == 422
    assert readings(server.answers.lake, "runa") == []
    assert say(server, who["ines"], pair, "left").status_code == 200
    again = say(server, who["ines"], pair, "right")
    assert (again.status_code, again.json()["error"]["type"]) == (409, "AlreadyRead")
    [stored] = readings(server.answers.lake, "runa")
    assert (stored.pair_id, stored.choice, stored.number) == (pair["pair_id"], "left", 1)
    assert stored.reader.startswith("key ")
    held = server.answers.lake.read(next(server.answers.lake.keys("blind_readings"))).decode()
    assert pair["left"] not in held
    assert pair["right"] not in held


def test_answers_and_sides_outlive_the_service_and_readers_add_up(tmp_path: Path) -> None:
    with twin(tmp_path) as (server, _):
        store(server.answers.lake, MODEL, pairs("candidate", "base"))
        who, settings = made_keys(server), server.settings
        for _ in range(3):
            pair = look(server, who["ines"])["pair"]
            say(server, who["ines"], pair, candidate_side(pair))
        before = look(server, who["ines"])
        assert (before["readers"], before["all"]) == (1, [])
    with serving(settings) as server:
        assert look(server, who["ines"]) == before
        assert say(server, who["ines"], before["pair"], "left").status_code == 200, "the token still holds"
        pair = look(server, who["ola"])["pair"]
        view = say(server, who["ola"], pair, candidate_side(pair)).json()["next"]
        assert (view["readers"], view["you"][0]["answers"], view["all"][0]["answers"]) == (2, 1, 5)
        assert view["all"][0]["says"].startswith("Not enough yet: 2 readers gave 5 answers; at least 3 more")


def test_what_was_read_with_one_version_is_not_read_again_with_the_next(
    served: tuple[Server, dict[str, dict[str, str]]],
) -> None:
    server, who = served
    store(server.answers.lake, OTHER_MODEL, pairs("candidate two", "base"))
    view = look(server, who["ines"])
    read: dict[Kind, int] = {"base": 0, "author": 0}
    while view["pair"]:
        read[view["pair"]["kind"]] += 1
        choice = "left" if candidate_side(view["pair"]) == "right" else "right"
        view = say(server, who["ines"], view["pair"], choice).json()["next"]
    assert read == {"base": 8, "author": 8}
    assert view["you"][0]["says"].startswith("You find the base model with a prompt closer than the twin")
    later = look(server, who["ines"], OTHER_MODEL)
    assert later["left"] == 2 * (12 - 8), "base model and author wrote the same for both versions"
    assert look(server, who["ola"], OTHER_MODEL)["left"] == 24


def test_a_report_of_before_loads_and_says_that_there_is_too_little(
    served: tuple[Server, dict[str, dict[str, str]]],
) -> None:
    server, who = served
    before = json.loads(evaluation(OLD_MODEL).model_dump_json())
    del before["blind_pairs"]
    server.answers.lake.write(report_key("runa", OLD_MODEL, "json"), json.dumps(before).encode())
    Ledger(server.answers.lake, "runa").append(OLD_MODEL, "proposed", "pipeline", "new candidate")
    view = look(server, who["ines"], OLD_MODEL)
    assert (view["pair"], view["left"]) == (None, 0)
    assert view["none"].startswith("This evaluation kept too few texts")
    unknown = server.client.get(PATH, params={"model": "twin-ola-dpo:x"}, headers=who["ines"])
    assert unknown.status_code == 404


def test_an_erased_document_is_in_no_pair(served: tuple[Server, dict[str, dict[str, str]]]) -> None:
    server, who = served
    kept = [p.model_copy(update={"other": f"[erased] {p.other}"}) for p in pairs("candidate", "base")]
    store(server.answers.lake, OTHER_MODEL, [*kept[:20], *pairs("candidate", "base")[20:]])
    assert look(server, who["ines"], OTHER_MODEL)["left"] == 4


def test_only_who_may_review_and_may_see_the_writing_reads(
    served: tuple[Server, dict[str, dict[str, str]]],
) -> None:
    server, who = served
    store(server.answers.lake, CLOSED_MODEL, pairs("candidate", "base"), "connections")
    pair = look(server, who["ines"])["pair"]
    for name, status in {"writer": 403, "elsewhere": 403, "ines": 200}.items():
        asked = server.client.get(PATH, params={"model": MODEL}, headers=who[name])
        assert asked.status_code == status, name
    for name in ("writer", "elsewhere"):
        assert say(server, who[name], pair, "left").status_code == 403, name
    assert server.client.get(PATH, params={"model": MODEL}).status_code == 401
    closed = server.client.get(PATH, params={"model": CLOSED_MODEL}, headers=who["ines"])
    assert (closed.status_code, closed.json()["error"]["type"]) == (403, "Forbidden")
    assert look(server, who["friend"], CLOSED_MODEL)["left"] == 24
    assert readings(server.answers.lake, "runa") == []


def test_it_is_described_in_the_openapi(served: tuple[Server, dict[str, dict[str, str]]]) -> None:
    server, who = served
    described = server.client.get("/docs.json", headers=who["docs"])
    paths = described.json()["paths"]["/ui/api/{persona}/blind"]
    assert set(paths) == {"get", "post"}
    assert paths["post"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith(
        "BlindAnswer"
    )


def test_the_report_tells_what_readers_have_found_since(
    served: tuple[Server, dict[str, dict[str, str]]],
) -> None:
    server, who = served
    lake, key = server.answers.lake, report_key("runa", MODEL, "html")
    lake.write(
        key,
        render_html(evaluation(MODEL), check_gate(evaluation(MODEL), load_profile("smoke").gate)).encode(),
    )

    def report() -> str:
        return server.client.get("/ui/api/runa/report", params={"model": MODEL}, headers=who["ines"]).text

    assert "Blind readers" not in report()
    view = look(server, who["ines"])
    for n in range(8):
        view = say(server, who["ines"], view["pair"], candidate_side(view["pair"])).json()["next"]
        if n == 2:
            assert "Not enough yet: those who read gave 3 answers; at least 5 more" in report()
            assert "which is closer?</td>" not in report(), "a score would tell whose text was chosen"
    shown = report()
    assert "which is closer?</td>" in shown
    assert "<h2>Blind readers</h2>" in shown
    assert "closer than its base model with a prompt: in 8 of 8 pairs" in shown
    assert shown.index("<h2>Voice</h2>") < shown.index("<h2>Blind readers</h2>") < shown.index("<h2>Facts")
    assert lake.read(key).decode().count("8 of 8") == 0, "what is stored stays as it was"
