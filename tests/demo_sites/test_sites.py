"""The demo sites speak the sources' wire formats, and show the planted trouble in its edition."""

import httpx

from demo.sites import DemoSites
from demo.sites.writing import WRITING, read_writing
from twin_assets.core.persona.definition import load_persona
from twin_assets.settings import ROOT

SNAPSHOT = "/linkedin/rest/memberSnapshotData?q=criteria&domain=MEMBER_SHARE_INFO&start="
LINKEDIN = {"Authorization": "Bearer t", "LinkedIn-Version": "202312"}


def test_linkedin_insists_on_its_headers_and_ends_with_404() -> None:
    with DemoSites() as sites:
        assert httpx.get(sites.url(SNAPSHOT + "0")).status_code == 401
        assert httpx.get(sites.url(SNAPSHOT + "0"), headers={"Authorization": "Bearer t"}).status_code == 426
        first = httpx.get(sites.url(SNAPSHOT + "0"), headers=LINKEDIN).json()
        end = httpx.get(sites.url(SNAPSHOT + "99"), headers=LINKEDIN)
    assert first["paging"]["links"][0]["rel"] == "next"
    assert len(first["elements"][0]["snapshotData"]) == 10
    assert end.status_code == 404
    assert "No data found" in end.text


def test_medium_answers_304_to_its_own_etag_and_hides_member_only_text() -> None:
    with DemoSites() as sites:
        feed = httpx.get(sites.url("/medium/feed/@runahollis"))
        again = httpx.get(feed.url, headers={"If-None-Match": feed.headers["etag"]})
    assert again.status_code == 304
    assert feed.text.count("<item>") == 8
    assert feed.text.count("<content:encoded>") == 7
    assert "follow me on" in feed.text


def test_substack_pages_are_uneven_and_one_post_is_blocked() -> None:
    with DemoSites() as sites:
        sizes = [
            len(httpx.get(sites.url(f"/substack/api/v1/archive?sort=new&offset={n}&limit=12")).json())
            for n in range(3)
        ]
        blocked = httpx.get(sites.url("/substack/api/v1/posts/welcome-aboard"))
    assert len(set(sizes)) > 1
    assert max(sizes) < 12
    assert blocked.status_code == 403
    assert "Just a moment" in blocked.text


def test_the_second_edition_edits_and_deletes() -> None:
    first, second = read_writing(WRITING, 1), read_writing(WRITING, 2)
    assert len(first.linkedin) - len(second.linkedin) == 1
    changed = [p.id for p, q in zip(first.medium, second.medium, strict=True) if p.text != q.text]
    assert changed == ["a81d44e0c39b"]


def test_the_demo_persona_points_at_the_demo_sites() -> None:
    runa = load_persona(ROOT / "personas", "runa")
    assert runa.sources() == ["linkedin", "medium", "substack", "github"]
    assert runa.questions == WRITING / "questions.yaml"
