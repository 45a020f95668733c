"""A vLLM server, as far as the LLM service talks to it: what it holds, its adapters, and texts from tokens.

Everything has a time limit. What the server tells is told on without the key.
"""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar

import httpx

from twin_assets.core.errors import TwinError
from twin_assets.inference.generation.engine import GenerationHandle, StepFailed
from twin_assets.inference.generation.remote import PASSING, EngineUnavailable
from twin_assets.inference.generation.sampling import TOP_K, TOP_P

CONNECT_SECONDS = 5.0
LOOK_SECONDS = 10.0
LOAD_SECONDS = 300.0  # an adapter from a network disk, onto a card that is busy
IDLE_SECONDS = 3.0  # under the five after which uvicorn closes a connection
# How vLLM says that its engine's process has died: no fault of who asked just then.
_DEAD = ("EngineCore", "EngineDeadError")

T = TypeVar("T")


class Held(NamedTuple):
    """What a server holds: `base` is the name of its base model, `root` where that came from, `context` its tokens, and
    `adapters` names."""

    base: str
    root: str
    context: int
    adapters: frozenset[str]


class NotHeld(Exception):
    """The server doesn't know the model's name: it was started anew, say."""


class Refused(TwinError):
    """The server was reached, and can't load an adapter."""


class VllmServer:
    """One server by its address, without `/v1`. Requests run on an event loop of its own, in a thread."""

    def __init__(self, url: str, key: str | None, silence: float) -> None:
        """A text is given up after `silence` seconds without a token."""
        self.url = url.rstrip("/").removesuffix("/v1")
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True, name="vllm").start()
        self._client = httpx.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(silence, connect=min(CONNECT_SECONDS, silence)),
            limits=httpx.Limits(max_connections=None, keepalive_expiry=IDLE_SECONDS),
        )

    def look(self) -> Held:
        """What the server holds at this moment. Raises EngineUnavailable."""
        return self._wait(self._look(), LOOK_SECONDS)

    def load(self, name: str, path: str) -> None:
        """Have it hold the adapter of that folder under that name; one that it holds already is no error.

        Raises Refused when it can't, EngineUnavailable when that is no fault of the adapter's.
        """
        self._wait(self.load_adapter(name, path), LOAD_SECONDS)

    def unload(self, name: str) -> None:
        """Have it forget an adapter; one that it doesn't hold is no error. Raises EngineUnavailable."""
        self._wait(self._unload(name), LOOK_SECONDS)

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine on the server's loop."""
        asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """End the connections and the thread."""
        asyncio.run_coroutine_threadsafe(self._client.aclose(), self._loop).result(LOOK_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def load_adapter(self, name: str, path: str) -> None:
        """See `load`."""
        status, told = await self._post("/v1/load_lora_adapter", {"lora_name": name, "lora_path": path})
        if status == 200 or "already been loaded" in told:
            return
        if (status == 404 and told == "Not Found") or "--enable-lora" in told:
            raise EngineUnavailable(
                f"vLLM at {self.url} takes no adapters while it runs.",
                "start it with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True in its environment.",
            )
        if status == 404:
            raise Refused(
                f"vLLM at {self.url} finds no adapter in {path}: {told}.",
                "let it see the model store under the same path as the LLM service.",
            )
        if "max_lora_rank" in told:
            raise Refused(
                f"vLLM at {self.url} can't hold {name}: {told}.",
                "start it with a --max-lora-rank that is no less.",
            )
        raise self._failure(status, told) or Refused(
            f"vLLM at {self.url} can't load {name} ({status}): {told}.",
            "see its log, and that it was started with --enable-lora on the base that the adapter stands on.",
        )

    async def write(self, handle: GenerationHandle, name: str) -> None:
        """One text, token by token into the handle.

        Raises NotHeld while nothing was written, EngineUnavailable when the server is not there or dies, StepFailed
        when it fails at this text, and TwinError when it refuses it.
        """
        said: list[int] = []
        # An answer is never empty: where white space is all before its end, it is asked for what comes instead.
        while not await self._write_on(handle, name, said):
            pass

    async def _write_on(self, handle: GenerationHandle, name: str, said: list[int]) -> bool:
        """Write on after the tokens `said`, which grows; False when the text was to end before it began."""
        s, ends = handle.sampling, handle.version.ends
        body = {
            "model": name, "prompt": [*handle.prompt, *said], "max_tokens": s.max_tokens - len(said),
            "temperature": s.temperature, "top_k": TOP_K, "top_p": TOP_P if s.top_p is None else s.top_p,
            "repetition_penalty": s.repetition_penalty, "presence_penalty": s.presence_penalty,
            "frequency_penalty": s.frequency_penalty, "seed": s.seed, "min_tokens": 1,
            "stop_token_ids": sorted(ends), "stream": True, "return_token_ids": True,
        }  # fmt: skip
        if s.response_format:
            body["response_format"] = s.response_format.as_openai()
        async with self._asked("/v1/completions", body) as response:
            if response.status_code != 200:
                told = _reason(await response.aread())
                if response.status_code == 404 and "does not exist" in told:
                    raise NotHeld
                raise self._failed(response.status_code, told)
            async for line in response.aiter_lines():
                if not line.startswith("data:"):
                    continue
                if (data := line.removeprefix("data:").strip()) == "[DONE]":
                    break
                for token in self._tokens(data):
                    if token in ends and not handle.begun and not handle.cancelled:
                        return False
                    said.append(token)
                    # Left at a stop string, which the server doesn't know: it feels that and ends.
                    if not handle.finish_reason and handle.take(token) and s.stop:
                        return True
        if handle.finish_reason is None:
            raise EngineUnavailable(f"vLLM at {self.url} stopped in the middle.", "try again.")
        return True

    def _tokens(self, data: str) -> list[int]:
        event = json.loads(data)
        if error := event.get("error"):
            raise self._failed(int(error.get("code") or 500), str(error.get("message")))
        choice: dict[str, Any] = next(iter(event.get("choices") or []), {})
        if "token_ids" not in choice and choice.get("text"):
            raise EngineUnavailable(
                f"vLLM at {self.url} doesn't say which tokens it writes.", "take vLLM 0.11 or newer."
            )
        return list(choice.get("token_ids") or [])

    async def _look(self) -> Held:
        async with self._asked("/v1/models", None) as response:
            body = await response.aread()
            if response.status_code != 200:
                told = _reason(body)
                raise self._failure(response.status_code, told) or self._gone(
                    f"{response.status_code}, {told}"
                )
            models = json.loads(body)["data"]
            base = next(m for m in models if not m.get("parent"))
            return Held(
                base=base["id"],
                root=base.get("root") or base["id"],
                context=int(base["max_model_len"]),
                adapters=frozenset(m["id"] for m in models if m.get("parent")),
            )

    async def _unload(self, name: str) -> None:
        status, told = await self._post("/v1/unload_lora_adapter", {"lora_name": name})
        if status not in (200, 404):
            raise self._failure(status, told) or self._gone(f"{status}, {told}")

    async def _post(self, path: str, body: dict[str, Any]) -> tuple[int, str]:
        async with self._asked(path, body) as response:
            return response.status_code, _reason(await response.aread())

    @asynccontextmanager
    async def _asked(self, path: str, body: dict[str, Any] | None) -> AsyncIterator[httpx.Response]:
        try:
            async with self._client.stream("GET" if body is None else "POST", path, json=body) as response:
                yield response
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise self._gone(str(error) or type(error).__name__) from None
        except (KeyError, StopIteration, TypeError, ValueError, AttributeError):
            raise self._gone("it does not speak vLLM's protocol") from None

    def _wait(self, work: Awaitable[T], seconds: float) -> T:
        async def within() -> T:
            return await asyncio.wait_for(work, seconds)

        try:
            return asyncio.run_coroutine_threadsafe(within(), self._loop).result()
        except TimeoutError:
            raise self._gone(f"nothing came for {seconds:g} seconds") from None

    def _failed(self, status: int, told: str) -> Exception:
        """What a text ends with that the server answers so."""
        if failure := self._failure(status, told):
            return failure
        if status >= 500:
            return StepFailed(RuntimeError(told))
        return TwinError(f"vLLM at {self.url} refused the request ({status}): {told}.", "change the request.")

    def _failure(self, status: int, told: str) -> EngineUnavailable | None:
        """The server's own trouble, if that is what it answers."""
        if status in (401, 403):
            return EngineUnavailable(
                f"vLLM at {self.url} does not let us in ({status}).",
                "set TWIN_VLLM_API_KEY to the key that it was started with.",
            )
        if (status in PASSING and status != 500) or any(word in told for word in _DEAD):
            return self._gone(f"{status}, {told}")
        return None

    def _gone(self, why: str) -> EngineUnavailable:
        return EngineUnavailable(
            f"vLLM at {self.url} does not answer: {why[:300]}.",
            "see its log, and start it again if it ended.",
        )


def _reason(body: bytes) -> str:
    """What the server says: OpenAI's `error.message`, its bare `error`, FastAPI's `detail`, or the text as it is."""
    try:
        told = json.loads(body)
    except ValueError:
        return body.decode(errors="replace")[:300]
    if isinstance(told, dict):
        told = told.get("error") or told.get("detail") or told.get("message") or told
    if isinstance(told, dict):
        told = told.get("message") or told
    return str(told)[:300].rstrip(".")
