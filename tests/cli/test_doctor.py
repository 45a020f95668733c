"""`twin doctor` finds what is wrong with a set-up, says how to mend it, shows no secret and stops at nothing."""

import base64
import json
import socket
from pathlib import Path
from typing import Any

from demo.sites.answers import Answer
from demo.sites.loopback import Loopback
from tests.cli.terminal import Terminal
from tests.support.machine import free_port, small_disk
from tests.support.postgres.server import postgres

SECRET = "sesame-opens-nothing-else"
BASIC = "Basic " + base64.b64encode(f"api:{SECRET}".encode()).decode()


class Services(Loopback):
    """What is asked about tokens: GitHub's, LinkedIn's, the hub's and Weights & Biases' account, the hub's models, an engine's
    list of models."""

    taken = True

    def respond(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        if target.startswith("/api/models/"):
            return Answer.json({"id": target.removeprefix("/api/models/")}, 200 if "Qwen3-0.6B" in target else 404)  # fmt: skip
        if target == "/graphql":  # Weights & Biases: 200 for any key, and nobody for one that it doesn't know
            known = self.taken and headers.get("authorization") == BASIC
            return Answer.json({"data": {"viewer": {"username": "runa"} if known else None}})
        if target.startswith("/rest/memberSnapshotData"):
            assert headers.get("linkedin-version")
            known = self.taken and headers.get("authorization") == f"Bearer {SECRET}"
            return Answer.json({"message": "No data found"}, 404) if known else Answer.json({"code": "INVALID_ACCESS_TOKEN"}, 401)  # fmt: skip
        if not self.taken or headers.get("authorization") != f"Bearer {SECRET}":
            return Answer.json({"message": "Bad credentials"}, 401)
        if target == "/api/whoami-v2":
            return Answer.json({"type": "user", "name": "runa"})
        return Answer.json({"login": "runa"} if target == "/user" else {"object": "list", "data": []})


def terminal(home: Path, **settings: str) -> Terminal:
    ports = {f"{name}_port": str(free_port()) for name in ("twin", "llm", "dagster")}
    return Terminal(home, **(ports | {"llm_url": f"http://127.0.0.1:{free_port()}/v1"} | settings))


def findings(at: Terminal) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    """The exit status, and by look what was found."""
    result = at.twin("doctor", "--json")
    assert SECRET not in result.output
    by_look: dict[str, list[dict[str, Any]]] = {}
    for finding in json.loads(result.stdout):
        by_look.setdefault(finding["look"], []).append(finding)
    return result.exit_code, by_look


def wrong(found: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    return {look: f["says"] + "; " + f["fix"] for look, these in found.items() for f in these if f["state"] == "wrong"}  # fmt: skip


def test_a_new_installation_has_nothing_wrong_and_is_left_as_it_is(tmp_path: Path) -> None:
    at = terminal(tmp_path)
    with Services() as services:
        at.environment |= {"TWIN_LLM_URL": f"{services.address}/v1", "TWIN_LLM_API_KEY": SECRET}
        status, found = findings(at)
    assert status == 0, found
    assert not wrong(found)
    assert found["personas"][0]["fix"].endswith("twin demo")
    assert {path.name for path in tmp_path.rglob("*")} == {"personas", "lake"}
    assert list(found) == [
        "packages",
        "disk",
        "ports",
        "lake",
        "database",
        "personas",
        "index",
        "engine",
        "profile",
    ]


def test_the_terminal_shows_a_mark_a_look_and_the_fix(tmp_path: Path) -> None:
    result = terminal(tmp_path).twin("doctor")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("✗ engine:"))
    assert "nothing answers at http://127.0.0.1:" in lines[at]
    assert lines[at + 1].strip() == "fix: start it, or set TWIN_LLM_URL"
    assert any(line.startswith("✓ lake:") for line in lines)


def test_tokens_are_tried_where_they_are_for(tmp_path: Path) -> None:
    with Services() as services:
        at = terminal(
            tmp_path, github_token=SECRET, hub_token=SECRET, hub_endpoint=services.address, llm_url=f"{services.address}/v1",
            llm_api_key=SECRET, profile="small",
        )  # fmt: skip
        at.declare(github={"user": "runa", "api": services.address})
        at.declare("ola", linkedin={"profile": "https://www.linkedin.com/in/ola"})
        status, found = findings(at)
        assert status == 1
        assert list(wrong(found)) == ["tokens"]
        assert "TWIN_LINKEDIN_TOKEN is not set" in wrong(found)["tokens"]
        says = [finding["says"] for finding in found["tokens"]]
        assert "TWIN_GITHUB_TOKEN is taken" in says
        assert "TWIN_HUB_TOKEN is taken, as runa" in says
        assert "the hub has Qwen/Qwen3-0.6B" in found["profile"][0]["says"]
        at.environment |= {
            "TWIN_LINKEDIN_TOKEN": SECRET, "TWIN_LINKEDIN_API": services.address,
            "TWIN_WANDB_API_KEY": SECRET, "WANDB_BASE_URL": services.address,
        }  # fmt: skip
        says = [finding["says"] for finding in findings(at)[1]["tokens"]]
        assert {"TWIN_LINKEDIN_TOKEN is taken", "TWIN_WANDB_API_KEY is taken"} < set(says)
        services.taken = False
        _, found = findings(at)
        refused = [finding for finding in found["tokens"] if "is refused" in finding["says"]]
        assert len(refused) == 4
        assert all(finding["state"] == "wrong" and finding["fix"] for finding in refused)
        assert "refuses the key (401)" in wrong(found)["engine"]
        at.environment["TWIN_PROFILE"] = "qwen-8b"
        assert "does not give Qwen/Qwen3-8B (404)" in wrong(findings(at)[1])["profile"]
    unreached = [finding for finding in findings(at)[1]["tokens"] if "could not be tried" in finding["says"]]
    assert len(unreached) == 4, "what can't be reached says nothing against a token"
    assert {finding["state"] for finding in unreached} == {"note"}


def test_the_engine_that_twin_up_started_is_asked_with_its_own_key_and_no_other_is(tmp_path: Path) -> None:
    (tmp_path / "llm_key").write_text(SECRET)
    with Services() as services:
        port = services.address.rpartition(":")[2]
        at = terminal(tmp_path, llm_url=f"http://127.0.0.1:{port}/v1", llm_port=port)
        engine = findings(at)[1]["engine"]
        assert [(found["state"], found["says"]) for found in engine] == [("ok", f"http://127.0.0.1:{port}/v1 answers 200")]  # fmt: skip
        at.environment["TWIN_LLM_PORT"] = str(free_port())  # now the address is somebody else's
        assert "refuses the key (401)" in wrong(findings(at)[1])["engine"]
        at.environment["TWIN_LLM_PORT"] = port
        del at.environment["TWIN_LLM_URL"]  # then it is that of the port
        assert findings(at)[1]["engine"][0]["state"] == "ok"


def test_what_is_broken_is_named_and_stops_no_other_look(tmp_path: Path) -> None:
    at = terminal(
        tmp_path, lake_url="s3://bucket/lake", s3_endpoint_url=f"http://127.0.0.1:{free_port()}", s3_timeout="0.2",
        profile="enormous",
    )  # fmt: skip
    at.environment |= {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "y",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }
    at.declare()
    (at.settings.personas_dir / "broken.yaml").write_text("name: broken\n")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        at.environment["TWIN_TWIN_PORT"] = str(other.getsockname()[1])
        status, found = findings(at)
    assert status == 1
    said = wrong(found)
    assert set(said) >= {"ports", "lake", "personas", "engine", "profile"}, said
    assert "in use by something else; stop what listens there, or set TWIN_TWIN_PORT" in said["ports"]
    assert "broken.yaml does not fit the persona schema" in said["personas"]
    assert "no profile 'enormous'" in said["profile"]
    assert found["packages"][0]["state"] == "ok"


def test_a_small_disk_is_told_before_it_is_full(tmp_path: Path) -> None:
    with small_disk(tmp_path) as small:
        _, found = findings(terminal(small))
    assert "0.1 GB are free" in wrong(found)["disk"] or "0.0 GB are free" in wrong(found)["disk"]
    assert "TWIN_HOME" in wrong(found)["disk"]


def test_the_database_is_asked_and_its_login_is_not_shown(tmp_path: Path) -> None:
    with postgres() as server:
        at = terminal(tmp_path, database_url=server.url)
        assert findings(at)[1]["database"][0]["says"].startswith("PostgreSQL ")
        server.stop()
        said = wrong(findings(at)[1])["database"]
    assert "PostgreSQL did not answer" in said
    assert "TWIN_DATABASE_URL" in said
    assert "p%40ss" not in said


def test_a_login_in_an_address_is_not_shown(tmp_path: Path) -> None:
    at = terminal(tmp_path, llm_url=f"http://user:{SECRET}@127.0.0.1:{free_port()}/v1")
    assert "nothing answers at http://(hidden)@127.0.0.1" in wrong(findings(at)[1])["engine"]


def test_settings_that_can_t_be_used_are_named_first(tmp_path: Path) -> None:
    result = terminal(tmp_path, llm_batch="many").twin("doctor")
    assert result.exit_code == 1
    assert "TWIN_LLM_BATCH" in result.stderr
