"""A small vLLM server: the routes, shapes and words of vLLM 0.32.0 on a CPU, as they were recorded from it.

`python double.py serve MODEL --port N …` takes the same options and environment, and uses nothing but Python. A text is
made from the model's and the adapter's weights and the prompt, a token every `VLLM_DOUBLE_PACE` seconds, an adapter loaded in
`VLLM_DOUBLE_LOADING`; with a `response_format`
(vLLM's CompletionRequest has OpenAI's field) it is the simplest JSON of the schema, as a model may that is held to it. A SIGKILL, a SIGSTOP and
a SIGTERM are the real ones.
"""

import argparse
import hashlib
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

DEFAULT_TOKENS = 16
SICK = 62  # a token at which adapters fail, as the engine does at a step


class Refusal(Exception):
    """What is answered in place of a result."""

    def __init__(self, status: int, kind: str, message: str, param: str | None = None) -> None:
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": status}}


def worker_failed(why: str) -> Refusal:
    told = f"Call to add_lora method failed: Worker failed with error '{why}', please check the stack trace above for the root cause"
    return Refusal(500, "InternalServerError", told)


def simplest(schema: dict[str, Any]) -> Any:
    """A value of a schema that keeps to what the tests ask for."""
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    kind = schema.get("type", "object")
    if kind == "object":
        return {name: simplest(schema["properties"][name]) for name in schema.get("required", [])}
    if kind == "array":
        return [simplest(schema["items"])] * schema.get("minItems", 0)
    empty = {"string": "a" * schema.get("minLength", 0), "boolean": False, "null": None}
    return empty[kind] if kind in empty else schema.get("minimum", 0)


class Engine:
    """A base model and adapters by name. `running` counts texts."""

    def __init__(
        self, model: Path, context: int, max_rank: int | None, pace: float, loading: float = 0.0
    ) -> None:
        self.model, self.context, self.max_rank, self.pace = model, context, max_rank, pace
        self.loading = loading
        config = json.loads((model / "config.json").read_text())
        self.vocabulary, self.eos = config["vocab_size"], config["eos_token_id"]
        self.spelling: dict[str, int] = json.loads((model / "tokenizer.json").read_text())["model"]["vocab"]
        self.weights = self._hash(model / "model.safetensors")
        self.adapters: dict[str, tuple[str, bytes]] = {}
        self.running = 0

    def _hash(self, file: Path) -> bytes:
        return hashlib.sha256(file.read_bytes()).digest()

    def models(self) -> dict[str, Any]:
        def card(name: str, root: str, parent: str | None, context: int | None) -> dict[str, Any]:
            return {"id": name, "object": "model", "created": int(time.time()), "owned_by": "vllm", "root": root, "parent": parent,
                    "max_model_len": context, "permission": []}  # fmt: skip

        base = str(self.model)
        adapters = [card(name, path, base, None) for name, (path, _) in self.adapters.items()]
        return {"object": "list", "data": [card(base, base, None, self.context), *adapters]}

    def load(self, name: str, path: str, in_place: bool = False) -> str:
        if name == str(self.model):
            raise Refusal(
                400, "InvalidUserInput", f"The lora adapter '{name}' conflicts with a served base model."
            )
        if name in self.adapters and not in_place:
            raise Refusal(
                400,
                "InvalidUserInput",
                f"The lora adapter '{name}' has already been loaded. If you want to load the adapter in place, set 'load_inplace' to True.",
            )
        if self.max_rank is None:
            raise worker_failed("LoRA is not enabled. Use --enable-lora to enable LoRA.")
        folder = Path(path)
        if not (folder / "adapter_config.json").is_file():
            raise Refusal(404, "NotFoundError", f"Loading lora {name} failed: No adapter found for <path>")
        rank = json.loads((folder / "adapter_config.json").read_text())["r"]
        if rank > self.max_rank:
            raise worker_failed(f"LoRA rank {rank} is greater than max_lora_rank {self.max_rank}.")
        weights = folder / "adapter_model.safetensors"
        if not weights.is_file():
            raise worker_failed("<path> doesn't contain tensors")
        if int.from_bytes(weights.read_bytes()[:8], "little") > weights.stat().st_size:
            raise worker_failed("Error while deserializing header: invalid header length")
        print(f"Loading {name}", flush=True)
        time.sleep(self.loading)
        self.adapters[name] = (path, self._hash(weights))
        return f"Success: LoRA adapter '{name}' added successfully."

    def unload(self, name: str) -> str:
        if name not in self.adapters:
            raise Refusal(404, "NotFoundError", f"The lora adapter '{name}' cannot be found.")
        del self.adapters[name]
        return f"Success: LoRA adapter '{name}' removed successfully."

    def weights_of(self, name: str) -> bytes:
        if name == str(self.model):
            return self.weights
        if name not in self.adapters:
            raise Refusal(
                404, "NotFoundError", f"The model `{name}` does not exist. Valid aliases: <path>", "model"
            )
        return self.weights + self.adapters[name][1]

    def json_tokens(self, wanted: dict[str, Any]) -> list[int]:
        """An answer of that format in letters, and its end."""
        if wanted["type"] not in ("json_object", "json_schema"):
            raise Refusal(400, "BadRequestError", f"Invalid response_format: {wanted['type']}")
        schema = wanted["json_schema"]["schema"] if "json_schema" in wanted else {}
        letters = json.dumps(simplest(schema)).replace(" ", "Ġ")
        return [*(self.spelling[letter] for letter in letters), self.eos]

    def token(self, weights: bytes, context: list[int], written: int, body: dict[str, Any]) -> int:
        """The next token: of the weights, the text so far, and the seed where it is drawn."""
        greedy = (
            not body.get("temperature", 1.0) or body.get("top_p", 1.0) < 1e-3
        )  # one token is left to draw
        drawn = "" if greedy else str(body.get("seed") or time.time_ns())
        lot = hashlib.sha256(weights + repr((context, drawn)).encode()).digest()
        token = int.from_bytes(lot[:4], "little") % self.vocabulary
        return (
            token
            if token != self.eos or written >= body.get("min_tokens", 0)
            else (token + 1) % self.vocabulary
        )


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    engine: Engine
    key: str | None
    updating: bool

    def _body(self) -> bytes:
        """What was sent along: a proxy sends a body of no length, in chunks, also with a GET."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while length := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(length)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def do_GET(self) -> None:
        self._body()
        if self.path == "/health":
            self._answer(200, b"", None)
        elif self.path == "/metrics":
            told = f'vllm:num_requests_running{{engine="0",model_name="{self.engine.model}"}} {float(self.engine.running)}\n'
            self._answer(200, told.encode(), "text/plain")
        elif self._let_in():
            found = self.path == "/v1/models"
            self._json(200 if found else 404, self.engine.models() if found else {"detail": "Not Found"})

    def do_POST(self) -> None:
        body = json.loads(self._body())
        if not self._let_in():
            return
        try:
            if self.path == "/v1/completions":
                self._complete(body)
            elif self.path == "/v1/load_lora_adapter" and self.updating:
                told = self.engine.load(body["lora_name"], body["lora_path"], body.get("load_inplace", False))
                self._answer(200, told.encode(), None)
            elif self.path == "/v1/unload_lora_adapter" and self.updating:
                self._answer(200, self.engine.unload(body["lora_name"]).encode(), None)
            else:
                self._json(404, {"detail": "Not Found"})
        except Refusal as refusal:
            self._json(refusal.status, refusal.body)

    def _let_in(self) -> bool:
        # As the real one: the key closes /v1 alone.
        if self.key is None or not self.path.startswith("/v1"):
            return True
        if self.headers.get("Authorization") == f"Bearer {self.key}":
            return True
        self._json(401, {"error": "Unauthorized"})
        return False

    def _complete(self, body: dict[str, Any]) -> None:
        engine, prompt, most = self.engine, body["prompt"], body.get("max_tokens", DEFAULT_TOKENS)
        weights = engine.weights_of(body["model"])
        if not prompt:
            raise Refusal(400, "BadRequestError", "You must pass at least one prompt")
        if most > engine.context:
            told = f"max_tokens={most} cannot be greater than max_model_len={engine.context}. Please request fewer output tokens. (parameter=max_tokens, value={most})"
            raise Refusal(400, "BadRequestError", told, "max_tokens")
        wanted = body.get("response_format")
        said = engine.json_tokens(wanted) if wanted else []
        assert body["stream"], "our service streams"
        assert body["return_token_ids"]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if wrong := [t for t in prompt if t >= engine.vocabulary]:
            self._event(
                Refusal(400, "BadRequestError", f"Token id {wrong[0]} is out of vocabulary").body, None
            )
        elif SICK in prompt and body["model"] in engine.adapters:
            self._event(Refusal(500, "InternalServerError", "out of memory").body, None)
        else:
            engine.running += 1
            try:
                self._write(weights, prompt, most, body, said)
            except OSError:  # the client has gone: vLLM stops writing too
                self.close_connection = True
                return
            finally:
                engine.running -= 1
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _write(
        self, weights: bytes, prompt: list[int], most: int, body: dict[str, Any], said: list[int]
    ) -> None:
        written: list[int] = []
        ends = {self.engine.eos, *(body.get("stop_token_ids") or [])}
        while True:
            time.sleep(self.engine.pace)
            token = (
                said[len(written)]
                if said
                else self.engine.token(weights, prompt + written, len(written), body)
            )
            written.append(token)
            ended = "stop" if token in ends else "length" if len(written) >= most else None
            choice = {
                "index": 0, "text": f" {token}", "logprobs": None, "finish_reason": ended, "stop_reason": None,
                "prompt_token_ids": prompt if len(written) == 1 else None, "token_ids": [token],
            }  # fmt: skip
            self._event({"id": "cmpl-1", "object": "text_completion", "created": 1, "choices": [choice]}, body["model"])  # fmt: skip
            if ended:
                return

    def _event(self, event: dict[str, Any], model: str | None) -> None:
        self._chunk(f"data: {json.dumps(event | ({'model': model} if model else {}))}\n\n".encode())

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _json(self, status: int, body: Any) -> None:
        self._answer(status, json.dumps(body).encode(), "application/json")

    def _answer(self, status: int, data: bytes, kind: str | None) -> None:
        self.send_response(status)
        if kind:
            self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("serve")
    parser.add_argument("model", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--api-key", default=os.environ.get("VLLM_API_KEY"))
    parser.add_argument("--enable-lora", action="store_true")
    parser.add_argument("--max-lora-rank", type=int, default=16)
    parser.add_argument("--max-model-len", type=int, default=128)
    given, _ = parser.parse_known_args()
    rank = given.max_lora_rank if given.enable_lora else None
    pace = float(os.environ.get("VLLM_DOUBLE_PACE", "0.002"))
    loading = float(os.environ.get("VLLM_DOUBLE_LOADING", "0"))
    Handler.engine = Engine(given.model, given.max_model_len, rank, pace, loading)
    Handler.key = given.api_key
    Handler.updating = os.environ.get("VLLM_ALLOW_RUNTIME_LORA_UPDATING") == "True"
    print(f"Route: /v1/completions on {given.port}", flush=True)
    with Server((given.host, given.port), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        threading.Event().wait()


if __name__ == "__main__":
    main()
