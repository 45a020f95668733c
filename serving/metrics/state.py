"""What waits for a person or is wrong in the platform, for Prometheus: candidates, open alerts, the disk."""

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from twin_assets.core.renewed import Renewed
from twin_assets.core.storage.lake import Lake
from twin_assets.monitoring.alerts.lifecycle import PLATFORM, batches, open_alerts

LOOK_SECONDS = 300.0

logger = logging.getLogger("serving")


class Waits(NamedTuple):
    """A version of a persona that waits for approval, since when."""

    persona: str
    model: str
    since: datetime


class Open(NamedTuple):
    """An alert of the platform's own that stands."""

    persona: str
    alert: str
    severity: str


class StateMetrics(Collector):
    """A collector of prometheus_client. The lake is read in the background, at most every five minutes and only when somebody
    scrapes; while it is away the last look stands."""

    def __init__(
        self,
        waiting: Callable[[], Iterable[Waits]],
        alerts: Callable[[], Iterable[Open]],
        every: float = LOOK_SECONDS,
    ) -> None:
        self._ask = waiting, alerts
        self._waiting: list[Waits] = []
        self._alerts: list[Open] = []
        self._news = Renewed(self._look, every, wait=0.0, known=lambda: True)

    def collect(self) -> Iterator[Metric]:
        self._news.renew()
        approval = GaugeMetricFamily(
            "twin_approval_waiting_since_seconds",
            "When the version that waits for approval was evaluated, in seconds since 1970.",
            labels=["persona", "version"],
        )
        for waits in self._waiting:
            approval.add_metric([waits.persona, waits.model], waits.since.timestamp())
        alerts = GaugeMetricFamily(
            "twin_open_alert",
            "Drift and other alerts of the platform that stand.",
            labels=["persona", "alert", "severity"],
        )
        for alert in self._alerts:
            alerts.add_metric(list(alert), 1)
        yield from (approval, alerts)

    def _look(self) -> float:
        waiting, alerts = self._ask
        try:
            self._waiting, self._alerts = list(waiting()), list(alerts())
        except Exception as error:  # a scrape every few seconds is no reason to ask sooner
            logger.warning("metrics: what stands open could not be read: %s", error)
        return 0.0


class DiskMetrics(Collector):
    """The file system of a folder, asked at each scrape."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        try:
            usage = shutil.disk_usage(self._folder)
        except OSError as error:
            logger.warning("metrics: the disk of %s could not be asked: %s", self._folder, error)
            return
        yield GaugeMetricFamily("twin_disk_bytes", "Size of the disk that holds TWIN_HOME.", usage.total)
        yield GaugeMetricFamily(
            "twin_disk_free_bytes", "Free space on the disk that holds TWIN_HOME.", usage.free
        )


def open_alerts_of(lake: Lake, personas: Iterable[str]) -> Iterator[Open]:
    """The open alerts of these personas and of the platform. Raises what a lake raises that is away."""
    for persona in (*personas, PLATFORM):
        for standing in open_alerts(batches(lake, persona)).values():
            yield Open(persona, standing.alert.name, standing.alert.severity)
