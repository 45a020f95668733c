"""Where a persona's texts may be sent, and with what: TWIN_PUBLISHING, which is a secret."""

import json
import re
from typing import Annotated

import httpx
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from twin_assets.core.errors import TwinError
from twin_assets.settings import Settings


def _header(token: SecretStr) -> SecretStr:
    """Whether it can be sent at all, said before anything is: the error of whoever sends it would quote it."""
    if not re.fullmatch(r"[!-~]+", token.get_secret_value()):
        raise ValueError("has white space, or a letter that no token has")
    return token


def _address(url: str) -> str:
    try:
        httpx.URL(url)
    except httpx.InvalidURL:
        raise ValueError("is no address") from None
    return url


HttpUrl = Annotated[str, Field(pattern=r"^https?://[^\s/]+", max_length=2000), AfterValidator(_address)]
Token = Annotated[SecretStr, Field(min_length=1, max_length=10_000), AfterValidator(_header)]


class _Account(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class LinkedInAccount(_Account):
    """A member's or an organisation's, by its URN; the token has w_member_social or w_organization_social."""

    author: Annotated[str, Field(pattern=r"^urn:li:(person|organization):[A-Za-z0-9_-]+$", max_length=200)]
    token: Token


class XAccount(_Account):
    """A user's; the token is of OAuth 2.0 with tweet.write."""

    token: Token


class WebhookAccount(_Account):
    """A scheduler's address; the secret signs what is sent, as Standard Webhooks has it."""

    url: HttpUrl
    secret: Token


class Accounts(_Account):
    """Those of one persona."""

    linkedin: LinkedInAccount | None = None
    x: XAccount | None = None
    webhook: WebhookAccount | None = None


def accounts_of(settings: Settings, persona: str) -> Accounts:
    """Raises TwinError when the setting doesn't fit; it says where, and nothing of what stands there."""
    if settings.publishing is None:
        return Accounts()
    try:
        given = json.loads(settings.publishing.get_secret_value())
        return Accounts.model_validate(given.get(persona, {}))
    except ValidationError as error:
        where = "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_input=False)
        )
        problem = f"TWIN_PUBLISHING does not fit for {persona}: {where}."
    except (ValueError, AttributeError):
        problem = "TWIN_PUBLISHING is no JSON object of personas."
    raise TwinError(problem, "see docs/publishing.md for its form.")
