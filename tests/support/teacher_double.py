"""A hosted LLM on loopback: OpenAI's chat completions, with the faults that hosted ones have.

`script` holds what the next answers are, one entry a request; when it is empty every answer is good.
"rate limit", "busy", "slow", "garbage", "half", "refusal", "empty", "bad key", "chatty", one of `ENDINGS`, a dict to
answer with, or a whole Answer. A parameter in `refuses` is refused with its message by status 400, as reasoning models and old servers do.
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


def fitting_lesson(passage: str) -> dict[str, Any]:
    """What a fair teacher would say: every other word of the passage, so that no run of it is copied."""
    words = passage.split()
    return {
        "topic": " ".join(words[:8])[:120], "question": f"What does she say of this: {' '.join(words[:12])}?"[:300],
        "outline": ["how it begins", "how it ends"], "draft": " ".join(words[::2])[:3_000],
    }  # fmt: skip


_HALF = json.dumps(LESSON)[:60]
# The message and the reason why it ended.
ENDINGS: dict[str, tuple[dict[str, Any], str]] = {
    "thought too long": ({"content": None, "reasoning_content": "Let me see. The author says"}, "length"),
    "cut off": ({"content": _HALF}, "length"),
    "filtered": ({"content": ""}, "content_filter"),
    "thought only": ({"content": None, "reasoning_content": "I have thought about it."}, "stop"),
    "null": ({"content": None}, "stop"),
    "thought in the text": ({"content": f"<think>{{so}} and so</think>{json.dumps(LESSON)}"}, "stop"),
    "thought without an end": ({"content": "<think>Let me see {"}, "stop"),
    "tools only": (
        {
            "content": None,
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        "tool_calls",
    ),
    "refusal field": ({"content": None, "refusal": "I will not."}, "stop"),
}
STATUS = {"rate limit": 429, "busy": 503, "bad key": 401}


class TeacherDouble(Loopback):
    """The server as a context manager. With `reads` every good answer is about the passage that it was shown."""

    def __init__(self, reads: bool = False) -> None:
        super().__init__()
        self.reads = reads
        self.script: list[Any] = []
        self.refuses: dict[str, str] = {}
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"{self.address}/v1"

    def _lesson(self, question: dict[str, Any]) -> dict[str, Any]:
        passage = question["messages"][0]["content"].split("Passage:\n\n", 1)[-1]
        return fitting_lesson(passage) if self.reads else LESSON

    def respond(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        question = json.loads(body)
        with self._lock:
            self.asked.append(question)
            self.keys.append(headers.get("authorization", ""))
            refused = next((p for p in self.refuses if p in question), None)
            step = None if refused else self.script.pop(0) if self.script else self._lesson(question)
        if refused:
            fault = {"message": self.refuses[refused], "type": "invalid_request_error"}
            return Answer.json({"error": fault}, 400)
        if step == "slow":
            time.sleep(2)
            step = LESSON
        if isinstance(step, str) and step in STATUS:
            refusal = Answer.json({"error": {"message": step, "type": step}}, STATUS[step])
            wait = {"Retry-After": "0.05"} if refusal.status == 429 else {}
            return replace(refusal, headers=refusal.headers | wait)
        if isinstance(step, Answer):
            return step
        return Answer.json(_completion(question["model"], step))


def _completion(model: str, step: Any) -> dict[str, Any]:
    message, ending = ENDINGS[step] if isinstance(step, str) and step in ENDINGS else ({}, "stop")
    whole = json.dumps(LESSON)
    text = {
        "garbage": "Sure! Here is what I think about it.", "half": whole[: len(whole) // 2],
        "refusal": "I'm sorry, but I can't help with that.", "empty": "",
        "curly refusal": "I’m sorry, but I can’t help with that.",
        "chatty": f"Of course.\n```json\n{whole}\n```\nAnything else?",
    }.get(step) if isinstance(step, str) else json.dumps(step)  # fmt: skip
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text} | message, "finish_reason": ending}],
        "usage": {"prompt_tokens": 1_000, "completion_tokens": 500, "total_tokens": 1_500},
    }  # fmt: skip
