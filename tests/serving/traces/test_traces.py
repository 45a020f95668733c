"""Traces of requests, over HTTP to a collector that decodes them: which spans there are, what they say, and what they never say."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.serving.api.test_chain import IDEAS, OUTLINE, chained
from tests.serving.api.test_facts import FALSE, STALE
from tests.serving.engine_double import SAYS, EngineDouble
from tests.serving.llm.test_fallback import NAME, UNKNOWN, with_fallback
from tests.serving.traces.otlp_double import OtlpDouble, tree
from tests.serving.twin_server import MODEL, QUESTION, TEXTS, Server, twin
from tests.support.machine import until
from twin_assets.core.prompts.templates import prompts_fingerprint, served_prompts_fingerprint

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{CALLER}-01"
ROOT = "invoke_agent runa"
SERVER, CLIENT = 2, 3  # SpanKind of opentelemetry/proto/trace/v1/trace.proto


@contextmanager
def traced(home: Path, **changes: Any) -> Iterator[tuple[Server, EngineDouble, OtlpDouble]]:
    with OtlpDouble() as otlp, twin(home, traces_url=otlp.address, **changes) as (server, engine):
        yield server, engine, otlp


def persona(home: Path, server: Server, **changes: Any) -> None:
    """Change the persona's file; it counts within a second."""
    file = home / "personas" / "runa.yaml"
    before = server.answers.persona("runa")
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | changes))
    until(lambda: server.answers._standing("runa", len(changes) - 1_000).persona != before)
    server.answers._standing.cache_clear()


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_is_one_trace_below_its_callers_and_above_the_engines(tmp_path: Path, stream: bool) -> None:
    with traced(tmp_path, traces_headers={"X-Key": "collectors-key"}, llm_api_key="engines-key") as (
        server, engine, otlp,
    ):  # fmt: skip
        server.client.headers["traceparent"] = PARENT
        answer = server.ask(user="anna@example.org", stream=stream, seed=7, max_tokens=30)
        assert answer.status_code == 200
        spans = otlp.trace(ROOT)
        assert tree(spans) == {
            ROOT: ["retrieval", "write"],
            "retrieval": ["understand", "embed", "search", "compress"],
            "write": ["chat runa"],
        }
        by_name = {s.name: s for s in spans}
        root, chat, retrieval, write = (by_name[n] for n in (ROOT, "chat runa", "retrieval", "write"))
        assert {s.trace for s in spans} == {TRACE}
        assert (root.parent, root.kind, chat.kind, root.service) == (CALLER, SERVER, CLIENT, "twin_service")
        assert engine.parents == [f"00-{TRACE}-{chat.id}-01"]
        told = answer.headers["x-request-id"]
        assert root.attributes.items() >= {
            "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "runa", "twin.request_id": told,
            "twin.outcome": "answered", "gen_ai.response.model": MODEL, "gen_ai.prompt.name": "answer",
            "gen_ai.usage.input_tokens": 90, "gen_ai.usage.output_tokens": 17,
        }.items()  # fmt: skip
        assert retrieval.attributes["twin.retrieval.chunk_ids"][0] == "tides"
        assert retrieval.attributes["twin.retrieval.nearest"] > 0.5
        assert (
            write.attributes["twin.prompt.version"] == served_prompts_fingerprint() != prompts_fingerprint()
        )
        assert chat.attributes.items() >= {
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "runa",
            "gen_ai.request.max_tokens": 30, "gen_ai.request.seed": 7, "gen_ai.response.model": MODEL,
            "gen_ai.response.finish_reasons": ["stop"], "gen_ai.usage.output_tokens": 17,
            "server.address": "127.0.0.1", "server.port": engine.port,
        }.items()  # fmt: skip
        assert chat.attributes.get("gen_ai.request.stream", False) is stream
        assert ("gen_ai.response.time_to_first_chunk" in chat.attributes) is stream
        assert not any(s.failed for s in spans)
        for s in spans:
            assert s.start <= s.end, s.name
            assert root.start <= s.start <= s.end <= root.end or s is root, s.name
        assert otlp.paths == {"/v1/traces"}
        assert {asked["x-key"] for asked in otlp.asked} == {"collectors-key"}
        for never in (QUESTION, SAYS[:20], TEXTS["tides"][:20], "engines-key", "collectors-key", "anna"):
            assert never.encode() not in otlp.raw, never


def test_a_parent_that_is_none_is_no_error_and_one_that_is_not_sampled_is_heeded(tmp_path: Path) -> None:
    with traced(tmp_path) as (server, engine, otlp):
        server.client.headers["traceparent"] = "00-nonsense" * 500
        assert server.ask().status_code == 200
        assert otlp.trace(ROOT)[0].trace not in (TRACE, "")
        server.client.headers["traceparent"] = PARENT.removesuffix("01") + "00"
        assert server.ask().status_code == 200
        del server.client.headers["traceparent"]
        assert server.ask().status_code == 200
        otlp.trace(ROOT)
        assert TRACE not in {s.trace for s in otlp.spans}
        assert engine.parents[1] is not None
        assert engine.parents[1].endswith("-00"), "the engine is told so too"


@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_says_what_refused(tmp_path: Path, stream: bool) -> None:
    with traced(tmp_path) as (server, engine, otlp):
        server.ask(UNKNOWN, stream=stream)
        by_name = {s.name: s for s in otlp.trace(ROOT)}
        assert by_name[ROOT].attributes["twin.outcome"] == "refused"
        assert by_name["write"].attributes["twin.refused_by"] == "retrieval"
        assert not any(name.startswith("chat") for name in by_name)
        persona(tmp_path, server, answers={"check": True})
        engine.says = FALSE
        assert server.ask(stream=stream).status_code == 200
        checked = otlp.trace(ROOT)
        by_name = {s.name: s for s in checked}
        assert tree(checked)["check"] == ["chat runa", "chat runa"], "the second draft too"
        assert by_name["write"].attributes["twin.refused_by"] == "checks"
        assert by_name["check"].attributes.items() >= {
            "twin.check.claims": 2, "twin.check.dropped": 2, "twin.check.retried": True, "twin.check.declined": True,
        }.items()  # fmt: skip


def test_a_talk_a_reranking_and_a_choice_have_their_spans(tmp_path: Path) -> None:
    with traced(tmp_path) as (server, engine, otlp):
        persona(tmp_path, server, retrieval={"rerank": "late_interaction", "condense": "model"})
        engine.drafts = [SAYS, STALE]
        turns = [
            {"role": "user", "content": "Tell me about the tide table for Stenna."},
            {"role": "assistant", "content": STALE},
            {"role": "user", "content": "Why was it?"},
        ]
        body = {"model": "runa", "messages": turns, "best_of": 2, "seed": 0}
        assert server.client.post("/v1/chat/completions", json=body).status_code == 200
        spans = otlp.trace(ROOT)
        told = tree(spans)
        assert (told["condense"], told[ROOT]) == (["chat runa"], ["condense", "retrieval", "write"])
        assert "rerank" in told["retrieval"]
        assert told["write"] == ["chat runa", "choose"]
        by_name = {s.name: s for s in spans}
        assert len(by_name["choose"].attributes["twin.choice.totals"]) == 2
        assert [s for s in spans if s.name == "chat runa"][1].attributes["gen_ai.request.choice.count"] == 2


def test_every_step_of_a_chain_is_a_span_with_its_texts_below(tmp_path: Path) -> None:
    with traced(tmp_path) as (server, engine, otlp):
        engine.drafts = [
            json.dumps(IDEAS), json.dumps(OUTLINE), TEXTS["tides"], f"{TEXTS['backups']} {FALSE}", TEXTS["sql"],
            TEXTS["backups"],
        ]  # fmt: skip
        chained(server, kind="article", words=200)
        spans = otlp.trace(ROOT)
        told = tree(spans)
        assert told[ROOT] == ["ideas", "outline", "draft", "check", "revise"]
        assert told["draft"] == ["retrieval", "write"] * 3
        assert set(told["ideas"]) == {"retrieval", "write"}
        assert "write" in told["revise"]
        root = next(s for s in spans if s.name == ROOT)
        assert root.attributes["gen_ai.prompt.name"] == "write_chain"
        writes = [s.attributes["gen_ai.prompt.name"] for s in spans if s.name == "write"]
        assert set(writes) == {"write_chain"}
        assert len([s for s in spans if s.name == "chat runa"]) == len(writes) == len(engine.asked)


def test_an_engine_that_is_down_is_an_error_by_its_kind_and_the_fallback_a_call_of_its_own(
    tmp_path: Path,
) -> None:
    with OtlpDouble() as otlp, with_fallback(tmp_path, traces_url=otlp.address) as (server, engine, _strong):
        engine.stop()
        assert server.ask().json()["model"] == NAME
        spans = otlp.trace(ROOT)
        by_name = {s.name: s for s in spans}
        assert tree(spans)["write"] == ["chat runa", f"chat {NAME}"]
        assert by_name["chat runa"].failed
        assert by_name["chat runa"].attributes["error.type"] == "EngineUnavailable"
        assert by_name["chat runa"].told == "", "the words of an error may be anybody's"
        assert not by_name[ROOT].failed
        assert by_name[f"chat {NAME}"].attributes.items() >= {
            "gen_ai.provider.name": "openai", "gen_ai.usage.input_tokens": 90, "gen_ai.response.finish_reasons": ["stop"],
        }.items()  # fmt: skip
        assert server.ask(persona="nobody", model="nobody").status_code == 404
        assert otlp.trace("invoke_agent nobody")[0].attributes["error.type"] == "NotFoundError"
        engine.start_again()
        engine.fault = "breaks off"
        assert "error" in server.ask(stream=True).text
        failed = otlp.trace(ROOT)
        assert {s.name for s in failed if s.failed} == {ROOT, "write", "chat runa"}


def test_texts_are_in_spans_only_by_their_switch_and_where_the_log_keeps_them(tmp_path: Path) -> None:
    with traced(tmp_path, traces_texts=True) as (server, _engine, otlp):
        for stream in (False, True):
            server.ask(stream=stream)
            by_name = {s.name: s for s in otlp.trace(ROOT)}
            chat = by_name["chat runa"].attributes
            asked, said = (json.loads(chat[f"gen_ai.{way}.messages"]) for way in ("input", "output"))
            assert [m["role"] for m in asked] == ["system", "user"]
            assert QUESTION in asked[-1]["parts"][0]["content"]
            assert [p["content"].strip() for m in said for p in m["parts"]] == [SAYS]
            assert by_name["retrieval"].attributes["gen_ai.retrieval.query.text"] == QUESTION
        for policy in ("masked", "off"):
            persona(tmp_path, server, log_text=policy)
            otlp.raw = b""
            server.ask()
            server.write(chain=True, kind="article")
            assert all(len(otlp.trace(ROOT)) > 3 for _ in range(2))
            assert b"messages" not in otlp.raw
            assert QUESTION.encode() not in otlp.raw


@pytest.mark.parametrize("log_text", ["kept", "off"])
def test_a_tool_s_search_has_a_root_below_its_callers(tmp_path: Path, log_text: str) -> None:
    with traced(tmp_path, traces_texts=True) as (server, _, otlp):
        if log_text != "kept":
            persona(tmp_path, server, log_text=log_text)
        server.client.headers["traceparent"] = PARENT
        call = {"name": "search_corpus", "arguments": {"query": QUESTION, "persona": "runa"}}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
        headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-06-18"}
        assert server.client.post("/v1/mcp", json=body, headers=headers).status_code == 200
        spans = otlp.trace("execute_tool search_corpus")
        by_name = {span.name: span for span in spans}
        root = by_name["execute_tool search_corpus"]
        assert (root.trace, root.parent) == (TRACE, CALLER)
        assert tree(spans)["execute_tool search_corpus"] == ["retrieval"]
        assert root.attributes["gen_ai.tool.name"] == "search_corpus"
        assert ("gen_ai.retrieval.query.text" in by_name["retrieval"].attributes) == (log_text == "kept")
