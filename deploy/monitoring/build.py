"""Writes the alert rules and the Grafana dashboard anew, from the one table of our metrics below.

    python deploy/monitoring/build.py

`rules.yaml` is for Prometheus itself, `dashboard.json` for Grafana, and the overlay `prometheus-operator` has the same
rules as its operator reads them. A test holds the table against what both services expose, and the files against the table.
"""

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import yaml

HERE = Path(__file__).resolve().parent
OPERATOR_RULES = HERE.parent / "kubernetes" / "overlays" / "prometheus-operator" / "rules.yaml"
HEAD = "# Made by deploy/monitoring/build.py. Not to be edited by hand.\n"
DOCS = "docs/monitoring.md#alerts-of-prometheus"


class Rule(NamedTuple):
    """An alert: it stands when `expr` has held for `held`."""

    alert: str
    expr: str
    held: str
    severity: str
    summary: str
    advice: str


class Metric(NamedTuple):
    """One family as a service exposes it; `panels` are (title, unit, query, legend) of the dashboard."""

    name: str
    services: tuple[str, ...]
    kind: str
    labels: tuple[str, ...] = ()
    panels: tuple[tuple[str, str, str, str], ...] = ()
    rules: tuple[Rule, ...] = ()


TWIN, LLM = ("twin",), ("llm",)

METRICS = (
    Metric(
        "twin_http_requests", TWIN, "counter", ("route", "method", "status"),
        panels=(("Requests by status", "reqps", "sum by (status) (rate(twin_http_requests_total[5m]))", "{{status}}"),),
        rules=(
            Rule(
                "TwinErrors",
                'sum(rate(twin_http_requests_total{status=~"5.."}[5m])) / sum(rate(twin_http_requests_total[5m])) > 0.05',
                "5m", "critical",
                "{{ $value | humanizePercentage }} of the twin's requests fail.",
                "Ask /ready what is down, and read the service's log for these requests.",
            ),
        ),
    ),
    Metric(
        "twin_http_seconds", TWIN, "histogram", ("route",),
        panels=(
            (
                "Time to the end of the answer, 95th percentile", "s",
                "histogram_quantile(0.95, sum by (route, le) (rate(twin_http_seconds_bucket[5m])))", "{{route}}",
            ),
        ),
    ),
    Metric(
        "twin_requests", TWIN, "counter", ("persona", "version", "kind", "outcome"),
        panels=(
            ("Answers by outcome", "reqps", "sum by (persona, outcome) (rate(twin_requests_total[5m]))", "{{persona}} {{outcome}}"),
            ("Answers by version", "reqps", "sum by (version) (rate(twin_requests_total[5m]))", "{{version}}"),
        ),
    ),
    Metric(
        "twin_step_seconds", TWIN, "histogram", ("kind", "step"),
        panels=(
            (
                "Mean time of a step", "s",
                "sum by (step) (rate(twin_step_seconds_sum[5m])) / sum by (step) (rate(twin_step_seconds_count[5m]))", "{{step}}",
            ),
        ),
    ),
    Metric(
        "twin_tokens", TWIN, "counter", ("persona", "direction"),
        panels=(("Tokens a second", "short", "sum by (direction) (rate(twin_tokens_total[5m]))", "{{direction}}"),),
    ),
    Metric(
        "twin_cost_usd", TWIN, "counter", ("persona", "version", "kind", "key"),
        panels=(("US dollars an hour", "currencyUSD", "sum by (persona) (rate(twin_cost_usd_total[1h])) * 3600", "{{persona}}"),),
    ),
    Metric(
        "twin_refused", TWIN, "counter", ("reason",),
        panels=(("Turned away", "reqps", "sum by (reason) (rate(twin_refused_total[5m]))", "{{reason}}"),),
        rules=(
            Rule(
                "TwinQueueFull", 'sum(rate(twin_refused_total{reason="Busy"}[5m])) > 0', "2m", "warning",
                "The queue is full, and requests are answered 503.",
                "Add replicas, or raise TWIN_MAX_RUNNING; the LLM service's batch is most often what is waited for.",
            ),
        ),
    ),
    Metric(
        "twin_degraded", TWIN, "counter", ("part",),
        panels=(("Answers without a part", "reqps", "sum by (part) (rate(twin_degraded_total[5m]))", "{{part}}"),),
    ),
    Metric(
        "twin_without_passages", TWIN, "counter", ("outcome",),
        panels=(
            (
                "Requests while the vector store is away", "reqps",
                "sum by (outcome) (rate(twin_without_passages_total[5m]))", "{{outcome}}",
            ),
        ),
        rules=(
            Rule(
                "TwinStoreAway", "sum(rate(twin_without_passages_total[5m])) > 0", "5m", "critical",
                "The vector store is away: questions are answered 503.",
                "Ask /ready what is wrong, and bring the store back; TWIN_WITHOUT_PASSAGES says what becomes of writing meanwhile.",
            ),
        ),
    ),
    Metric(
        "twin_ledger_age_seconds", TWIN + LLM, "gauge",
        panels=(("Age of the release ledger as served", "s", "max(twin_ledger_age_seconds)", "age"),),
        rules=(
            Rule(
                "TwinLedgerStale", "max(twin_ledger_age_seconds) > 900", "5m", "critical",
                "The release ledger was last read {{ $value | humanizeDuration }} ago.",
                "Bring the lake back (`twin check` says what is wrong); past TWIN_LEDGER_HOURS both services answer 503.",
            ),
        ),
    ),
    Metric(
        "twin_queue", TWIN, "gauge", ("state",),
        panels=(("Requests in hand", "short", "sum by (state) (twin_queue)", "{{state}}"),),
    ),
    Metric(
        "twin_lost_request_rows", TWIN, "gauge",
        rules=(
            Rule(
                "TwinRequestLogLost", "delta(twin_lost_request_rows[15m]) > 0", "0m", "warning",
                "Rows of the request log are lost, so usage, drift and cost are counted too low.",
                "See that the lake can be written, and has room.",
            ),
        ),
    ),
    Metric(
        "twin_waiting_request_rows", TWIN, "gauge",
        panels=(
            ("Rows of the request log not stored", "short", "sum(twin_waiting_request_rows)", "waiting"),
            ("Rows of the request log lost", "short", "sum(twin_lost_request_rows)", "lost"),
        ),
    ),
    Metric(
        "twin_approval_waiting_since_seconds", TWIN, "gauge", ("persona", "version"),
        panels=(
            (
                "A version waits for approval", "s",
                "max by (persona, version) (time() - twin_approval_waiting_since_seconds)", "{{persona}} {{version}}",
            ),
        ),
        rules=(
            Rule(
                "TwinApprovalWaiting",
                "max by (persona, version) (time() - twin_approval_waiting_since_seconds) > 2 * 86400", "10m", "info",
                "{{ $labels.version }} has waited {{ $value | humanizeDuration }} for approval.",
                "Read its evaluation and approve or reject it; it expires after TWIN_APPROVAL_DAYS.",
            ),
        ),
    ),
    Metric(
        "twin_open_alert", TWIN, "gauge", ("persona", "alert", "severity"),
        panels=(("Open alerts of the platform", "short", "max by (persona, alert) (twin_open_alert)", "{{persona}} {{alert}}"),),
        rules=(
            Rule(
                "TwinOpenAlert", 'max by (persona, alert) (twin_open_alert{severity!="notice"}) > 0', "10m", "warning",
                "{{ $labels.alert }} of {{ $labels.persona }} stands.",
                "See the Monitoring tab: it has what happened, since when, what helps, and where to look.",
            ),
        ),
    ),
    Metric(
        "twin_disk_free_bytes", TWIN + LLM, "gauge",
        panels=(("Disk used", "percentunit", "1 - min by (instance) (twin_disk_free_bytes / twin_disk_bytes)", "{{instance}}"),),
        rules=(
            Rule(
                "TwinDiskFills",
                "min(twin_disk_free_bytes / twin_disk_bytes) < 0.1 "
                "or min(predict_linear(twin_disk_free_bytes[6h], 86400)) < 0",
                "15m", "critical",
                "The disk of TWIN_HOME is full, or will be within a day.",
                "Remove old model versions with `twin registry gc`, or give the volume more.",
            ),
            Rule(
                "TwinAbsent", "absent(twin_disk_free_bytes)", "5m", "critical",
                "Neither service is scraped.",
                "See that TWIN_TWIN_METRICS_PORT and TWIN_LLM_METRICS_PORT are set and that Prometheus reaches them.",
            ),
        ),
    ),
    Metric("twin_disk_bytes", TWIN + LLM, "gauge"),
    Metric(
        "twin_llm_waiting", LLM, "gauge", ("version",),
        panels=(("Texts that wait", "short", "sum by (version) (twin_llm_waiting)", "{{version}}"),),
        rules=(
            Rule(
                "TwinEngineBehind",
                "sum by (version) (twin_llm_waiting) > 2 * sum by (version) (twin_llm_writing)", "10m", "warning",
                "More than two batches wait for {{ $labels.version }}.",
                "Add replicas of the LLM service, or raise TWIN_LLM_BATCH where a GPU has room.",
            ),
        ),
    ),
    Metric(
        "twin_llm_writing", LLM, "gauge", ("version",),
        panels=(("Texts in writing", "short", "sum by (version) (twin_llm_writing)", "{{version}}"),),
    ),
    Metric(
        "twin_llm_steps", LLM, "counter", ("version",),
        panels=(
            (
                "Texts in a step", "short",
                "sum by (version) (rate(twin_llm_tokens_total[5m])) / sum by (version) (rate(twin_llm_steps_total[5m]))",
                "{{version}}",
            ),
        ),
    ),
    Metric(
        "twin_llm_reads", LLM, "counter", ("version",),
        panels=(("Prompts read a second", "short", "sum by (version) (rate(twin_llm_reads_total[5m]))", "{{version}}"),),
    ),
    Metric(
        "twin_llm_tokens", LLM, "counter", ("version",),
        panels=(("Tokens written a second", "short", "sum by (version) (rate(twin_llm_tokens_total[5m]))", "{{version}}"),),
    ),
    Metric(
        "twin_llm_texts", LLM, "counter", ("version", "ending"),
        panels=(("Texts by ending", "short", "sum by (ending) (rate(twin_llm_texts_total[5m]))", "{{ending}}"),),
        rules=(
            Rule(
                "TwinEngineErrors",
                'sum by (version) (rate(twin_llm_texts_total{ending="failed"}[5m])) '
                "/ sum by (version) (rate(twin_llm_texts_total[5m])) > 0.05",
                "5m", "critical",
                "{{ $value | humanizePercentage }} of the texts of {{ $labels.version }} fail in the engine.",
                "Roll the version back (`twin release roll-back`) and read the LLM service's log.",
            ),
        ),
    ),
)  # fmt: skip


def rules() -> dict[str, Any]:
    """Prometheus' rule file."""
    stated = [
        {
            "alert": rule.alert,
            "expr": rule.expr,
            "for": rule.held,
            "labels": {"severity": rule.severity},
            "annotations": {"summary": rule.summary, "description": rule.advice, "runbook_url": DOCS},
        }
        for metric in METRICS
        for rule in metric.rules
    ]
    return {"groups": [{"name": "llm-twin", "rules": stated}]}


def operator_rules() -> dict[str, Any]:
    """The same as a PrometheusRule of the Prometheus operator."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "llm-twin"},
        "spec": rules(),
    }


def dashboard() -> dict[str, Any]:
    """A Grafana dashboard, two panels a row; its data source is asked for when it is imported."""
    shown = [panel for metric in METRICS for panel in metric.panels]
    source = {"type": "prometheus", "uid": "${source}"}
    panels = [
        {
            "id": number + 1,
            "type": "timeseries",
            "title": title,
            "datasource": source,
            "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
            "gridPos": {"h": 8, "w": 12, "x": number % 2 * 12, "y": number // 2 * 8},
            "targets": [{"refId": "A", "datasource": source, "expr": query, "legendFormat": legend}],
        }
        for number, (title, unit, query, legend) in enumerate(shown)
    ]
    variable = {"name": "source", "label": "Data source", "type": "datasource", "query": "prometheus"}
    return {
        "title": "LLM Twin",
        "uid": "llm-twin",
        "tags": ["llm-twin"],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [variable]},
        "panels": panels,
    }


def files() -> dict[Path, str]:
    """Every file that is made, with its text."""
    return {
        HERE / "rules.yaml": HEAD + yaml.safe_dump(rules(), sort_keys=False, width=120),
        OPERATOR_RULES: HEAD + yaml.safe_dump(operator_rules(), sort_keys=False, width=120),
        HERE / "dashboard.json": json.dumps(dashboard(), indent=2) + "\n",
    }


def main() -> int:
    for path, text in files().items():
        path.write_text(text)
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
