"""The peers of benchmarks/serving.py: one echo of a chat completion, bare, in BentoML, and behind a bare gateway.

`ECHO_WITHOUT` (access-log, metrics, tracing, gc) takes parts out of the BentoML ones, to see what each costs.
"""

import os
from typing import Any

import bentoml
import httpx
from fastapi import FastAPI, Request

from serving.llm.gc_tuning import keep_steady
from serving.protocol import completion

WITHOUT = set(os.environ.get("ECHO_WITHOUT", "").split(","))
OPTIONS: dict[str, Any] = {"workers": 1, "traffic": {"timeout": 300}}
if "access-log" in WITHOUT:
    OPTIONS["logging"] = {"access": {"enabled": False}}
if "metrics" in WITHOUT:
    OPTIONS["metrics"] = {"enabled": False}
if "tracing" in WITHOUT:
    OPTIONS["tracing"] = {"excluded_urls": ".*"}

app = FastAPI()
bare = FastAPI()
gateway = FastAPI()


async def echo(request: Request) -> dict[str, Any]:
    asked = await request.json()
    return completion(asked["model"], asked["messages"][-1]["content"], 10, 10, "stop")


async def no_models() -> dict[str, Any]:
    return {"object": "list", "data": []}


for one in (app, bare):
    one.post("/v1/chat/completions")(echo)
    one.get("/v1/models")(no_models)


@gateway.post("/v1/chat/completions")
async def forward(request: Request) -> Any:
    """What every two-service path does at least: read, ask the other service, answer."""
    asked = await request.json()
    answer = await request.app.state.client.post(f"{os.environ['ECHO_URL']}/chat/completions", json=asked)
    return answer.json()


@bentoml.service(name="echo", **OPTIONS)
@bentoml.asgi_app(app, path="/")
class Echo:
    def __init__(self) -> None:
        if "gc" in WITHOUT:
            keep_steady()


@bentoml.service(name="gateway", **OPTIONS)
@bentoml.asgi_app(gateway, path="/")
class Gateway:
    def __init__(self) -> None:
        gateway.state.client = httpx.AsyncClient(limits=httpx.Limits(max_connections=None))
        if "gc" in WITHOUT:
            keep_steady()
