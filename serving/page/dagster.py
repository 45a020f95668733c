"""The few things the page asks of Dagster, through its webserver's GraphQL: collect, and how runs go."""

from typing import Any

import httpx

from serving.access.session import COOKIE, password_of, sign_session
from twin_assets.core.errors import TwinError
from twin_assets.settings import Settings

# As twin_assets/workspace.yaml names the code location; Dagster calls a location's only repository so.
SELECTOR = {"repositoryLocationName": "twin_assets", "repositoryName": "__repository__"}
TIMEOUT_SECONDS = 10.0
RUNS = 5
COUNTS = ("items", "new", "changed", "unchanged", "partial", "deleted")

_ADD_PARTITION = """mutation($s: RepositorySelector!, $p: String!) {
  addDynamicPartition(repositorySelector: $s, partitionsDefName: "personas", partitionKey: $p) {
    __typename ... on PythonError { message } ... on UnauthorizedError { message } } }"""
_LAUNCH = """mutation($e: ExecutionParams!) { launchRun(executionParams: $e) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on Error { message }
    ... on RunConfigValidationInvalid { errors { message } } } }"""
_RUNS = """query($f: RunsFilter!, $n: Int!) { runsOrError(filter: $f, limit: $n) { __typename
    ... on Runs { results { runId status creationTime startTime endTime stepStats { stepKey status } } }
    ... on Error { message } } }"""
_LAST = """%s: assetOrError(assetKey: {path: ["raw_%s"]}) { ... on Asset {
    assetMaterializations(partitions: [$p], limit: 1) { timestamp metadataEntries { label
      ... on IntMetadataEntry { intValue } ... on TextMetadataEntry { text } } } } }"""


class DagsterDown(TwinError):
    """Dagster's webserver gives no answer."""


def dagster_url(settings: Settings) -> str:
    """The address of Dagster's webserver."""
    return (settings.dagster_url or f"http://127.0.0.1:{settings.dagster_port}").rstrip("/")


def collect(settings: Settings, persona: str) -> str:
    """Start the job `collect` for the persona; the id of its run. Raises TwinError when Dagster won't."""
    added = _ask(settings, _ADD_PARTITION, s=SELECTOR, p=persona)["addDynamicPartition"]
    if added["__typename"] not in ("AddDynamicPartitionSuccess", "DuplicateDynamicPartitionError"):
        raise _refused(added)
    execution = {
        "selector": SELECTOR | {"pipelineName": "collect"},
        "mode": "default",
        "executionMetadata": {"tags": [{"key": "dagster/partition", "value": persona}]},
    }
    launched = _ask(settings, _LAUNCH, e=execution)["launchRun"]
    if launched["__typename"] != "LaunchRunSuccess":
        raise _refused(launched)
    return str(launched["run"]["runId"])


def collect_runs(settings: Settings, persona: str) -> list[dict[str, Any]]:
    """The persona's latest five runs of `collect`, newest first, each with its steps."""
    runs_filter = {"pipelineName": "collect", "tags": [{"key": "dagster/partition", "value": persona}]}
    runs = _ask(settings, _RUNS, f=runs_filter, n=RUNS)["runsOrError"]
    if runs["__typename"] != "Runs":
        raise _refused(runs)
    return list(runs["results"])


def last_collected(settings: Settings, persona: str, sources: list[str]) -> dict[str, dict[str, Any]]:
    """By source: when it was last collected (`at`, milliseconds), what that crawl counted, and its `error` if it has
    one: a source in error fails no run."""
    fields = "\n".join(_LAST % (source, source) for source in sources)
    answer = _ask(settings, f"query($p: String!) {{ {fields} }}", p=persona)
    crawls = {}
    for source, asset in answer.items():
        for made in asset.get("assetMaterializations", []):
            entries = {e["label"]: e for e in made["metadataEntries"]}
            counts = {c: entries[c]["intValue"] for c in COUNTS if "intValue" in entries.get(c, {})}
            error = {"error": entries["error"]["text"]} if "error" in entries else {}
            crawls[source] = {"at": int(made["timestamp"])} | counts | error
    return crawls


def _ask(settings: Settings, query: str, **variables: Any) -> dict[str, Any]:
    url, password = dagster_url(settings), password_of(settings)
    # The front of Dagster knows the page's sessions, so that the password itself need not travel.
    headers = {"Cookie": f"{COOKIE}={sign_session(settings.home, password)}"} if password else {}
    try:
        body = {"query": query, "variables": variables}
        response = httpx.post(f"{url}/graphql", json=body, headers=headers, timeout=TIMEOUT_SECONDS)
        answer = response.raise_for_status().json()
    except httpx.HTTPStatusError as error:
        raise DagsterDown(
            f"Dagster at {url} turns the page away: {_told(error.response)}.",
            "start both with the same TWIN_HOME and TWIN_UI_PASSWORD; and read Dagster's log.",
        ) from None
    except (httpx.HTTPError, ValueError) as error:
        raise DagsterDown(
            f"Dagster does not answer at {url} ({type(error).__name__}).",
            "start it with `twin up`, or set TWIN_DAGSTER_URL.",
        ) from None
    if answer.get("errors"):
        raise TwinError(f"Dagster refused: {answer['errors'][0]['message']}", "look at Dagster's own page.")
    return dict(answer["data"])


def _told(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"]["message"]).rstrip(".")[:300]
    except (ValueError, KeyError, TypeError):
        return f"it answers {response.status_code}"


def _refused(answer: dict[str, Any]) -> TwinError:
    why = answer.get("message") or "; ".join(e["message"] for e in answer.get("errors", []))
    return TwinError(
        f"Dagster refused: {why or answer['__typename']}", "look at the code location on Dagster's own page."
    )
