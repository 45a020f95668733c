"""A text is posted once, by a click on that very text; what the places say is told, and never a token."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from serving.access.keys import Keys
from tests.serving.drafts.posting_double import TOKENS, WEBHOOK_SECRET, PostingDouble, posting_double
from tests.serving.drafts.test_drafts_over_http import begin, error, save
from tests.serving.engine_double import EngineDouble
from tests.serving.twin_server import Server, install, serving
from twin_assets.inference.publishing import send

BOB: dict[str, str] = {}
TEXT = "The tide table (Stenna's) was a day old. #tides and a_b, https://a.example/#part"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, PostingDouble, httpx.Client]]:
    """A server, the places, and a client of somebody who may publish; the scopes of `bob` end with writing."""
    with posting_double() as places, EngineDouble() as engine:
        accounts = {"runa": {
            "linkedin": {"author": "urn:li:person:runa1", "token": TOKENS["linkedin"]}, "x": {"token": TOKENS["x"]},
            "webhook": {"url": f"{places.url}/hook", "secret": WEBHOOK_SECRET},
        }}  # fmt: skip
        settings = install(
            tmp_path_factory.mktemp("home"), engine.url, linkedin_api=places.url, x_api=places.url,
            publishing=SecretStr(json.dumps(accounts)), rate_per_minute=0,
        )  # fmt: skip
        with serving(settings) as server:
            token, _ = Keys(server.answers.lake).create("ann", ["runa", "ola"], ["write", "publish"])
            bob, _ = Keys(server.answers.lake).create("bob", ["runa"], ["write"])
            BOB["Authorization"] = f"Bearer {bob}"
            with httpx.Client(
                base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=60
            ) as ann:
                yield server, places, ann


@pytest.fixture(autouse=True)
def fresh(running: tuple[Server, PostingDouble, httpx.Client], monkeypatch: pytest.MonkeyPatch) -> None:
    running[1].next.clear()
    running[1].posts.clear()
    monkeypatch.setattr(send, "ANSWER_SECONDS", 1.0)


def publish(client: httpx.Client, draft: Any, place: str = "linkedin", **given: Any) -> httpx.Response:
    body = {"persona": "runa", "draft_id": draft["id"], "version": draft["version"], "place": place} | given
    return client.post("/v1/publishing", json=body)


def ledger(client: httpx.Client) -> list[Any]:
    found: list[Any] = client.get("/v1/publishing", params={"persona": "runa"}).json()["posts"]
    return found


def status_of(client: httpx.Client, draft: Any) -> str:
    return str(client.get(f"/v1/drafts/{draft['id']}", params={"persona": "runa"}).json()["status"])


def test_linkedin_and_x_get_the_text_to_the_letter_and_the_ledger_says_where_it_is(
    running: tuple[Server, PostingDouble, httpx.Client],
) -> None:
    _, places, ann = running
    draft = begin(ann, text=TEXT)
    made = publish(ann, draft, mine=True)
    assert made.status_code == 201, made.text
    assert made.json()["address"] == "https://www.linkedin.com/feed/update/urn:li:share:7141138937766391801/"
    [sent] = places.posts
    assert (
        sent["commentary"]
        == r"The tide table \(Stenna's\) was a day old. {hashtag|\#|tides} and a\_b, https://a.example/\#part"
    )
    assert (sent["author"], sent["lifecycleState"], sent["visibility"]) == (
        "urn:li:person:runa1",
        "PUBLISHED",
        "PUBLIC",
    )
    assert status_of(ann, draft) == "published"
    on_x = publish(ann, draft, "x").json()
    assert places.posts[-1] == {"text": TEXT}
    assert on_x["address"] == f"https://x.com/i/web/status/{on_x['post_id']}"
    newest, older = ledger(ann)[:2]
    assert (newest["place"], newest["mine"], older["place"], older["mine"]) == ("x", False, "linkedin", True)
    assert error(publish(ann, draft)) == (409, "AlreadyPosted")
    assert len(places.posts) == 2


def test_a_text_that_was_changed_since_it_was_seen_is_not_sent(
    running: tuple[Server, PostingDouble, httpx.Client],
) -> None:
    _, places, ann = running
    draft = begin(ann, text="A text that is changed.")
    changed = save(ann, draft, text="Another text.").json()
    assert error(publish(ann, draft)) == (409, "Overtaken")
    assert places.posts == []
    assert publish(ann, changed).status_code == 201


def test_of_two_clicks_at_once_one_posts(running: tuple[Server, PostingDouble, httpx.Client]) -> None:
    _, places, ann = running
    draft = begin(ann, text="Clicked many times.")
    with ThreadPoolExecutor(5) as threads:
        answers = list(threads.map(lambda _: publish(ann, draft), range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]
    assert len(places.posts) == 1


@pytest.mark.parametrize(
    "lost", ["hang", "drop", (500, {}, None), (504, {}, b"<html>Gateway timeout</html>")]
)
@pytest.mark.parametrize("place", ["linkedin", "x", "webhook"])
def test_where_nobody_knows_whether_it_was_posted_it_is_not_sent_again_until_somebody_says(
    running: tuple[Server, PostingDouble, httpx.Client], lost: Any, place: str
) -> None:
    _, places, ann = running
    draft = begin(ann, text=f"Lost on its way: {place} {lost}")
    places.next = [lost]
    before = len(places.asked)
    assert error(publish(ann, draft, place)) == (502, "OutcomeUnknown")
    assert error(publish(ann, draft, place)) == (409, "AlreadyPosted")
    assert len(places.asked) == before + 1
    post = ledger(ann)[0]
    assert (post["outcome"], status_of(ann, draft)) == ("unknown", "draft")
    said = {"persona": "runa", "made": False}
    assert ann.post(f"/v1/publishing/{post['number']}", json=said).json()["outcome"] == "refused"
    assert error(ann.post(f"/v1/publishing/{post['number']}", json=said)) == (404, "Unknown")
    assert publish(ann, draft, place).status_code == 201
    assert status_of(ann, draft) == "published"


RESET = int(time.time()) + 36_000


@pytest.mark.parametrize(
    ("place", "answer", "told", "word"),
    [
        ("x", (429, {"x-rate-limit-reset": str(RESET)}, {"title": "Too Many Requests", "status": 429, "detail": "Too Many Requests"}), (503, "PlaceBusy"), "UTC"),
        ("linkedin", (429, {}, {"status": 429, "message": "Resource level throttle APPLICATION DAY limit for calls to this resource is reached."}), (503, "PlaceBusy"), "throttle"),
        ("webhook", (503, {"Retry-After": "120"}, None), (503, "PlaceBusy"), "120"),
        ("linkedin", (401, {}, {"status": 401, "serviceErrorCode": 65601, "code": "REVOKED_ACCESS_TOKEN", "message": f"revoked: {TOKENS['linkedin']}"}), (400, "TokenRefused"), "[token]"),
        ("x", (401, {}, {"title": "Unauthorized", "status": 401}), (400, "TokenRefused"), "expired"),
        ("linkedin", (403, {}, {"status": 403, "code": "ACCESS_DENIED", "message": "Not enough permissions to access: partnerApiPostsExternal.CREATE"}), (422, "PostRefused"), "permissions"),
        ("linkedin", (426, {}, {"status": 426, "code": "NONEXISTENT_VERSION", "message": "Requested version 20260101 is not active"}), (422, "PostRefused"), "TWIN_LINKEDIN_POSTS_VERSION"),
        ("x", (403, {}, {"detail": "You are not allowed to create a Tweet with duplicate content.", "title": "Forbidden", "status": 403}), (409, "DuplicateRefused"), "already"),
        ("linkedin", (422, {}, {"status": 422, "message": "Content is a duplicate of urn:li:share:7", "errorDetails": {"inputErrors": [{"code": "DUPLICATE_POST"}]}}), (409, "DuplicateRefused"), "already"),
        ("webhook", (302, {"Location": "http://127.0.0.1:1/"}, None), (422, "PostRefused"), "302"),
        ("x", (400, {}, ["odd"]), (422, "PostRefused"), "400"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_to_do_and_lets_it_be_tried_again(
    running: tuple[Server, PostingDouble, httpx.Client],
    place: str,
    answer: Any,
    told: tuple[int, str],
    word: str,
) -> None:
    server, places, ann = running
    draft = begin(ann, text=f"Refused once by {place}: {word} {told}")
    places.next = [answer]
    refused = publish(ann, draft, place)
    assert error(refused) == told
    assert word in refused.text
    if str(RESET) in str(answer):
        assert abs(RESET - time.time() - int(refused.headers["retry-after"])) < 60
    assert not [token for token in [*TOKENS.values(), WEBHOOK_SECRET] if token in refused.text]
    assert publish(ann, draft, place).status_code == 201
    stored = b"".join(server.answers.lake.read(key) for key in server.answers.lake.keys(""))
    assert not [token for token in [*TOKENS.values(), WEBHOOK_SECRET] if token.encode() in stored]


def test_a_place_that_can_t_be_reached_was_sent_nothing(tmp_path: Path) -> None:
    with EngineDouble() as engine:
        accounts = {"runa": {"x": {"token": "t"}}}
        settings = install(
            tmp_path, engine.url, x_api="http://127.0.0.1:1", publishing=SecretStr(json.dumps(accounts))
        )
        with serving(settings) as server:
            draft = begin(server.client)
            assert error(publish(server.client, draft, "x")) == (503, "PlaceBusy")
            assert ledger(server.client)[0]["outcome"] == "refused"


def test_a_webhook_s_body_is_signed_as_standard_webhooks_says(
    running: tuple[Server, PostingDouble, httpx.Client],
) -> None:
    _, places, ann = running
    made = publish(ann, begin(ann, text="For the scheduler.", title="Later"), "webhook").json()
    path, headers, body = places.asked[-1]
    assert path == "/hook"
    key = base64.b64decode(WEBHOOK_SECRET.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    assert (
        headers["webhook-signature"]
        == "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    )
    assert headers["webhook-id"] == f"runa-{made['number']}"
    data = json.loads(body)["data"]
    assert (data["text"], data["title"], data["persona"]) == ("For the scheduler.", "Later", "runa")


def test_the_preview_is_the_text_with_its_length_at_each_place(
    running: tuple[Server, PostingDouble, httpx.Client],
) -> None:
    _, places, ann = running
    text = "潮 & tables " * 30
    draft = begin(ann, text=text, kind="x_post")
    seen = {"persona": "runa", "draft_id": draft["id"], "version": draft["version"]}
    told = ann.post("/v1/publishing/preview", json=seen).json()
    assert told["text"] == text
    shown = {place["place"]: place for place in told["places"]}
    assert shown["x"]["length"] == len(text) + 30, "X counts two for a letter of Japanese"
    assert "280" in shown["x"]["problem"]
    assert shown["linkedin"]["problem"] is None
    assert shown["linkedin"]["composer"].endswith("%E6%BD%AE%20%26%20tables%20" * 30)
    assert [shown[p]["api"] for p in ("linkedin", "x", "webhook", "mastodon")] == [True, True, True, False]
    assert error(publish(ann, draft, "x")) == (422, "TooLongToPost")
    assert error(publish(ann, draft, "mastodon", how="api")) == (400, "NotReady")
    assert places.posts == []
    long = begin(ann, text="word " * 2_000)
    assert error(publish(ann, long, "mail", how="composer")) == (400, "NotReady"), "no address is that long"
    opened = publish(ann, begin(ann, text="By hand."), "mastodon", how="composer").json()
    assert opened["outcome"] == "opened"
    said = {"persona": "runa", "made": True, "address": "https://mastodon.example/@runa/1"}
    made = ann.post(f"/v1/publishing/{opened['number']}", json=said).json()
    assert (made["outcome"], made["address"]) == ("made", "https://mastodon.example/@runa/1")


def test_publishing_needs_its_own_scope_and_accounts_that_fit(
    running: tuple[Server, PostingDouble, httpx.Client],
) -> None:
    server, _, ann = running
    with httpx.Client(base_url=server.url, headers=BOB) as bob:
        mine = begin(bob)
        assert error(publish(bob, mine)) == (403, "Forbidden")
        assert error(bob.get("/v1/publishing", params={"persona": "runa"})) == (403, "Forbidden")
        assert error(publish(ann, mine)) == (404, "Unknown")
    draft = begin(ann, persona="ola")
    assert error(publish(ann, draft, persona="ola")) == (400, "NotReady"), "accounts are each persona's own"
    given = server.settings.publishing
    for wrong, where in (
        ('{"runa": {"x": {"token": 5, "more": "x-secret-token-456"}}}', "runa: x.token"),
        ('{"runa": {"x": {"token": "x-secret-token-456\\n"}}}', "x.token: Value error, has white space"),
        ('{"runa": {"webhook": {"url": "https://x-secret-token-456:a/", "secret": "s"}}}', "webhook.url"),
        ("x-secret-token-456", "no JSON object"), ("[]", "no JSON object"),
    ):  # fmt: skip
        server.settings.publishing = SecretStr(wrong)
        refused = publish(ann, begin(ann), "x")
        assert refused.status_code == 400
        assert where in refused.text
        assert "secret-token" not in refused.text
    server.settings.publishing = given
