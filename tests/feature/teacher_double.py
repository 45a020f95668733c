"""A hosted LLM on loopback: OpenAI's chat completions, with the faults that hosted ones have.

`script` holds what the next answers are, one entry a request; when it is empty every answer is good.
"rate limit", "busy", "slow", "garbage", "half", "refusal", "empty", "bad key", "chatty" or a dict to answer with.
"""

import json
import threading
import time
from dataclasses import replace
from typing import Any

from demo.sites.answers import Answer
from demo.sites.loopback import Loopback

LESSON = {
    "topic": "the late tide table", "question": "Why was the tide table late?",
    "outline": ["the clock", "the pilot"], "draft": "The table came late because a clock was wrong.",
}  # fmt: skip
STATUS = {"rate limit": 429, "busy": 503, "bad key": 401}


class TeacherDouble(Loopback):
    """The server as a context manager."""

    def __init__(self) -> None:
        super().__init__()
        self.script: list[Any] = []
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"{self.address}/v1"

    def respond(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        question = json.loads(body)
        with self._lock:
            self.asked.append(question)
            self.keys.append(headers.get("authorization", ""))
            step = self.script.pop(0) if self.script else LESSON
        if step == "slow":
            time.sleep(2)
            step = LESSON
        if isinstance(step, str) and step in STATUS:
            refusal = Answer.json({"error": {"message": step, "type": step}}, STATUS[step])
            wait = {"Retry-After": "0.05"} if refusal.status == 429 else {}
            return replace(refusal, headers=refusal.headers | wait)
        return Answer.json(_completion(question["model"], step))


def _completion(model: str, step: Any) -> dict[str, Any]:
    whole = json.dumps(LESSON)
    text = {
        "garbage": "Sure! Here is what I think about it.", "half": whole[: len(whole) // 2],
        "refusal": "I'm sorry, but I can't help with that.", "empty": "",
        "chatty": f"Of course.\n```json\n{whole}\n```\nAnything else?",
    }.get(step) if isinstance(step, str) else json.dumps(step)  # fmt: skip
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1_000, "completion_tokens": 500, "total_tokens": 1_500},
    }  # fmt: skip
