"""The whole product on the demo persona: crawled, trained, evaluated, approved, served, asked.

With the `smoke` profile every stage is real and short; what the model writes is noise.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from demo.sites import DemoSites
from tests.e2e.product import Product
from tests.support.machine import PATIENCE
from twin_assets.core.models.registry import Registry
from twin_assets.core.persona.definition import SOURCES
from twin_assets.core.release.ledger import Ledger
from twin_assets.core.release.lineage import which_data
from twin_assets.core.storage.lake import open_lake
from twin_assets.inference.twin.request_log import read_requests
from twin_assets.settings import ROOT
from twin_assets.training.experiments.records import read_experiments

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    product = Product.install(tmp_path_factory.mktemp("home"))
    with DemoSites(port=0) as sites:
        declared = (ROOT / "personas" / "runa.yaml").read_text()
        declared = declared.replace("http://127.0.0.1:8765", sites.url("").rstrip("/")).replace(
            "../demo", str(ROOT / "demo")
        )
        (product.home / "personas" / "runa.yaml").write_text(declared)
        product.walk("runa", "--approve-as", "Ines", "--reason", "reads like her")
        yield product


def test_one_walk_ends_with_a_released_model_that_knows_its_parents(product: Product) -> None:
    production = Ledger(open_lake(product.settings), "runa").production()
    assert production is not None
    version = Registry(product.settings).get(production)
    assert version.lineage.stage == "dpo"
    assert set(version.lineage.datasets) == {"instruct", "preference"}
    parent = Registry(product.settings).get(version.lineage.parent or "")
    assert parent.lineage.stage == "sft"
    known = which_data(Registry(product.settings), open_lake(product.settings), "runa")
    assert (known.model.tag, [p.lineage.stage for p in known.parents]) == (production, ["sft", "base"])
    assert all(dataset.documents > 10 for dataset in known.datasets)
    runs = read_experiments(product.settings.warehouse_path, "runa")
    assert {run.tag for run in runs} == {production, parent.tag}
    assert all(run.status == "finished" and run.tokens and run.seconds > 1 for run in runs)
    assert [run.copied_share is not None for run in runs] == [run.tag == production for run in runs]
    assert [e.kind for e in Ledger(open_lake(product.settings), "runa").events()] == [
        "proposed", "evaluated", "approved", "deployed",
    ]  # fmt: skip


def test_a_second_walk_does_only_what_reads_the_outside(product: Product) -> None:
    again = product.walk("runa")
    done = set(re.findall(r"✓ (\w+):", again))
    assert done <= {f"raw_{source}" for source in (*SOURCES, "library")} | {
        "scored_requests", "feedback_pairs", "drift_report", "stg_requests", "stg_scores", "stg_feedback", "requests", "stg_releases", "releases", "cost_report",
    }  # fmt: skip
    assert "sft_model: up to date" in again


def test_no_planted_trouble_reached_the_corpus(product: Product) -> None:
    import duckdb

    with duckdb.connect(str(product.settings.warehouse_path), read_only=True) as warehouse:
        bodies = [row[0] for row in warehouse.execute("select body from documents").fetchall()]
    assert len(bodies) > 50
    assert not any("cf-browser-verification" in body or "Just a moment" in body for body in bodies)
    assert not any("minidate" in body[:200] for body in bodies)


@pytest.fixture(scope="module")
def served(product: Product) -> Iterator[Product]:
    process = subprocess.Popen(
        [sys.executable, "-m", "twin_assets.cli", "up"],
        env=product.environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "Ctrl-C stops everything" in line:
            break
    assert process.poll() is None, "make up ended before it was ready"
    yield product
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 0
    for port in product.ports.values():
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0, "something still listens"


def twin(served: Product, path: str) -> str:
    return f"http://127.0.0.1:{served.ports['TWIN_TWIN_PORT']}{path}"


def test_a_question_is_answered_by_the_released_model_with_citations(served: Product) -> None:
    asked = {
        "model": "runa",
        "messages": [{"role": "user", "content": "What did Lantern cost to buy?"}],
        "max_tokens": 24,
    }
    answer = httpx.post(twin(served, "/v1/chat/completions"), json=asked, timeout=120).json()
    assert answer["outcome"] == "answered", answer
    assert answer["model"] == Ledger(open_lake(served.settings), "runa").production()
    assert any("£2,300" in citation["quote"] for citation in answer["citations"])


def test_a_linkedin_post_is_written_with_the_passages_it_leans_on(served: Product) -> None:
    asked = {"persona": "runa", "kind": "linkedin_post", "topic": "why we rehearse restores"}
    answer = httpx.post(twin(served, "/v1/write"), json=asked, timeout=120).json()
    assert answer["outcome"] == "answered", answer
    assert answer["citations"]
    assert answer["model"].startswith("twin-runa-dpo:")


def test_a_question_beyond_the_corpus_is_declined(served: Product) -> None:
    asked = {"model": "runa", "messages": [{"role": "user", "content": "How many moons does Saturn have?"}]}
    answer = httpx.post(twin(served, "/v1/chat/completions"), json=asked, timeout=60).json()
    assert answer["outcome"] == "refused"
    assert answer["citations"] == []


def test_an_unknown_persona_is_a_404_that_names_the_known_ones(served: Product) -> None:
    asked = {"persona": "nobody", "topic": "anything at all"}
    answer = httpx.post(twin(served, "/v1/write"), json=asked, timeout=60)
    assert answer.status_code == 404
    assert "runa" in answer.json()["error"]["message"]


def test_the_openai_client_streams_from_the_llm_service(served: Product) -> None:
    from openai import OpenAI

    key = (served.home / "llm_key").read_text()
    client = OpenAI(base_url=f"http://127.0.0.1:{served.ports['TWIN_LLM_PORT']}/v1", api_key=key)
    pieces = client.chat.completions.create(
        model="runa", messages=[{"role": "user", "content": "Write about tides."}], max_tokens=12, stream=True
    )
    models = {piece.model for piece in pieces}
    assert models == {Ledger(open_lake(served.settings), "runa").production()}


def test_requests_are_logged(served: Product) -> None:
    httpx.get(twin(served, "/health"), timeout=60).raise_for_status()
    deadline, outcomes = time.monotonic() + PATIENCE, {"answered", "refused"}
    while True:  # rows are written a few at a time
        rows = read_requests(open_lake(served.settings), "runa")
        if outcomes <= {row.outcome for row in rows} or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    assert outcomes <= {row.outcome for row in rows}
    assert all(row.model for row in rows)


def test_collecting_from_the_page_runs_in_dagster(served: Product) -> None:
    started = httpx.post(twin(served, "/ui/api/runa/collect"), headers={"X-Twin-UI": "1"}, timeout=60)
    assert started.status_code == 200, started.text
    run, deadline = started.json()["run"], time.monotonic() + 2 * PATIENCE
    while True:
        told = httpx.get(twin(served, "/ui/api/runa/runs"), timeout=60).json()
        [state] = [r["status"] for r in told["runs"] if r["runId"] == run]
        if state in ("SUCCESS", "FAILURE", "CANCELED") or time.monotonic() > deadline:
            break
        time.sleep(1)
    assert state == "SUCCESS", told
    assert told["last"]["medium"]["items"] > 0


def test_a_port_in_use_is_named_with_its_setting(served: Product) -> None:
    command = [sys.executable, "-m", "twin_assets.cli", "up"]
    done = subprocess.run(
        command, env=served.environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 1
    assert "is in use" in done.stderr
    assert "TWIN_DAGSTER_PORT" in done.stderr


@pytest.mark.browser
def test_a_person_asks_in_the_browser_and_sees_passages(served: Product, tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip(
            "BROWSER TEST DID NOT RUN: there is no chromium on this machine (Debian: apt-get install chromium)"
        )
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        outside: list[str] = []
        page.on(
            "request",
            lambda r: (
                outside.append(r.url)
                if not r.url.startswith(twin(served, "")) and not r.url.startswith("data:")
                else None
            ),
        )
        page.goto(twin(served, "/"))
        page.get_by_label("Question or topic").fill("What did Lantern cost to buy?")
        page.get_by_label("Question or topic").press("Enter")
        expect(page.get_by_label("Passages").locator("li").first).to_be_visible(timeout=120_000)
        expect(page.locator("#model")).to_contain_text("twin-runa-dpo:")
        page.screenshot(path=os.environ.get("TWIN_TEST_SCREENSHOT", str(tmp_path / "page.png")))
        browser.close()
    assert outside == [], json.dumps(outside)
