"""The work of the engines of one process, for Prometheus. Read when asked, so writing costs nothing.

`twin_llm_waiting` and `twin_llm_writing` are what an autoscaler of the LLM service goes by.
"""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.llm.hosting import Counts

ENDINGS = ("stop", "length", "cancelled", "failed")


class EngineMetrics(Collector):
    """A collector of prometheus_client. `engines` is asked each time for all that is served by version."""

    def __init__(self, engines: Callable[[], Iterable[tuple[str, Counts]]]) -> None:
        self._engines = engines

    def collect(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily("twin_llm_waiting", "Requests not begun yet.", labels=["version"])
        writing = GaugeMetricFamily("twin_llm_writing", "Texts written at the moment.", labels=["version"])
        steps = CounterMetricFamily(
            "twin_llm_steps",
            "Passes of the model that a version had rows in, each a token for every row.",
            labels=["version"],
        )
        reads = CounterMetricFamily("twin_llm_reads", "Passes that read new prompts.", labels=["version"])
        tokens = CounterMetricFamily("twin_llm_tokens", "Tokens written.", labels=["version"])
        texts = CounterMetricFamily(
            "twin_llm_texts", "Texts by how they ended.", labels=["version", "ending"]
        )
        for version, engine in self._engines():
            waiting.add_metric([version], engine.waiting)
            writing.add_metric([version], engine.writing)
            for family, name in ((steps, "steps"), (reads, "reads"), (tokens, "tokens")):
                family.add_metric([version], engine.done[name])
            for ending in ENDINGS:
                texts.add_metric([version, ending], engine.done[ending])
        yield from (waiting, writing, steps, reads, tokens, texts)
