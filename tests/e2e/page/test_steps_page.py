"""A text in steps on the page: ideas are chosen from, outline and text are changed, and what was written before something broke stays."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.web_browser import SIZES, Pages, photograph, see
from tests.inference.ideas.made_corpus import TOPIC, chunks
from tests.serving import twin_server
from tests.serving.api.test_chain import FALSE, IDEAS, OUTLINE, TIDES
from tests.serving.engine_double import EngineDouble
from tests.serving.twin_server import TEXTS, Server
from twin_assets.core.records import EmbeddedChunk
from twin_assets.core.storage.feature_store import FeatureStore

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, EngineDouble]]:
    with twin_server.twin(tmp_path_factory.mktemp("steps")) as served:
        FeatureStore(served[0].answers.lake).write("embeddings", "runa", chunks(), list[EmbeddedChunk])
        yield served


def opened(pages: Pages, server: Server, size: str = "desktop", **options: Any) -> Any:
    page = pages.open(server.url, "write/steps", size, **options)
    page.get_by_label("Persona").select_option("runa")
    page.get_by_label("Topic").fill("late tide tables")
    page.get_by_label("Words").fill("200")
    return page


@pytest.mark.parametrize("size", SIZES)
def test_an_idea_from_the_writing_is_kept_among_the_drafts_or_started_from(
    served: tuple[Server, EngineDouble], pages: Pages, size: str
) -> None:
    server, engine = served
    page = opened(pages, server, size)
    page.get_by_role("button", name="What could I write about?").click()
    offer = page.get_by_role("listitem").filter(has=page.get_by_text(TOPIC, exact=True))
    see(offer.get_by_text("2 texts touch it")).to_be_visible()
    see(offer.get_by_text("Rowing home").last).to_be_visible()
    page.get_by_text("Not among them").click()
    see(page.get_by_text("What readers asked:")).to_be_visible()
    photograph(page, f"ideas-{size}")
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
    page.get_by_label(f"Keep for later: {TOPIC}").click()
    see(page.get_by_text("Kept among the drafts.")).to_be_visible()
    [kept] = server.client.get("/v1/drafts", params={"persona": "runa", "status": "idea"}).json()["drafts"]
    assert kept["title"] == TOPIC
    server.client.delete(f"/v1/drafts/{kept['id']}", params={"persona": "runa"}).raise_for_status()
    engine.drafts, engine.says = [], json.dumps(IDEAS)
    page.get_by_label(f"Start from it: {TOPIC}").click()
    see(page.get_by_label("Topic")).to_have_value(TOPIC)
    see(page.get_by_label("Rehearsing restores on Tuesdays")).to_be_visible()
    see(page.get_by_role("heading", name="What you could write about")).to_have_count(0)
    assert TOPIC in engine.prompt


@pytest.mark.parametrize("size", SIZES)
def test_each_step_goes_on_from_what_a_person_left_of_the_one_before(
    served: tuple[Server, EngineDouble], pages: Pages, size: str
) -> None:
    server, engine = served
    page = opened(pages, server, size)
    engine.drafts, engine.says = [], json.dumps(IDEAS)
    page.get_by_label("Topic").press("Control+Enter")
    page.get_by_label("Rehearsing restores on Tuesdays").check()
    engine.says = json.dumps(OUTLINE)
    page.get_by_role("button", name="Outline it").click()
    see(page.get_by_label("Title")).to_have_value("A day late")
    assert "Rehearsing restores on Tuesdays" in engine.prompt
    page.get_by_label("Heading 3").fill("Words that outlive")
    page.get_by_label("Remove section 2").click()
    engine.says = f"{TIDES} {FALSE}"
    page.get_by_role("button", name="Write it").click()
    see(page.get_by_role("button", name="Check again")).to_be_enabled()
    see(page.get_by_role("heading", name="Words that outlive")).to_be_visible()
    see(page.get_by_label("Section 1", exact=True)).to_have_value(TIDES)
    see(page.get_by_text("Revision: shortened").first).to_be_visible()
    page.get_by_label("Section 2", exact=True).fill(f"My own sentence. {FALSE}")
    page.get_by_role("button", name="Check again").click()
    see(page.get_by_text("Nothing says so").first).to_be_visible()
    see(page.get_by_label("Section 2", exact=True)).to_have_value(f"My own sentence. {FALSE}")
    engine.says = TEXTS["sql"]
    page.get_by_label("Write section 2 again").click()
    see(page.get_by_label("Section 2", exact=True)).to_have_value(TEXTS["sql"])
    see(page.get_by_label("Section 1", exact=True)).to_have_value(TIDES)
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]


def test_what_was_written_before_the_engine_failed_stays_on_the_page(
    served: tuple[Server, EngineDouble], pages: Pages
) -> None:
    server, engine = served
    page = opened(pages, server)
    engine.says = TIDES
    page.get_by_role("button", name="All steps at once").click()
    see(page.get_by_role("button", name="Check again")).to_be_enabled()
    engine.fault = "breaks off"
    page.get_by_label("Write section 1 again").click()
    see(page.get_by_text("To mend it").first).to_be_visible()
    see(page.get_by_label("Section 2", exact=True)).to_have_value(TIDES)
    engine.fault = ""
