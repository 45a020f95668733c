"""What the browser tests need besides a browser: the services, and short ways to look and to ask."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.released_twin import ReleasedTwin
from tests.support.machine import PATIENCE
from twin_assets.settings import ROOT

READY_SECONDS = 2 * PATIENCE
WAIT_MS = 60_000
SIZES = {"desktop": (1280, 860), "phone": (360, 740)}


@contextmanager
def services(twin: ReleasedTwin, *wanted: tuple[str, str], **changes: str) -> Iterator[str]:
    """BentoML services of this home, each (service, port setting), ready; the address of the last one."""
    environment = twin.environment | changes
    bento = str(Path(sys.executable).parent / "bentoml")
    started = []
    try:
        for service, port in wanted:
            name = service.rsplit(":", 1)[1]
            with (twin.home / f"{name}-{environment[port]}.log").open("wb") as log:
                command = [bento, "serve", "--host", "127.0.0.1", "-p", environment[port], service]
                started.append(subprocess.Popen(
                    command, env=environment, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
                ))  # fmt: skip
        for (service, port), process in zip(wanted, started, strict=True):
            _wait(f"http://127.0.0.1:{environment[port]}/readyz", service, process)
        yield f"http://127.0.0.1:{environment[wanted[-1][1]]}"
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(PATIENCE)


def _wait(url: str, service: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(url, timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.3)
    pytest.fail(f"{service} did not become ready")


TWIN = ("serving.twin_service:TwinService", "TWIN_TWIN_PORT")
LLM = ("serving.llm.service:LLMService", "TWIN_LLM_PORT")


@contextmanager
def chromium() -> Iterator[Any]:
    """Debian's browser, without a window; the tests are skipped where there is none."""
    binary = shutil.which("chromium")
    if binary is None:
        pytest.skip("BROWSER TESTS DID NOT RUN: there is no chromium here (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=binary, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


class Pages:
    """Opened pages, and what went wrong in any: errors, console errors, requests to another origin."""

    def __init__(self, browser: Any) -> None:
        self.browser, self.troubles, self._contexts = browser, [], []

    def open(
        self, address: str, path: str = "", size: str = "desktop", expected: str = "", **options: Any
    ) -> Any:
        """A page of its own at `address/#/path`; console errors that hold `expected` are none."""

        def heard(message: Any) -> None:
            if message.type == "error" and not (expected and expected in message.text):
                self.troubles.append(message.text)

        def asked(request: Any) -> None:
            if not request.url.startswith((address, "data:", "about:")):
                self.troubles.append(f"outside: {request.url}")

        width, height = SIZES[size]
        self._contexts.append(
            self.browser.new_context(viewport={"width": width, "height": height}, **options)
        )
        page = self._contexts[-1].new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on("console", heard)
        page.on("request", asked)
        page.goto(f"{address}/#/{path}")
        return page

    def close(self) -> None:
        for context in self._contexts:
            context.close()


def see(place: Any) -> Any:
    """What is expected of a place on the page, however slow the machine is."""
    from playwright.sync_api import expect

    expect.set_options(timeout=WAIT_MS)
    return expect(place)


def photograph(page: Any, name: str) -> None:
    """Pictures of the page in both schemes, where somebody wants to look at it: in the folder TWIN_TEST_SCREENSHOTS."""
    if folder := os.environ.get("TWIN_TEST_SCREENSHOTS"):
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=Path(folder) / f"{name}-{scheme}.png", full_page=True)


def ask(page: Any, question: str) -> Any:
    """Ask in the chat; the card of the finished answer."""
    page.get_by_label("Question or topic").fill(question)
    page.get_by_label("Question or topic").press("Control+Enter")
    card = page.locator(".answer").last
    see(card.get_by_role("button", name="Regenerate")).to_be_visible(timeout=WAIT_MS)
    return card
