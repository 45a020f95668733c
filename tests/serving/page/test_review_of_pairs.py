"""Feedback given over the API is reviewed on the page: who may see and decide, and what is written down."""

from collections.abc import Iterator

import httpx
import pytest

from serving.access.keys import Keys
from tests.serving.twin_server import Server, twin
from twin_assets.core.feedback.pairs import pair_reviews
from twin_assets.core.persona.definition import load_persona

DULL = "In conclusion, robust tide tables are a key enabler of operational excellence for all stakeholders."
PLAIN = "The tide table was wrong on Tuesday and I wrote that down before anybody had to ask me about it."
PATH = "/ui/api/runa/feedback-pairs"
PAGE = {"Authorization": "Bearer open sesame", "X-Twin-UI": "1"}
WHO = {"reviewer": "Ines", "reason": "she would say so"}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, dict[str, dict[str, str]], str]]:
    """A server to which a key has given two edits, one of them without consent; headers by name, and the key's id."""
    with twin(tmp_path_factory.mktemp("home"), ui_password="open sesame") as (server, engine):
        keys = Keys(server.answers.lake)
        made = {
            "reader": keys.create("reader", ["runa"], ["feedback", "write"]), "admin": keys.create("admin", ["runa"], ["admin"]),
            "elsewhere": keys.create("elsewhere", ["ola"], ["admin"]),
        }  # fmt: skip
        headers = {n: {"Authorization": f"Bearer {t}", "X-Twin-UI": "1"} for n, (t, _) in made.items()}
        for n, consent in enumerate((True, False)):
            engine.says = DULL
            asked = {"persona": "runa", "topic": "Tide tables?"}
            answer = server.client.post("/v1/write", json=asked, headers=headers["reader"]).json()
            said = {
                "request_id": answer["request_id"], "persona": "runa", "consent": consent, "prompt": "Tide tables?",
                "answer": DULL, "edited": f"{PLAIN} {n}",
            }  # fmt: skip
            given = server.client.post("/v1/feedback", json=said, headers=headers["reader"])
            assert given.json()["texts_kept"] is consent
        yield server, headers, made["reader"][1].id


def shown(server: Server, headers: dict[str, str] = PAGE) -> httpx.Response:
    return server.client.get(PATH, headers=headers)


def test_a_pair_shows_what_was_said_by_whom_and_a_decision_says_who_and_why(
    told: tuple[Server, dict[str, dict[str, str]], str],
) -> None:
    server, _, key_id = told
    found = shown(server).json()
    [pair] = found["pairs"]
    assert (found["waiting"], found["decided"], found["learns"]) == (1, 0, False)
    assert found["no_pair"] == {"no consent or no text": 1}
    assert (pair["prompt"], pair["rejected"], pair["chosen"]) == ("Tide tables?", DULL, f"{PLAIN} 0")
    assert (pair["given_by"], pair["consent"], pair["review"]) == (key_id, True, None)

    def decide(**changes: object) -> httpx.Response:
        body = {"pair_id": pair["pair_id"], "decision": "accept"} | WHO | changes
        return server.client.post(PATH, json=body, headers=PAGE)

    assert decide(reason="").status_code == 422
    assert decide(reason=" ").status_code == 400
    assert decide(reviewer="pipeline").status_code == 400
    assert decide(pair_id="unknown").status_code == 400
    assert pair_reviews(server.answers.lake, "runa") == {}
    accepted = decide()
    assert accepted.status_code == 200, accepted.text
    again = decide(decision="reject", reviewer="Ola")
    assert (again.status_code, again.json()["error"]["type"]) == (409, "Overtaken")
    [pair] = shown(server).json()["pairs"]
    assert (pair["review"]["reviewer"], pair["review"]["reason"]) == ("Ines", "she would say so")
    assert decide(decision="reject", reviewer="Ola", seen=pair["review"]["at"]).status_code == 200
    [review] = pair_reviews(server.answers.lake, "runa").values()
    assert (review.decision, review.reviewer) == ("reject", "Ola")
    assert not load_persona(server.settings.personas_dir, "runa").learn_from_feedback


def test_only_the_page_and_an_admins_key_of_the_persona_see_and_decide(
    told: tuple[Server, dict[str, dict[str, str]], str],
) -> None:
    server, headers, _ = told
    for name, status in {"reader": 403, "elsewhere": 403, "admin": 200}.items():
        assert shown(server, headers[name]).status_code == status, name
    body = {"pair_id": "x", "decision": "accept"} | WHO
    for name, status in {"reader": 403, "elsewhere": 403, "admin": 400}.items():
        assert server.client.post(PATH, json=body, headers=headers[name]).status_code == status, name
    assert shown(server, {}).status_code == 401
    foreign = {"Authorization": PAGE["Authorization"]}
    assert server.client.post(PATH, json=body, headers=foreign).status_code == 403
    assert len(pair_reviews(server.answers.lake, "runa")) <= 1
