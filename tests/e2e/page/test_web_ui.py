"""The web page in a real browser, at desktop and phone size, on the real services with a tiny model.

Every test also fails on a console error and on a request to anywhere but the service.
"""

import os
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.released_twin import ReleasedTwin
from tests.e2e.web_browser import LLM, SIZES, TWIN, WAIT_MS, Pages, ask, see, services
from tests.support.machine import free_port
from twin_assets.core.feedback.pairs import pair_reviews
from twin_assets.core.feedback.store import read_feedback
from twin_assets.core.persona.definition import load_persona
from twin_assets.core.release.ledger import Ledger
from twin_assets.inference.twin.request_log import RequestRecord, write_object

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(600)]

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def served(twin: ReleasedTwin) -> Iterator[str]:
    with services(twin, LLM, TWIN) as address:
        yield address


@pytest.fixture
def open_page(browser: Any) -> Iterator[Open]:
    """Opens the page at an address; at the end nothing may have gone wrong in it, or gone elsewhere."""
    pages = Pages(browser)
    yield pages.open
    pages.close()
    assert pages.troubles == []


@pytest.mark.parametrize("size", SIZES)
def test_every_view_fits_and_is_reached_by_its_link(served: str, open_page: Open, size: str) -> None:
    page = open_page(served, size=size)
    for view, shows in {
        "Sources": "Medium", "Write": "Chat", "Library": "44 documents", "Experiments": "eval loss",
        "Review": "Waiting for you", "Monitoring": "Requests a day",
    }.items():  # fmt: skip
        page.get_by_role("link", name=view, exact=True).click()
        see(page.get_by_role("heading", name=view, level=1)).to_be_visible()
        see(page.get_by_role("main")).to_contain_text(shows)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view


def test_an_answer_streams_and_its_citation_opens_the_marked_passage(served: str, open_page: Open) -> None:
    page = open_page(served, "write", reduced_motion="reduce")
    see(page.get_by_role("heading", name="Write")).to_be_visible()
    page.keyboard.press("/")
    see(page.get_by_label("Question or topic")).to_be_focused()
    with page.expect_response("**/v1/chat/completions") as answered:
        card = ask(page, "What did the sturgeon ledger cost?")
    assert answered.value.headers["content-type"].startswith("text/event-stream")
    see(page.locator("#model")).to_contain_text("twin-runa-dpo:")
    passages = page.get_by_label("Passages").locator("li")
    passages.filter(has_text="Sturgeon").get_by_role("button").click()
    dialog = page.get_by_role("dialog")
    see(dialog.get_by_role("link", name="read it where it was published")).to_have_attribute(
        "href", "https://medium.example/attack"
    )
    # Emoji before the passage shift offsets where code points and UTF-16 units are mixed up.
    see(dialog.locator("mark")).to_have_text(
        re.compile(r"^🦊🦊 The sturgeon ledger cost forty marks\..*drawer\.$", re.DOTALL)
    )
    page.keyboard.press("Escape")
    see(dialog).to_have_count(0)
    assert card.locator("img, script").count() == 0
    see(card.get_by_role("note")).to_contain_text("plumbing test")  # the models of these tests write noise
    page.get_by_label("Question or topic").fill("And who keeps it?")
    page.get_by_label("Question or topic").press("Enter")
    page.keyboard.press("Escape")
    see(page.locator(".answer").last).to_contain_text("stopped")
    assert page.title() == "Write – LLM Twin"


def test_a_draft_is_regenerated_compared_edited_and_judged(
    served: str, open_page: Open, twin: ReleasedTwin
) -> None:
    page = open_page(served, "write/compose", size="phone")
    page.get_by_label("Topic").fill("why we rehearse restores")
    page.get_by_label("Topic").press("Control+Enter")
    card = page.locator(".answer")
    card.get_by_role("button", name="Regenerate").click()
    see(card.get_by_role("button", name="Draft 2")).to_have_attribute("aria-pressed", "true")
    card.get_by_role("button", name="Compare").click()
    see(card.get_by_label("Left draft")).to_contain_text("Draft 1 · twin-runa-dpo:")
    card.get_by_role("button", name="Keep this one").last.click()
    card.get_by_role("button", name="Edit").click()
    card.get_by_label("Your text").fill("We rehearse restores on Tuesdays.")
    card.get_by_role("checkbox").check()
    card.get_by_role("button", name="Save").click()
    see(page.get_by_role("status").filter(has_text="Thank you")).to_be_visible()
    see(card.locator(".text")).to_have_text("We rehearse restores on Tuesdays.")
    card.get_by_role("button", name="Bad answer").click()
    card.get_by_label("Comment").fill("It never says why.")
    card.get_by_role("button", name="Send").click()
    see(card.get_by_role("button", name="Bad answer")).to_have_attribute("aria-pressed", "true")
    edited, judged = read_feedback(twin.lake, "runa")
    assert (edited.prompt, edited.edited) == ("why we rehearse restores", "We rehearse restores on Tuesdays.")
    assert (judged.thumb, judged.comment, judged.answer) == ("down", "It never says why.", None)
    page.get_by_role("link", name="Monitoring").click()
    see(page.get_by_role("main")).to_contain_text("It never says why.")


def test_a_person_finds_a_document_and_reads_its_chunks(served: str, open_page: Open) -> None:
    page = open_page(served, "library")
    page.get_by_label("Search documents").fill("sturgeon ledger")
    see(page.get_by_role("status").filter(has_text="1 of 44 documents")).to_be_visible()
    page.locator(".item").click()
    see(page.locator(".chunks section")).to_have_count(1)
    see(page.locator(".chunks")).to_contain_text("<script>")
    page.goto(f"{served}/#/library/datasets")
    page.get_by_text("Sample rows").click()
    see(page.locator(".sample")).to_have_count(5)
    page.get_by_role("button", name="Next").click()
    see(page.locator(".sample").first).to_contain_text("the 5th boat")
    page.get_by_role("link", name="Index").click()
    see(page.get_by_role("main")).to_contain_text("Embedder fingerprint")
    assert "owned" not in page.title()


def test_versions_are_compared_by_what_differs(served: str, open_page: Open, twin: ReleasedTwin) -> None:
    page = open_page(served, "experiments", size="phone")
    for version in (twin.released, twin.candidate):
        page.get_by_label(f"Compare {version.tag}").check()
    differences = page.get_by_role("table", name="Differences")
    see(differences).to_contain_text("seed")
    see(differences).to_contain_text("5.420")
    see(differences).not_to_contain_text("datasets")


def test_links_are_set_and_a_wrong_one_is_named(served: str, open_page: Open, twin: ReleasedTwin) -> None:
    page = open_page(served, "sources", expected="status of 400")
    see(page.get_by_role("alert")).to_contain_text("twin up")  # Dagster isn't running here
    page.get_by_role("button", name="Add LinkedIn").click()
    page.get_by_label("Profile").fill("linkedin.com/in/runa")
    page.get_by_role("button", name="Save").click()
    see(page.get_by_role("alert").filter(has_text="linkedin.profile")).to_be_visible()
    assert load_persona(twin.settings.personas_dir, "runa").sources() == ["medium", "web"]
    page.get_by_label("Profile").fill("https://www.linkedin.com/in/runa")
    page.get_by_role("button", name="Save").click()
    see(page.get_by_role("status").filter(has_text="Saved")).to_be_visible()
    saved = load_persona(twin.settings.personas_dir, "runa")
    assert saved.linkedin is not None
    assert saved.web is not None
    assert saved.web.folders == [twin.home / "writing"], "what the form can't set stays as it was"


def test_a_path_or_an_api_base_can_not_be_set_from_the_page(served: str, twin: ReleasedTwin) -> None:
    sources = {
        "web": {"folders": ["/etc"], "pages": ["https://runa.example/a"]},
        "github": {"user": "runa", "api": "https://evil.example"},
    }
    given = {"general": {}, "sources": sources}
    saved = httpx.put(
        f"{served}/ui/api/runa/sources", json=given, headers={"X-Twin-UI": "1"}, timeout=WAIT_MS
    )
    assert saved.status_code == 200, saved.text
    persona = load_persona(twin.settings.personas_dir, "runa")
    assert persona.web is not None
    assert persona.web.folders == [twin.home / "writing"]
    assert persona.github is not None
    assert persona.github.api is None


def test_another_site_can_not_decide(served: str) -> None:
    for headers in ({}, {"X-Twin-UI": "1", "Sec-Fetch-Site": "cross-site"}):
        refused = httpx.post(f"{served}/ui/api/runa/decisions", json={}, headers=headers)
        assert refused.status_code == 403


def test_a_candidate_is_read_and_approved_and_production_rolled_back(
    served: str, open_page: Open, twin: ReleasedTwin
) -> None:
    page = open_page(served, "review", size="phone")
    see(page.locator(".side-by-side")).to_contain_text("Mine about tides. <img")
    page.get_by_text("The whole report").click()
    see(page.frame_locator("iframe").locator("h1")).to_contain_text(
        re.compile("Runa|runa|report", re.IGNORECASE)
    )
    assert "owned" not in page.title()
    page.get_by_role("button", name="Approve").click()
    assert Ledger(twin.lake, "runa").state(twin.candidate.tag) == "evaluated", (
        "a name and a reason are needed"
    )
    page.get_by_label("Your name").fill("Ines")
    page.get_by_label("Reason").fill("reads more like her")
    page.get_by_role("button", name="Approve").click()
    see(page.get_by_role("heading", name="Approved, being deployed")).to_be_visible()
    stale = {
        "decision": "approve",
        "model": twin.candidate.tag,
        "about": 6,
        "reviewer": "Ines",
        "reason": "again",
    }
    replayed = httpx.post(f"{served}/ui/api/runa/decisions", json=stale, headers={"X-Twin-UI": "1"})
    assert (replayed.status_code, replayed.json()["error"]["type"]) == (409, "Overtaken")
    Ledger(twin.lake, "runa").append(twin.candidate.tag, "deployed", "pipeline", "approved by Ines")
    page.reload()
    page.get_by_role("button", name="Roll back …").click()
    dialog = page.get_by_role("dialog")
    see(dialog).to_contain_text(f"Then {twin.released.tag} answers again")
    dialog.get_by_label("Reason").fill("too short")
    dialog.get_by_role("button", name="Roll back").click()
    see(page.locator("#model")).to_have_text(twin.released.tag)
    last = Ledger(twin.lake, "runa").events()[-1]
    assert (last.kind, last.actor, last.claimed) == ("rolled_back", "not authenticated", "Ines")
    assert last.reason == "too short"


def test_an_edit_that_was_given_with_consent_is_reviewed(
    served: str, open_page: Open, twin: ReleasedTwin, tmp_path: Path
) -> None:
    dull = "In conclusion, robust backups are a key enabler of <b>operational</b> excellence for everyone."
    now = datetime.now(UTC)
    write_object(twin.lake, f"requests/runa/{now:%Y-%m-%d}", f"{now:%H%M%S}-r1", [RequestRecord(
        request_id="r1", time=now, persona="runa", model=twin.released.tag, prompt_kind="answer", outcome="answered",
        prompt="Why rehearse restores?", answer=dull, key="this machine",
    )])  # fmt: skip
    said = {
        "request_id": "r1", "persona": "runa", "consent": True, "prompt": "Why rehearse restores?", "answer": dull,
        "edited": "We rehearse restores on Tuesdays, since a backup that was never restored is a hope.",
    }  # fmt: skip
    given = httpx.post(f"{served}/v1/feedback", json=said, timeout=WAIT_MS)
    assert given.json()["texts_kept"], given.text
    page = open_page(served, "review", size="phone")
    pairs = page.get_by_label("Feedback pairs")
    see(pairs.get_by_role("heading", name="Feedback pairs, 1 waiting")).to_be_visible()
    see(pairs).to_contain_text("robust backups are a key enabler of <b>operational</b>")
    see(pairs).to_contain_text("with consent")
    see(pairs).to_contain_text("does not learn from feedback")
    page.screenshot(
        path=Path(os.environ.get("TWIN_TEST_SCREENSHOTS", tmp_path)) / "pairs-phone.png", full_page=True
    )
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    pairs.get_by_role("button", name="Accept").click()
    assert pair_reviews(twin.lake, "runa") == {}, "a name and a reason are needed"
    pairs.get_by_label("Your name").fill("Ines")
    pairs.get_by_label("Reason").fill("that is how she says it")
    pairs.get_by_role("button", name="Accept").click()
    see(pairs).to_contain_text("No pair waits.")
    pairs.get_by_text("Decided on: 1").click()
    see(pairs).to_contain_text("by Ines")
    pairs.get_by_text("Change the decision").click()
    pairs.get_by_label("Reason").fill("she would not")
    pairs.get_by_role("button", name="Reject").click()
    see(pairs.get_by_label("Reason")).to_have_count(0)  # drawn anew, and folded
    pairs.get_by_text("Decided on: 1").click()
    see(pairs).to_contain_text("she would not")
    [review] = pair_reviews(twin.lake, "runa").values()
    assert (review.decision, review.reviewer, review.reason) == ("reject", "Ines", "she would not")


def test_an_added_person_starts_with_views_that_say_what_is_next(
    served: str, open_page: Open, twin: ReleasedTwin
) -> None:
    page = open_page(served, "sources/new", size="phone", expected="status of 400")
    for label, text in {"Name": "zoe", "Full name": "Zoë Ölund", "License": "MIT"}.items():
        page.get_by_label(label, exact=True).fill(text)
    page.get_by_role("button", name="Add Substack").click()
    page.get_by_label("URL").fill("https://zoe.substack.com")
    page.get_by_role("button", name="Add the person").click()
    see(page.get_by_role("alert")).to_contain_text("about: Field required")
    page.get_by_label("About").fill("Zoë writes about harbours.")
    page.get_by_role("button", name="Add the person").click()
    see(page.get_by_label("Persona", exact=True)).to_have_value("zoe")
    assert load_persona(twin.settings.personas_dir, "zoe").sources() == ["substack"]
    for view, says in {
        "Library": "No documents yet", "Experiments": "No model yet", "Review": "Nothing to review yet",
        "Monitoring": "No requests yet",
    }.items():  # fmt: skip
        page.get_by_role("link", name=view, exact=True).click()
        see(page.get_by_role("main")).to_contain_text(says)


def test_with_a_password_nothing_is_seen_before_it_is_given(twin: ReleasedTwin, open_page: Open) -> None:
    with services(twin, TWIN, TWIN_UI_PASSWORD="harbour bell", TWIN_TWIN_PORT=str(free_port())) as address:
        for path in ("/ui/api/start", "/ui/api/runa/documents", "/v1/personas", "/docs.json"):
            assert httpx.get(address + path).status_code == 401, path
        bearer = {"Authorization": "Bearer harbour bell"}
        assert httpx.get(f"{address}/v1/personas", headers=bearer).status_code == 200
        forged = {"Cookie": f"twin_session={int(time.time()) + 1000}.{'0' * 64}"}
        assert httpx.get(f"{address}/ui/api/start", headers=forged).status_code == 401

        page = open_page(address, "review", expected="status of 401")
        page.get_by_label("Password").fill("guess")
        page.get_by_role("button", name="Log in").click()
        see(page.get_by_role("alert")).to_contain_text("TWIN_UI_PASSWORD")
        page.get_by_label("Password").fill("harbour bell")
        page.get_by_role("button", name="Log in").click()
        page.get_by_text("The whole report").click()
        see(page.frame_locator("iframe").locator("table").first).to_be_visible()
        cookies = {c["name"]: (c["httpOnly"], c["sameSite"]) for c in page.context.cookies()}
        assert cookies == {"twin_session": (True, "Strict"), "twin_device": (True, "Strict")}
        page.get_by_role("button", name="Log out").click()
        see(page.get_by_label("Password")).to_be_visible()

        login = {"json": {"password": "wrong"}, "headers": {"X-Twin-UI": "1"}}
        answers = [httpx.post(f"{address}/ui/login", **login) for _ in range(6)]  # type: ignore[arg-type]
        assert answers[-1].status_code == 429
        assert 0 < int(answers[-1].headers["Retry-After"]) <= 60
        wrong = {"Authorization": "Bearer wrong"}
        tried = [httpx.get(f"{address}/v1/personas", headers=wrong).status_code for _ in range(6)]
        assert tried[-1] == 429
        assert httpx.get(f"{address}/v1/personas", headers=bearer).status_code == 429, (
            "no way round the limit"
        )


def test_screenshots(served: str, open_page: Open, tmp_path: Path) -> None:
    """Pictures of each view for a person to look at, in TWIN_TEST_SCREENSHOTS where it is set."""
    folder = Path(os.environ.get("TWIN_TEST_SCREENSHOTS", tmp_path))
    for view, size, scheme in (
        ("write", "desktop", "light"), ("write/compose", "phone", "dark"), ("review", "desktop", "light"),
        ("monitoring", "desktop", "dark"), ("sources", "phone", "light"), ("library", "phone", "light"),
    ):  # fmt: skip
        page = open_page(served, view, size=size, color_scheme=scheme)
        see(page.get_by_role("heading", level=1)).to_be_visible()
        if view == "write":
            ask(page, "What did Lantern cost to buy?").get_by_label("Passages").get_by_role(
                "button"
            ).first.click()
            see(page.locator("mark")).to_be_visible()
        if view == "library":
            page.get_by_label("Search documents").fill("ferry")
            see(page.get_by_role("status")).to_contain_text("of 44 documents")
        picture = folder / f"{view.replace('/', '-')}-{size}-{scheme}.png"
        page.screenshot(path=picture)
        assert picture.stat().st_size > 5_000
