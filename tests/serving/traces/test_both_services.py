"""One trace through both services as they run: the twin's call of the LLM service, and what that did."""

from pathlib import Path

import pytest

from tests.core.models.tiny_llama import tiny_llama
from tests.e2e.fronts.test_llm_front import service
from tests.serving.traces.otlp_double import OtlpDouble, tree
from tests.serving.twin_server import install, serving
from tests.support.machine import until
from tests.support.models import lineage
from twin_assets.core.models.registry import Registry
from twin_assets.core.release.ledger import Ledger
from twin_assets.core.storage.lake import open_lake

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
KEY = "a-key-of-this-installation"


def test_the_llm_services_span_lies_below_the_twins_call(tmp_path: Path) -> None:
    base = tiny_llama(tmp_path / "base", intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
    with OtlpDouble() as otlp:
        settings = install(tmp_path, "http://127.0.0.1:1/v1", traces_url=otlp.address, llm_api_key=KEY)
        tag = Registry(settings).save(base, lineage("dpo", number=1)).tag
        ledger = Ledger(open_lake(settings), "runa")
        ledger.append(tag, "proposed", "pipeline", "new")
        ledger.append(tag, "evaluated", "pipeline", "passed", passed=True)
        ledger.append(tag, "approved", "Ines", "good")
        ledger.append(tag, "deployed", "pipeline", "approved")
        given = {
            "TWIN_TRACES_URL": otlp.address, "TWIN_LLM_API_KEY": KEY, "TWIN_PERSONAS_DIR": str(settings.personas_dir),
            "BENTOML_HOME": str(settings.bentoml_home),
        }  # fmt: skip
        with service(tmp_path, **given) as url:
            here = settings.model_copy(update={"llm_url": f"{url}/v1"})
            with serving(here) as server:
                until(lambda: server.ask(max_tokens=4).status_code == 200, "the model")
                for stream in (False, True):
                    asked = server.ask(max_tokens=4, stream=stream)
                    assert asked.status_code == 200
                    told = asked.headers["x-request-id"]
                    until(
                        lambda told=told: [
                            s for s in otlp.spans if s.attributes.get("twin.request_id") == told
                        ]
                    )
                    [trace] = {s.trace for s in otlp.spans if s.attributes.get("twin.request_id") == told}
                    until(lambda trace=trace: [s for s in otlp.spans if (s.trace, s.name) == (trace, "chat")])
                    spans = [s for s in otlp.spans if s.trace == trace]
                    assert tree(spans)["chat runa"] == ["chat"]
                    by_name = {s.name: s for s in spans}
                    call, done = by_name["chat runa"], by_name["chat"]
                    assert (call.service, done.service) == ("twin_service", "llm_service")
                    assert (
                        call.attributes["gen_ai.response.model"]
                        == done.attributes["gen_ai.response.model"]
                        == tag
                    )
                    for tokens in ("input", "output"):
                        name = f"gen_ai.usage.{tokens}_tokens"
                        assert call.attributes.get(name) == (done.attributes[name] or None), name
                    assert done.attributes["gen_ai.request.max_tokens"] == 4
                    assert done.attributes["gen_ai.response.finish_reasons"][0] in ("stop", "length")
                    assert call.start <= done.start <= done.end
                assert KEY.encode() not in otlp.raw
