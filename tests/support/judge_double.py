"""A judge on loopback with the habits that judges have: OpenAI's chat completions.

`habit` is "thinker" (no text, cut off at the limit), "fair" (the text with more semicolons), "first" (always A), "chatty", "garbage", "busy" or "tie".
"""

import json
import re
import threading
from typing import Any

from demo.sites.answers import Answer
from demo.sites.loopback import Loopback


class JudgeDouble(Loopback):
    """The server as a context manager. The first `busy` requests are answered with 429."""

    def __init__(self, habit: str = "fair", busy: int = 0) -> None:
        super().__init__()
        self.habit, self.busy = habit, busy
        self.asked: list[str] = []
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"{self.address}/v1"

    def respond(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        question = json.loads(body)
        prompt = question["messages"][0]["content"]
        with self._lock:
            self.asked.append(prompt)
            self.busy -= 1
            if self.busy >= 0:
                return Answer.json({"error": {"message": "slow down", "type": "rate limit"}}, 429)
        answer = _completion(question["model"], self._verdict(prompt))
        if self.habit == "thinker":
            answer["choices"][0] |= {
                "message": {"role": "assistant", "content": None},
                "finish_reason": "length",
            }
        return Answer.json(answer)

    def _verdict(self, prompt: str) -> str:
        if self.habit == "garbage":
            return "Both have their charms, I would say."
        if self.habit in ("first", "tie"):
            return json.dumps({"winner": "A" if self.habit == "first" else "tie"})
        first, second = re.split(r"^Text [AB]:$", prompt, flags=re.MULTILINE)[1:]
        winner = json.dumps({"winner": "A" if first.count(";") > second.count(";") else "B"})
        return f"Sure.\n```json\n{winner}\n```\nAnything else?" if self.habit == "chatty" else winner


def _completion(model: str, text: str) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1_000, "completion_tokens": 10, "total_tokens": 1_010},
    }  # fmt: skip
