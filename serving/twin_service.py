"""TwinService: the twin's API and web page. Retrieval and prompts here, the model behind `llm_url`."""

import bentoml

from serving.app import create_app, say_who_may_ask
from serving.desk import Desk
from twin_assets.settings import load_settings

app = create_app(load_settings())


@bentoml.service(name="twin_service", workers=1, traffic={"timeout": 300})
@bentoml.asgi_app(app, path="/")
class TwinService:
    """The business service: which persona, which passages, which prompt."""

    def __init__(self) -> None:
        settings = load_settings()
        app.state.desk = self.desk = Desk(settings)
        say_who_may_ask(settings)

    @bentoml.on_shutdown
    def close(self) -> None:
        """Write the log rows that still wait."""
        self.desk.close()
