"""A planner LLM on loopback: OpenAI's chat completions. `script` is what it answers, one entry a request.

A dict is the JSON it writes, a string its text, a number an HTTP status.
"""

import json
from typing import Any

from demo.sites.answers import Answer
from demo.sites.loopback import Loopback


class PlannerDouble(Loopback):
    """The server as a context manager; `asked` are the requests, `keys` their keys."""

    def __init__(self, script: list[Any]) -> None:
        super().__init__()
        self.script = script
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str] = []

    @property
    def url(self) -> str:
        return f"{self.address}/v1"

    def respond(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        self.asked.append(json.loads(body))
        self.keys.append(headers.get("authorization", ""))
        step = self.script.pop(0)
        if isinstance(step, int):
            return Answer.json({"error": {"message": "sk-planner is not welcome", "type": "fault"}}, step)
        message = {"role": "assistant", "content": step if isinstance(step, str) else json.dumps(step)}
        return Answer.json({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": self.asked[-1]["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        })  # fmt: skip
