"""An LLM engine on loopback that speaks OpenAI's chat completions, streamed and whole, and fails on demand.

`says` is what it writes, `model` what it calls itself. `fault` is "busy" (503), "rate limit" (429), "breaks off" (half a stream, then an
error) or "" for none; to be down it is stopped, and comes back on the same port.
"""

import json
import threading
import time
from typing import Any, Self

from demo.sites.answers import Answer
from demo.sites.loopback import Loopback

SAYS = "The tide table was a day old, so the ferry left an hour late. [1]"


class EngineDouble(Loopback):
    """The server as a context manager; `asked` has the bodies of all requests, `looks` counts those for its models, `keys` what they bore, `parents` their `traceparent`, `hold` makes answers wait.
    Where there are `drafts`, what it writes goes by the seed, whose n-th choice is as of the n-th seed after it; texts of `broken` seeds break off.
    """

    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self.says, self.fault, self.model = SAYS, "", "twin-runa-dpo:one"
        self.drafts: list[str] = []
        self.broken: set[int] = set()
        self.asked: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.parents: list[str | None] = []
        self.looks = 0
        self.hold = threading.Event()
        self.hold.set()

    @property
    def url(self) -> str:
        return f"{self.address}/v1"

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def prompt(self) -> str:
        """The user turn of the last request."""
        return str(self.asked[-1]["messages"][-1]["content"])

    def stop(self) -> None:
        self.__exit__(None, None, None)

    def start_again(self) -> Self:
        self._port = self.port
        while True:
            try:
                return self.__enter__()
            except OSError:  # for a moment another connection may be using the port
                time.sleep(0.1)

    def respond(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        if target.endswith("/models"):
            self.looks += 1
            return Answer.json({"object": "list", "data": []})
        question = json.loads(body)
        self.asked.append(question)
        self.keys.add(headers.get("authorization", ""))
        self.parents.append(headers.get("traceparent"))
        self.hold.wait(120)
        if self.fault in ("busy", "rate limit"):
            status = 503 if self.fault == "busy" else 429
            return Answer.json({"error": {"message": self.fault, "type": self.fault}}, status)
        return self._streamed(question) if question.get("stream") else Answer.json(self._whole(question))

    def _whole(self, question: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": self.model,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": self._text(question.get("seed") or 0)}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 90, "completion_tokens": 17, "total_tokens": 107},
        }  # fmt: skip

    def _text(self, seed: int) -> str:
        return self.drafts[seed % len(self.drafts)] if self.drafts else self.says

    def _streamed(self, question: dict[str, Any]) -> Answer:
        shared = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": self.model}
        choices, seed = question.get("n", 1), question.get("seed") or 0
        breaks = self.fault == "breaks off" or seed in self.broken
        lines: list[str] = []

        def tell(index: int, delta: dict[str, str], finish: str | None = None) -> None:
            said = {"index": index, "delta": delta, "finish_reason": finish}
            lines.append(json.dumps(shared | {"choices": [said]}))

        for index in range(choices):
            words = [word + " " for word in self._text(seed + index).split(" ")]
            tell(index, {"role": "assistant", "content": ""})
            for word in words[: len(words) // 2] if breaks else words:
                tell(index, {"content": word})
        if breaks:
            lines.append(
                json.dumps({"error": {"message": "out of memory", "type": "server_error", "code": 500}})
            )
        else:
            for index in range(choices):
                tell(index, {}, "stop")
            if (question.get("stream_options") or {}).get("include_usage"):
                out = 17 * choices
                counted = {"prompt_tokens": 90, "completion_tokens": out, "total_tokens": 90 + out}
                lines.append(json.dumps(shared | {"choices": [], "usage": counted}))
            lines.append("[DONE]")
        body = "".join(f"data: {line}\n\n" for line in lines).encode()
        return Answer(200, {"Content-Type": "text/event-stream"}, body)
