"""What a caller asks of the twin's own chat completions reaches the engine, in OpenAI's words."""

from pathlib import Path

import openai
import pytest

from tests.serving.twin_server import QUESTION, twin
from twin_assets.inference.generation.sampling import ANSWERING, WRITING

ASKED = {
    "stop": ["ferry"],
    "top_p": 0.5,
    "presence_penalty": 0.25,
    "frequency_penalty": -0.5,
    "seed": 11,
    "temperature": 0.1,
}


def test_parameters_reach_the_engine_and_what_is_not_asked_is_not_sent(tmp_path: Path) -> None:
    with twin(tmp_path) as (server, engine):
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
        messages = [{"role": "user", "content": QUESTION}]
        client.chat.completions.create(model="runa", messages=messages, **ASKED, max_completion_tokens=9)
        assert engine.asked[-1].items() >= (ASKED | {"max_tokens": 9}).items()
        list(client.chat.completions.create(model="runa", messages=messages, stop="one", stream=True))
        assert engine.asked[-1]["stop"] == ["one"]
        assert not {"top_p", "presence_penalty", "frequency_penalty"} & engine.asked[-1].keys()
        # What says nothing is taken: clients write such values out.
        client.chat.completions.create(
            model="runa",
            messages=messages,
            n=1,
            logprobs=False,
            response_format={"type": "text"},
            tool_choice="none",
        )
        for refused in ({"n": 2}, {"logprobs": True}, {"reasoning_effort": "low"}):
            with pytest.raises(openai.UnprocessableEntityError) as error:
                client.chat.completions.create(model="runa", messages=messages, **refused)
            assert error.value.param == next(iter(refused))


def test_an_answer_keeps_nearer_to_its_passages_than_a_text_where_nobody_asks_for_a_temperature(
    tmp_path: Path,
) -> None:
    with twin(tmp_path) as (server, engine):
        server.ask()
        assert engine.asked[-1]["temperature"] == ANSWERING.temperature
        server.ask(temperature=0)
        assert engine.asked[-1]["temperature"] == 0
        server.ask(temperature=None)
        assert engine.asked[-1]["temperature"] == ANSWERING.temperature
        server.write()
        assert engine.asked[-1]["temperature"] == WRITING.temperature
        server.write(temperature=1.2)
        assert engine.asked[-1]["temperature"] == 1.2


def test_the_description_tells_every_parameter(tmp_path: Path) -> None:
    with twin(tmp_path) as (server, _):
        told = server.client.get("/docs.json").json()["components"]["schemas"]["TwinChatRequest"][
            "properties"
        ]
        assert told["tools"]["description"] == "Not done here: refused."
        assert {
            "stop",
            "top_p",
            "presence_penalty",
            "frequency_penalty",
            "max_completion_tokens",
        } <= told.keys()
