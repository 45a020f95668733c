"""Posts one text, once. Nothing is tried again: an answer that doesn't come leaves open whether the post was made."""

import base64
import binascii
import hashlib
import hmac
import json
import re
import time
from datetime import UTC, datetime
from typing import Any, NamedTuple

import httpx
from pydantic import SecretStr

from twin_assets.core.errors import TwinError
from twin_assets.core.records import Record
from twin_assets.inference.publishing.accounts import Accounts, LinkedInAccount, WebhookAccount, XAccount
from twin_assets.inference.publishing.places import PLACES, Place
from twin_assets.settings import Settings

CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 30.0
MOST_BYTES = 65_536
MOST_TOLD = 300
# Reserved in LinkedIn's `little` text format: unescaped, they end the text that is shown.
_RESERVED = re.compile(r"[\\|{}@\[\]()<>#*_~]")
# Not the `#` of an address.
_HASHTAG = re.compile(r"(?<![^\s(])#(\w+)")


Account = LinkedInAccount | XAccount | WebhookAccount


class NotReady(TwinError):
    """The persona has no account there."""


class TooLongToPost(TwinError):
    """The text is longer than the place takes."""


class TokenRefused(TwinError):
    """The token is revoked, expired, or not good for posting."""


class PostRefused(TwinError):
    """The place took the request and not the post."""


class DuplicateRefused(TwinError):
    """The place says that it has this text already."""


class PlaceBusy(TwinError):
    """The place took nothing, and may later: in `wait` seconds, where it says so."""

    def __init__(self, problem: str, fix: str, wait: int | None = None) -> None:
        super().__init__(problem, fix)
        self.wait = wait


class OutcomeUnknown(TwinError):
    """The request was sent, and nothing says whether the post was made."""


class Sent(Record):
    """What the place says of the post."""

    post_id: str | None
    address: str | None


class Text(NamedTuple):
    """What is sent: `key` names the post in the ledger, the same for whoever asks again."""

    persona: str
    title: str
    text: str
    draft_id: str
    key: str


class _Answer(NamedTuple):
    status: int
    headers: httpx.Headers
    body: dict[str, Any]


def refuse_too_long(place: Place, text: str) -> None:
    """Raises TooLongToPost; PostRefused for one without a word."""
    facts = PLACES[place]
    if not text.strip():
        raise PostRefused("There is no text to post.", "write one, and save it.")
    length = facts.length(text)
    if facts.limit is not None and length > facts.limit:
        raise TooLongToPost(
            f"{facts.title} takes {facts.limit:,} characters; as it counts, the text has {length:,}.",
            "shorten it.",
        )


def ready(accounts: Accounts, place: Place) -> bool:
    """Whether the persona has an account there that a text can be posted with."""
    return getattr(accounts, place, None) is not None


def require_account(accounts: Accounts, place: Place, persona: str) -> Account:
    """The persona's account there. Raises NotReady."""
    account: Account | None = getattr(accounts, place, None)
    if account is None:
        raise NotReady(
            f"{persona} has no account of {PLACES[place].title}.",
            "name one in TWIN_PUBLISHING (docs/publishing.md), or use the place's composer.",
        )
    return account


def send(settings: Settings, accounts: Accounts, place: Place, text: Text) -> Sent:
    """Post it. Raises what stands above; only after OutcomeUnknown may the post be there all the same."""
    account = require_account(accounts, place, text.persona)
    if isinstance(account, LinkedInAccount):
        return _to_linkedin(settings, account, text)
    if isinstance(account, XAccount):
        return _to_x(settings, account, text)
    return _to_webhook(account, text)


def little(text: str) -> str:
    """A plain text as LinkedIn's `commentary` has it: hashtags as templates, everything else to the letter."""
    parts, at = list[str](), 0
    for tag in _HASHTAG.finditer(text):
        parts += [_escaped(text[at : tag.start()]), f"{{hashtag|\\#|{_escaped(tag[1])}}}"]
        at = tag.end()
    return "".join([*parts, _escaped(text[at:])])


def _escaped(text: str) -> str:
    return _RESERVED.sub(lambda found: f"\\{found[0]}", text)


def _to_linkedin(settings: Settings, account: LinkedInAccount, text: Text) -> Sent:
    """Posts API: 201, and the post's URN in x-restli-id."""
    body = {
        "author": account.author,
        "commentary": little(text.text),
        "visibility": "PUBLIC",
        "distribution": {
            "feedDistribution": "MAIN_FEED",
            "targetEntities": [],
            "thirdPartyDistributionChannels": [],
        },
        "lifecycleState": "PUBLISHED",
        "isReshareDisabledByAuthor": False,
    }
    headers = {
        "Authorization": f"Bearer {account.token.get_secret_value()}",
        "LinkedIn-Version": settings.linkedin_posts_version,
        "X-Restli-Protocol-Version": "2.0.0",
    }
    answer = _post(
        "linkedin", f"{settings.linkedin_api}/rest/posts", json.dumps(body), headers, account.token
    )
    if answer.status == 201:
        urn = answer.headers.get("x-restli-id", "")[:200]
        known = re.fullmatch(r"urn:li:(share|ugcPost|activity):\d+", urn)
        return Sent(
            post_id=urn or None, address=f"https://www.linkedin.com/feed/update/{urn}/" if known else None
        )
    faults = answer.body.get("errorDetails") or {}
    inputs = faults.get("inputErrors") if isinstance(faults, dict) else None
    if isinstance(inputs, list) and any(
        isinstance(f, dict) and f.get("code") == "DUPLICATE_POST" for f in inputs
    ):
        raise _duplicate("linkedin", answer, account.token)
    if answer.status == 426:
        raise PostRefused(
            f"LinkedIn has no version {settings.linkedin_posts_version} of its API.",
            "set TWIN_LINKEDIN_POSTS_VERSION to one that its documentation names.",
        )
    raise _refused("linkedin", answer, account.token)


def _to_x(settings: Settings, account: XAccount, text: Text) -> Sent:
    """POST /2/tweets: 201, and the post's id in the body."""
    headers = {"Authorization": f"Bearer {account.token.get_secret_value()}"}
    answer = _post("x", f"{settings.x_api}/2/tweets", json.dumps({"text": text.text}), headers, account.token)
    if answer.status == 201:
        data = answer.body.get("data")
        post_id = str(data.get("id", ""))[:40] if isinstance(data, dict) else ""
        known = post_id.isdecimal()
        return Sent(
            post_id=post_id if known else None,
            address=f"https://x.com/i/web/status/{post_id}" if known else None,
        )
    if answer.status == 403 and "duplicate content" in str(answer.body.get("detail", "")):
        raise _duplicate("x", answer, account.token)
    raise _refused("x", answer, account.token)


def _to_webhook(account: WebhookAccount, text: Text) -> Sent:
    """Signed as the specification Standard Webhooks says; any 2xx will do. `webhook-id` is the post's key."""
    now = int(time.time())
    body = json.dumps({
        "type": "post.publish",
        "timestamp": datetime.fromtimestamp(now, UTC).isoformat(),
        "data": {"persona": text.persona, "title": text.title, "text": text.text, "draft_id": text.draft_id},
    })  # fmt: skip
    signed = hmac.new(_key(account.secret), f"{text.key}.{now}.{body}".encode(), hashlib.sha256).digest()
    headers = {
        "webhook-id": text.key,
        "webhook-timestamp": str(now),
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }
    answer = _post("webhook", account.url, body, headers, account.secret)
    if 200 <= answer.status < 300:
        return Sent(post_id=text.key, address=None)
    raise _refused("webhook", answer, account.secret)


def _key(secret: SecretStr) -> bytes:
    given = secret.get_secret_value()
    if not given.startswith("whsec_"):
        return given.encode()
    try:
        return base64.b64decode(given.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise TwinError(
            "The webhook's secret is not whsec_ and base64.", "set it as the receiver shows it."
        ) from None


def _post(place: Place, url: str, body: str, headers: dict[str, str], secret: SecretStr) -> _Answer:
    """One request, no redirect followed. Raises PlaceBusy when nothing was sent, OutcomeUnknown when no answer says what
    became of it."""
    title, waits = PLACES[place].title, httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
    headers = {"Content-Type": "application/json", "User-Agent": "llm-twin-publishing/1"} | headers
    try:
        with (
            httpx.Client(timeout=waits, follow_redirects=False) as client,
            client.stream("POST", url, content=body.encode(), headers=headers) as answer,
        ):
            data, end = b"", time.monotonic() + ANSWER_SECONDS
            for part in answer.iter_bytes(MOST_BYTES):
                data += part
                if len(data) >= MOST_BYTES or time.monotonic() > end:
                    break
            told = _Answer(answer.status_code, answer.headers, _object(data))
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol) as error:
        raise PlaceBusy(
            f"{title} can't be reached ({type(error).__name__}): nothing was posted.", "try again in a while."
        ) from None
    except httpx.HTTPError as error:
        raise _unknown(title, type(error).__name__) from None
    if told.status >= 500 and told.status != 503:
        raise _unknown(title, f"HTTP {told.status}")
    return told


def _object(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _unknown(title: str, why: str) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"{title} was sent the text, and did not say whether it was posted ({why}).",
        "look there, then say under Posts whether it was; until then it isn't sent again.",
    )


def _duplicate(place: Place, answer: _Answer, secret: SecretStr) -> DuplicateRefused:
    return DuplicateRefused(
        f"{PLACES[place].title} has this text already.{_told(answer, secret)}",
        "look there; or change the text.",
    )


def _refused(place: Place, answer: _Answer, secret: SecretStr) -> TwinError:
    title, told = PLACES[place].title, _told(answer, secret)
    if answer.status == 401:
        return TokenRefused(
            f"{title} refuses the token: it is revoked, expired or wrong.{told} Nothing was posted.",
            f"make a new one there, and set it in TWIN_PUBLISHING.{place}.",
        )
    if answer.status in (429, 503):
        return _busy(title, answer, told)
    return PostRefused(
        f"{title} refused the post (HTTP {answer.status}).{told} Nothing was posted.",
        "see whether the account may post, and the text is one that it takes.",
    )


def _busy(title: str, answer: _Answer, told: str) -> PlaceBusy:
    """Until when, by X's header or HTTP's own."""
    reset, after = answer.headers.get("x-rate-limit-reset", ""), answer.headers.get("retry-after", "")
    problem = f"{title} takes no more for now (HTTP {answer.status}): nothing was posted.{told}"
    if re.fullmatch(r"\d{9,11}", reset):
        wait = max(int(reset) - int(time.time()), 1)
        return PlaceBusy(
            problem, f"try again after {datetime.fromtimestamp(int(reset), UTC):%Y-%m-%d %H:%M:%S} UTC.", wait
        )
    if re.fullmatch(r"\d{1,7}", after):
        return PlaceBusy(problem, f"try again in {int(after)} seconds.", max(int(after), 1))
    return PlaceBusy(problem, "try again later; the limit of a day ends with the day.")


def _told(answer: _Answer, secret: SecretStr) -> str:
    """What the place says of it, never with the secret."""
    said = answer.body.get("detail") or answer.body.get("message") or answer.body.get("title") or ""
    text = " ".join(str(said).replace(secret.get_secret_value(), "[token]").split())[:MOST_TOLD]
    return f" It says: {text!r}." if text else ""
