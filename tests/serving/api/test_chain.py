"""Texts in steps over real HTTP: what each step tells, that its result can be edited and given back, and what breaks."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.protocol import ALIVE
from tests.serving.twin_server import TEXTS, Server, events, twin
from tests.support.machine import until
from twin_assets.inference.twin.request_log import read_requests

IDEAS = {
    "ideas": [
        {"title": "Why the tide table was a day old", "why": "The import trusted the clock."},
        {"title": "Rehearsing restores on Tuesdays", "why": "A backup never restored is a hope."},
        {"title": "Plain SQL outlives frameworks", "why": "It promised to hide it from us."},
    ]
}
OUTLINE = {
    "title": "A day late",
    "sections": [
        {"heading": "The tide table of Stenna", "about": "The tide table was a day old."},
        {"heading": "Rehearsing restores", "about": "We rehearse restores of backups on Tuesdays."},
        {"heading": "Frameworks over SQL", "about": "Plain SQL outlives every framework."},
    ],
}
TIDES = TEXTS["tides"]
FALSE = "The bananas of Ecuador were ripe, so the auction in Quito closed on Friday."


def chained(server: Server, **body: Any) -> list[dict[str, Any]]:
    """The events of a chain; signs of life are left out."""
    answer = server.write(chain=True, seed=0, **body)
    assert answer.status_code == 200, answer.text
    text = "\n\n".join(e for e in answer.text.split("\n\n") if not e.startswith(":"))
    return events(httpx.Response(200, text=text))


def done(told: list[dict[str, Any]], step: str) -> dict[str, Any]:
    [event] = [e for e in told if e["event"] == "done" and e["step"] == step]
    return event


def test_every_step_is_told_and_the_whole_is_one_row(tmp_path: Path) -> None:
    with twin(tmp_path) as (server, engine):
        engine.drafts = [
            json.dumps(IDEAS), json.dumps(OUTLINE), TIDES, f"{TEXTS['backups']} {FALSE}", TEXTS["sql"], TEXTS["backups"],
        ]  # fmt: skip
        told = chained(server, kind="article", words=200)
        steps = [e["step"] for e in told if e["event"] == "done"]
        assert steps == ["ideas", "outline", "draft", "check", "revise"]
        ideas, outline, draft, check, revise = (done(told, step) for step in steps)
        assert [idea["title"] for idea in ideas["ideas"]] == [idea["title"] for idea in IDEAS["ideas"]]
        assert (ideas["by"], ideas["ideas"][0]["passages"][0]["chunk_id"]) == ("model", "tides")
        assert outline["outline"] == OUTLINE
        assert [s["citations"][0]["chunk_id"] for s in draft["sections"]] == ["tides", "backups", "sql"]
        assert [(f["section"], f["text"]) for f in check["findings"] if f["kind"] == "unsupported"] == [
            (1, FALSE)
        ]
        [mended] = [r for r in revise["revisions"] if r["section"] == 1]
        assert mended["text"] == TEXTS["backups"]
        assert mended["findings_after"] < mended["findings_before"]
        assert FALSE not in told[-1]["text"]
        assert told[-1]["text"].startswith(f"# A day late\n\n## The tide table of Stenna\n\n{TIDES}")
        pieces = "".join(e["delta"] for e in told if e["event"] == "delta" and e.get("section") == 0)
        assert pieces.strip() == TIDES
        schemas = [asked.get("response_format") for asked in engine.asked]
        assert [bool(schema) for schema in schemas[:5]] == [True, True, False, False, False]
        assert "This is the text so far" not in engine.asked[2]["messages"][-1]["content"]
        assert TIDES in engine.asked[3]["messages"][-1]["content"]
        assert len({asked["user"] for asked in engine.asked}) == 1, "a canary must not write half of it"
        server.answers.log.close()
        [row] = read_requests(server.answers.lake, "runa")
        assert (row.prompt_kind, row.answer, row.outcome) == ("write_chain", told[-1]["text"], "answered")
        assert (row.tokens_in, row.tokens_out) == (90 * len(engine.asked), 17 * len(engine.asked))
        assert sum(e["tokens_out"] for e in told if e["event"] == "done") == row.tokens_out
        assert row.request_id == told[-1]["request_id"]


def test_a_model_that_writes_no_json_is_helped_by_rules(tmp_path: Path) -> None:
    with twin(tmp_path) as (server, engine):
        engine.says = TIDES
        told = chained(server, kind="article", words=200)
        ideas, outline = done(told, "ideas"), done(told, "outline")
        assert (ideas["by"], ideas["why"]) == ("rules", "it wrote no such JSON")
        assert outline["by"] == "rules"
        assert len({s["heading"] for s in outline["outline"]["sections"]}) == 3
        assert all(idea["passages"] for idea in ideas["ideas"])


def test_rules_read_a_passage_past_its_heading_and_over_broken_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = "## Restores\n\nWe rehearse restores\non Tuesdays. A backup that was never restored is a hope."
    monkeypatch.setitem(TEXTS, "backups", broken)
    with twin(tmp_path) as (server, _):
        told = chained(server, topic="rehearsing restores", given={"until": "ideas"})
        assert done(told, "ideas")["ideas"][0]["why"] == "We rehearse restores on Tuesdays."


def test_ideas_that_stand_on_nothing_are_not_given(tmp_path: Path) -> None:
    strange = {
        "ideas": [{"title": f"Growing bananas in Ecuador, part {n}", "why": "Fruit."} for n in range(3)]
    }
    with twin(tmp_path) as (server, engine):
        engine.drafts = [json.dumps(strange)]
        ideas = done(chained(server, given={"until": "ideas"}), "ideas")
        assert (ideas["by"], ideas["why"]) == (
            "rules",
            "too little of what it said stands on the persona's writing",
        )
        assert "bananas" not in json.dumps(ideas["ideas"])


def test_what_a_person_edited_is_gone_on_from(tmp_path: Path) -> None:
    with twin(tmp_path) as (server, engine):
        engine.says = TEXTS["sql"]
        told = chained(
            server, given={"until": "outline", "idea": "tides and clocks"}, kind="article", words=200
        )
        assert [e["step"] for e in told if e["event"] == "done"] == ["outline"]
        assert told[-1]["text"] == ""
        outline = {
            "title": "Mine",
            "sections": [{"heading": "First", "about": "tides"}, {"heading": "Second"}],
        }
        engine.asked.clear()
        given = {"outline": outline, "sections": ["My own words, as they are.", None], "until": "check"}
        told = chained(server, given=given, kind="article")
        assert [e["step"] for e in told if e["event"] == "done"] == ["draft", "check"]
        assert [s["text"] for s in done(told, "draft")["sections"]] == [
            "My own words, as they are.",
            TEXTS["sql"],
        ]
        assert len(engine.asked) == 1, "only the section that was not given is written"
        assert "My own words" in engine.prompt
        given = {"outline": outline, "sections": ["My own words.", TEXTS["sql"]], "until": "check"}
        assert done(chained(server, given=given, kind="article"), "draft")["by"] == "person"
        assert len(engine.asked) == 1


def test_a_section_too_long_to_be_shown_is_written_again_as_it_was_asked_for(tmp_path: Path) -> None:
    outline, long = OUTLINE | {"sections": OUTLINE["sections"][:2]}, " ".join([FALSE] * 20)
    with twin(tmp_path) as (server, engine):
        engine.drafts = [long, TEXTS["backups"], TIDES, TIDES]
        revise = done(chained(server, kind="article", given={"outline": outline}), "revise")
        assert [(r["kept"], r["text"]) for r in revise["revisions"] if r["section"] == 0] == [
            ("rewritten", TIDES)
        ]
        assert engine.asked[2]["messages"] == engine.asked[0]["messages"]


def test_a_person_s_section_that_can_t_be_shown_is_not_written_again(tmp_path: Path) -> None:
    outline, long = OUTLINE | {"sections": OUTLINE["sections"][:2]}, " ".join([FALSE] * 20)
    with twin(tmp_path) as (server, engine):
        engine.says = TIDES
        given = {"outline": outline, "sections": [long, TEXTS["backups"]]}
        revise = done(chained(server, kind="article", given=given), "revise")
        assert [(r["kept"], r["text"]) for r in revise["revisions"] if r["section"] == 0] == [
            ("as_it_was", long)
        ]


def test_a_section_is_mended_with_the_passages_it_was_written_from(tmp_path: Path) -> None:
    tides = OUTLINE["sections"][0]
    outline = {"title": "A day late", "sections": [tides, tides | {"heading": "The table again"}]}
    with twin(tmp_path) as (server, engine):
        engine.drafts = [TIDES, f"{TEXTS['sql']} {FALSE}"]
        chained(server, kind="article", words=200, given={"outline": outline})
        prompts = [asked["messages"][-1]["content"] for asked in engine.asked]
        notes = [re.findall(r"^\[\d\] .*$", prompt, re.MULTILINE) for prompt in prompts]
        mending = next(at for at, prompt in enumerate(prompts) if FALSE in prompt)
        assert notes[mending] == notes[1] != notes[0]


def test_a_post_is_asked_for_in_the_words_of_training(tmp_path: Path) -> None:
    with twin(tmp_path) as (server, engine):
        server.write(kind="linkedin_post")
        trained = engine.prompt
        told = chained(server, kind="linkedin_post", given={"idea": "tides", "until": "draft"})
        assert engine.prompt == trained
        assert told[-1]["text"] == engine.says.strip()


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"kind": "reply", "reply_to": "Is SQL dead?"}, "a post or an article"),
        ({"draft": "A draft."}, "a post or an article"),
        ({"given": {"until": "dinner"}}, "until"),
        ({"given": {"outline": {"title": "Mine", "sections": []}}}, "sections"),
        ({"given": {"sections": ["One."]}}, "not those of an outline"),
        ({"given": {"outline": {"title": "Mine", "sections": [{"heading": "One"}] * 9}}}, "sections"),
    ],
)
def test_what_does_not_fit_together_is_refused_before_anything_is_written(
    tmp_path: Path, body: dict[str, Any], problem: str
) -> None:
    with twin(tmp_path) as (server, engine):
        refused = server.write(chain=True, **body)
        assert 400 <= refused.status_code < 500
        assert problem in refused.text
        assert engine.asked == []


def test_an_engine_that_fails_in_the_middle_leaves_what_was_written(tmp_path: Path) -> None:
    outline = {"title": "Mine", "sections": [{"heading": "First"}, {"heading": "Second"}]}
    with twin(tmp_path) as (server, engine):
        engine.broken = {0}
        told = chained(server, given={"outline": outline, "sections": ["Kept words.", None]}, kind="article")
        assert "error" in told[-1]
        assert "Kept words." in told[-1]["text"]
        server.answers.log.close()
        [row] = read_requests(server.answers.lake, "runa")
        assert (row.outcome, row.answer) == ("failed", told[-1]["text"])


def test_a_reader_who_leaves_ends_the_chain(tmp_path: Path) -> None:
    with twin(tmp_path) as (server, engine):
        engine.hold.clear()
        body = {"persona": "runa", "topic": "tides", "chain": True}
        with server.client.stream("POST", "/v1/write", json=body) as answer:
            next(answer.iter_text())
        engine.hold.set()
        assert until(lambda: [row.outcome for row in _flushed(server)] == ["failed"])
        assert len(engine.asked) <= 2


def _flushed(server: Server) -> list[Any]:
    return list(read_requests(server.answers.lake, "runa"))


def test_signs_of_life_come_while_nothing_can_be_said(tmp_path: Path) -> None:
    with twin(tmp_path) as (server, engine):
        engine.drafts = [json.dumps(IDEAS)]
        assert ALIVE in server.write(chain=True, given={"until": "ideas"}).text
