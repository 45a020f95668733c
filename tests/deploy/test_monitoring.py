"""Alert rules and dashboard: every name in them is one that our services expose, and each rule tells what it is for."""

import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from deploy.monitoring import build
from serving import telemetry
from serving.llm.metrics import EngineMetrics
from serving.metrics.endpoint import LedgerAge, serve_metrics
from serving.metrics.state import DiskMetrics, Open, StateMetrics, Waits
from tests.support.machine import free_port, until
from twin_assets.settings import ROOT

MONITORING = ROOT / "deploy" / "monitoring"
OVERLAY = ROOT / "deploy" / "kubernetes" / "overlays" / "prometheus-operator"
SUFFIXES = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}


@dataclass
class Engine:
    """What an engine has done, as the LLM service counts it."""

    done: Counter[str] = field(default_factory=Counter)
    waiting: int = 0
    writing: int = 0


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[str, set[str]]]]:
    """Kind and labels of each of our families at /metrics, by name, with everything that both services register."""
    telemetry.count_http("/v1", "GET", 200, 0.1)
    telemetry.REQUESTS.labels("ada", "v1", "chat", "answered").inc(0)
    telemetry.STEPS.labels("chat", "search").observe(0.1)
    telemetry.TOKENS.labels("ada", "in").inc(0)
    telemetry.COST.labels("ada", "v1", "chat", "key").inc(0)
    telemetry.REFUSED.labels("Busy").inc(0)
    telemetry.DEGRADED.labels("retrieval").inc(0)
    telemetry.QUEUE.labels("waiting").set(0)
    now = datetime(2025, 1, 1, tzinfo=UTC)
    state = StateMetrics(lambda: [Waits("ada", "v1", now)], lambda: [Open("ada", "writing", "warning")])
    collectors = (
        EngineMetrics(lambda: [("v1", Engine())]),
        DiskMetrics(tmp_path_factory.mktemp("home")),
        LedgerAge(lambda: 3.0),
        state,
    )
    port = free_port()
    serve_metrics("127.0.0.1", port, *collectors)

    def families() -> dict[str, tuple[str, set[str]]]:
        try:
            text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
        except httpx.TransportError:
            return {}
        found = {
            family.name: (
                family.type,
                {label for sample in family.samples for label in sample.labels} - {"le"},
            )
            for family in text_string_to_metric_families(text)
            if family.name.startswith("twin_") and not family.name.endswith("_created")
        }
        complete = all(found.get(name, ("", set()))[1] for name in ("twin_open_alert", "twin_queue"))
        return found if complete else {}

    yield until(families, "the metrics")
    for collector in collectors:
        REGISTRY.unregister(collector)


def test_the_table_has_every_metric_that_the_services_expose_and_no_other(
    exposed: dict[str, tuple[str, set[str]]],
) -> None:
    assert {metric.name: (metric.kind, set(metric.labels)) for metric in build.METRICS} == exposed


def test_rules_and_panels_ask_only_for_what_there_is() -> None:
    known = {metric.name + suffix: metric for metric in build.METRICS for suffix in SUFFIXES[metric.kind]}
    asked = [rule["expr"] for rule in build.rules()["groups"][0]["rules"]]
    asked += [panel["targets"][0]["expr"] for panel in build.dashboard()["panels"]]
    for query in asked:
        names = re.findall(r"\btwin_\w+", query)
        assert names
        assert set(names) <= set(known), query
        labels = {label for name in names for label in known[name].labels} | {"le", "instance"}
        used = re.findall(r"by \(([^)]*)\)", query) + re.findall(r"\{(\w+)=", query)
        assert {word.strip() for part in used for word in part.split(",")} <= labels, query


def test_the_files_are_made_from_the_table() -> None:
    for path, text in build.files().items():
        assert path.read_text() == text, f"python deploy/monitoring/build.py writes {path.name} anew"


def test_every_alert_has_a_test_of_its_own_and_a_place_in_the_docs() -> None:
    alerts = {rule["alert"] for rule in build.rules()["groups"][0]["rules"]}
    tests = yaml.safe_load((MONITORING / "tests.yaml").read_text())["tests"]
    told = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case["exp_alerts"]}
    assert told == alerts
    text = (ROOT / "docs" / "monitoring.md").read_text()
    assert "## Alerts of Prometheus" in text
    assert all(f"`{alert}`" in text for alert in alerts)


def promtool(*arguments: str | Path) -> str:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: THE ALERT RULES WERE NOT RUN")
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_rules_pass_promtool_s_own_tests() -> None:
    assert "SUCCESS" in promtool("check", "rules", MONITORING / "rules.yaml")
    assert "SUCCESS" in promtool("test", "rules", MONITORING / "tests.yaml")


def test_prometheus_operator_s_monitor_finds_the_metrics_port_of_both_services() -> None:
    things = list(yaml.safe_load_all((OVERLAY / "monitor.yaml").read_text()))
    [monitor] = [thing for thing in things if thing["kind"] == "ServiceMonitor"]
    services = [thing for thing in things if thing["kind"] == "Service"]
    wanted = monitor["spec"]["selector"]["matchLabels"]
    assert {service["spec"]["selector"]["app.kubernetes.io/name"] for service in services} == {"twin", "llm"}
    for service in services:
        assert wanted.items() <= service["metadata"]["labels"].items()
        assert [port["name"] for port in service["spec"]["ports"]] == [
            monitor["spec"]["endpoints"][0]["port"]
        ]
    for name in ("twin", "llm"):
        base = list(yaml.safe_load_all((ROOT / f"deploy/kubernetes/base/{name}.yaml").read_text()))
        [service] = [thing for thing in base if thing["kind"] == "Service"]
        assert not wanted.items() <= service["metadata"].get("labels", {}).items(), "it has no such port"


def test_the_dashboard_is_one_that_grafana_reads() -> None:
    made = json.loads((MONITORING / "dashboard.json").read_text())
    assert len({panel["id"] for panel in made["panels"]}) == len(made["panels"]) > 10
    assert {panel["title"] for panel in made["panels"]} == {
        title for metric in build.METRICS for title, *_ in metric.panels
    }


def test_state_is_read_beside_the_scrape_and_a_lake_that_is_away_leaves_the_last_look() -> None:
    looks: list[bool] = []

    def waiting() -> list[Waits]:
        looks.append(bool(looks))
        if looks[-1]:
            raise OSError("away")
        return [Waits("ada", "v1", datetime(2025, 1, 1, tzinfo=UTC))]

    state = StateMetrics(waiting, list, every=0.0)

    def shown() -> list[float]:
        [approval, _] = state.collect()
        return [sample.value for sample in approval.samples]

    until(shown, "the first look")
    until(lambda: shown() and len(looks) > 3, "further looks")
    assert shown() == [1735689600.0]
