"""How large the body of a request may be, and which bodies are files."""

import re

from starlette.requests import Request

from twin_assets.settings import Settings

# Anybody may send a login, so it may hold a password and little else.
LOGIN_BYTES = 10_000
UPLOADS = re.compile(r"/ui/api/[^/]+/uploads")


def most_bytes(request: Request, settings: Settings) -> int:
    """Bytes that the body of a request may have."""
    if request.scope["path"] == "/ui/login":
        return LOGIN_BYTES
    return settings.upload_max_mb * 1_000_000 if is_upload(request) else settings.max_request_bytes


def is_upload(request: Request) -> bool:
    """Whether the body is a file, which is not read at once."""
    return request.method == "POST" and UPLOADS.fullmatch(request.scope["path"]) is not None
