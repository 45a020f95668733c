"""A hosted LLM on loopback: OpenAI's chat completions, with the faults that hosted ones have.

`script` holds what the next answers are, one entry a request; when it is empty every answer is good.
"rate limit", "busy", "slow", "garbage", "half", "refusal", "empty", "bad key", "chatty" or a dict to answer with.
"""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

LESSON = {
    "topic": "the late tide table", "question": "Why was the tide table late?",
    "outline": ["the clock", "the pilot"], "draft": "The table came late because a clock was wrong.",
}  # fmt: skip
STATUS = {"rate limit": 429, "busy": 503, "bad key": 401}


class TeacherDouble:
    """The server as a context manager."""

    def __init__(self) -> None:
        self.script: list[Any] = []
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> "TeacherDouble":
        double = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with double._lock:
                    double.asked.append(body)
                    double.keys.append(self.headers.get("Authorization", ""))
                    step = double.script.pop(0) if double.script else LESSON
                if step == "slow":
                    time.sleep(2)
                    step = LESSON
                if step in STATUS if isinstance(step, str) else False:
                    self._send(STATUS[step], {"error": {"message": step, "type": step}})
                    return
                self._send(200, _completion(body["model"], step))

            def _send(self, status: int, answer: Any) -> None:
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                if status == 429:
                    self.send_header("Retry-After", "0.05")
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


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
