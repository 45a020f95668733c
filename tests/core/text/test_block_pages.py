"""A challenge page is told from an article by its structure and length, never by words alone."""

import pytest

from tests.core.text.test_page_bodies import A, B, C, page
from twin_assets.core.text.html.block_pages import block_reason, is_block_page

BLOCKED = [
    "<!doctype html><html><head><title>Just a moment...</title></head><body>Enable JavaScript and cookies to continue</body></html>",
    '<html><head><title>clock.example</title></head><body><script>window._cf_chl_opt={}</script><p>Please wait.</p></body></html>',
    "<html><head><title>Attention Required! | Cloudflare</title></head><body><h1>Sorry, you have been blocked</h1><p>"
    "This website is using a security service to protect itself from online attacks. The action you just performed "
    "triggered the security solution.</p></body></html>",
    "<html><head><title>Access to this page has been denied</title></head><body><div id='px-captcha'></div></body></html>",
    "<html><head><title>Access Denied</title></head><body>You don't have permission to access this server. Reference 18.</body></html>",
    "<html><body><h2>Verify you are human by completing the action below.</h2><p>clock.example needs to review it.</p></body></html>",
]  # fmt: skip


@pytest.mark.parametrize("body", BLOCKED)
def test_a_challenge_is_a_block_page(body: str) -> None:
    assert block_reason(200, "text/html", body)
    assert is_block_page(body)


@pytest.mark.parametrize(
    "body",
    [
        page(
            f"<article><p>{A}</p><p>Yesterday a page asked me to verify you are human.</p><p>{B}</p></article>"
        ),
        page(f"<article><p>{A}</p><p>Verify you are human, it said. {B}</p></article>"),
        page(
            f"<article><p>{A}</p><p>{B}</p><p>{C}</p></article>", title="Access denied: a week without keys"
        ),
        page(f"<p>{A}</p><p>{B}</p><script src='/cdn-cgi/challenge-platform/scripts/jsd/main.js'></script>"),
        page(f"<p>{A}</p><p>{B}</p><form><div class='g-recaptcha'></div></form>"),
        page(f"<p>{A}</p><p>{B}</p>", title="Just a moment in the fog"),
        "Please verify you are human, it said, and I was not sure.",
        "<p>Enable JavaScript and cookies to continue</p>",
    ],
)
def test_an_article_that_speaks_of_them_is_none(body: str) -> None:
    assert not is_block_page(body)
    assert block_reason(200, "text/html", body) is None or not body.startswith("<!")


def test_a_refusal_has_its_status_as_reason() -> None:
    assert block_reason(403, "text/html", page(f"<p>{A}</p>")) == "refused (HTTP 403)"
    assert block_reason(200, "application/json", '{"title": "Just a moment"}') is None
    assert block_reason(200, "text/html", "", mitigated=True) == "cloudflare challenge"
