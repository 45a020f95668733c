"""One vLLM server as a BentoML service, for TWIN_VLLM_URL of the LLM service: of an image that has vLLM and BentoML.

    BASE_MODEL=FOLDER VLLM_API_KEY=... bentoml serve serving.llm.vllm.service:VllmService

BentoML starts `vllm serve` (`__command__`) on a port of the machine's own, waits for it, and passes on what comes to the service's port:
the protocol under /v1, which the key closes, and vLLM's health. vLLM's other routes load adapters and write without a key. So
nothing of the platform but this folder is imported here.
"""

import os
import shlex
import sys
from typing import Any

import bentoml
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.llm.vllm import leash

PORT = int(os.environ.get("ENGINE_PORT", "8000"))
ARGUMENTS = "--enable-lora --max-lora-rank 64 --max-loras 8"
_OPEN = ("/health", "/livez", "/readyz", "/healthz")


class OnlyProtocol:
    """The middleware that lets nothing else through, whoever asks."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"].startswith("/v1/") or scope["path"] in _OPEN:
            await self.app(scope, receive, send)
        else:
            await JSONResponse({"detail": "Not Found"}, 404)(scope, receive, send)


class VllmService:
    """vLLM with the base of BASE_MODEL, a folder of the model store or a hub name; SERVE_ARGS in place of ARGUMENTS."""

    def __command__(self) -> list[str]:
        missing = [name for name in ("BASE_MODEL", "VLLM_API_KEY") if not os.environ.get(name)]
        if missing:
            raise SystemExit(
                f"{' and '.join(missing)} not set. Fix: BASE_MODEL is the base version's folder, VLLM_API_KEY the key that the LLM "
                "service has as TWIN_VLLM_API_KEY."
            )
        serve = ["vllm", "serve", os.environ["BASE_MODEL"], "--host", "127.0.0.1", "--port", str(PORT)]
        arguments = shlex.split(os.environ.get("SERVE_ARGS", ARGUMENTS))
        # The leash: vLLM's engine is a process of its own, and would outlive a service that is killed.
        held = ["env", "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True", sys.executable, leash.__file__]
        return [*held, *serve, *arguments]


def _served(service: Any) -> Any:
    made = bentoml.service(name="vllm", workers=1, http={"proxy_port": PORT}, traffic={"timeout": 1800})(
        service
    )
    made.add_asgi_middleware(OnlyProtocol)
    return made


VllmService = _served(VllmService)  # type: ignore[misc]
