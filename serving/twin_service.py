"""TwinService: the twin's API and web page. Retrieval and prompts here, the model behind `llm_url`."""

import bentoml

from serving.app import create_app, say_who_may_ask
from serving.llm.gc_tuning import UNTRACED, keep_steady
from serving.llm.image import pinned_image
from serving.metrics.endpoint import NOT_BENTOMLS, LedgerAge, serve_metrics
from serving.metrics.state import DiskMetrics
from serving.probes import only_probes
from serving.twin.answering import AnswerService
from twin_assets.settings import load_settings

settings = load_settings()
app = create_app(settings)


@only_probes(app)
@bentoml.service(
    name="twin_service",
    workers=settings.twin_workers,
    traffic={"timeout": 300, "concurrency": settings.max_running},
    tracing=UNTRACED,
    metrics=NOT_BENTOMLS,
    image=pinned_image("deploy/serve/hashes.txt"),  # without torch, Axolotl and Dagster
    logging={"access": {"enabled": False}},  # ours says more, as JSON; each costs a tenth of a bare request
)
@bentoml.asgi_app(app, path="/")
class TwinService:
    """The business service: which persona, which passages, which prompt."""

    def __init__(self) -> None:
        app.state.answers = self.answers = AnswerService(settings)
        self.answers.lake.sweep()
        say_who_may_ask(settings)
        serve_metrics(
            settings.metrics_host,
            settings.twin_metrics_port,
            DiskMetrics(settings.home),
            self.answers.state_metrics(),
            LedgerAge(lambda: self.answers.ledgers.seconds_old),
        )
        keep_steady()

    @bentoml.on_shutdown
    def close(self) -> None:
        """Write the log rows that still wait."""
        self.answers.close()
