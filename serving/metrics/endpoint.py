"""Prometheus metrics, on a port of their own: they name personas, versions and keys, and are for nobody but a monitor.

A service's workers add up in files (PROMETHEUS_MULTIPROC_DIR, which BentoML sets), so whichever of them holds the port
answers for all. Without a port in the settings nothing is served.
"""

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, multiprocess, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

AGAIN_SECONDS = 5.0
# Of `bentoml.service`: its own metrics have a label for every path that anybody asks for.
NOT_BENTOMLS: dict[str, Any] = {"enabled": False}

logger = logging.getLogger("serving")


class LedgerAge(Collector):
    """How old what is known of the releases is, asked for when it is scraped. Workers of one home know the same."""

    def __init__(self, seconds_old: Callable[[], float | None]) -> None:
        self._seconds_old = seconds_old

    def collect(self) -> Iterator[GaugeMetricFamily]:
        gauge = GaugeMetricFamily(
            "twin_ledger_age_seconds", "Since the release ledger in the lake was last known to be as served."
        )
        if (old := self._seconds_old()) is not None:
            gauge.add_metric([], old)
        yield gauge


def serve_metrics(host: str, port: int | None, *more: Collector) -> None:
    """Answer on `host:port` from a thread of its own, with what `more` collects in this process too."""
    if port is None:
        return
    registry = CollectorRegistry() if "PROMETHEUS_MULTIPROC_DIR" in os.environ else REGISTRY
    if registry is not REGISTRY:
        multiprocess.MultiProcessCollector(registry)
        atexit.register(multiprocess.mark_process_dead, os.getpid())  # its gauges count no more
    for collector in more:
        registry.register(collector)
    threading.Thread(target=_hold, args=(host, port, registry), daemon=True, name="metrics").start()


def _hold(host: str, port: int, registry: CollectorRegistry) -> None:
    said = False
    while True:
        try:
            start_http_server(port, host, registry)
        except OSError as error:
            # Another worker has it. When that one ends, one of the others takes its place.
            if not said:
                logger.info(
                    "metrics: %s:%d is taken (%s); tried again until it is free", host, port, error.strerror
                )
            said = True
            time.sleep(AGAIN_SECONDS)
        else:
            logger.info("metrics are on http://%s:%d/metrics", host, port)
            return
