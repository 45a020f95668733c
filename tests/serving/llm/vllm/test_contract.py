"""What the LLM service relies on in a vLLM server, and a release on one: against the double, or the real one with
`make test-vllm`."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from transformers import AutoTokenizer

from serving.llm.hosting import ServedModel
from serving.llm.released import ReleasedModels
from serving.llm.vllm.host import VllmHost, adapter_name
from serving.llm.vllm.model import Work
from serving.llm.vllm.server import NotHeld, Refused, VllmServer
from serving.llm.vllm.servers import Given
from tests.support.machine import PATIENCE, until
from tests.support.models import PUBLIC, lineage
from tests.support.releases import Office
from tests.support.vllm.servers import (
    KEY,
    OPTIONS,
    SMALL,
    VllmProcess,
    executable,
    make_adapter,
    make_base,
    save_adapter,
)  # fmt: skip
from twin_assets.core.errors import TwinError
from twin_assets.core.models.registry import ModelVersion, Registry
from twin_assets.core.persona.definition import save_persona
from twin_assets.core.prompts.templates import served_prompt
from twin_assets.core.records import Message
from twin_assets.core.release.ledger import Ledger
from twin_assets.inference.generation.engine import GenerationHandle
from twin_assets.inference.generation.remote import EngineUnavailable
from twin_assets.inference.generation.sampling import Sampling
from twin_assets.settings import ROOT, Settings

ASKED = [Message(role="user", content="ferry2 ferry3 ferry4")]
# As training leaves it, another than the base's: the adapter's counts.
OWN_TEMPLATE = "{% for m in messages %}ferry9 {{ m['content'] }} {% endfor %}{% if add_generation_prompt %}ferry5{% endif %}"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("vllm")


@pytest.fixture(scope="module")
def base(home: Path) -> Path:
    return make_base(home / "base")


@pytest.fixture(scope="module")
def vllm(home: Path, base: Path) -> Iterator[VllmProcess]:
    with VllmProcess(base, home / "vllm.log") as running:
        yield running


@pytest.fixture
def client(vllm: VllmProcess) -> Iterator[VllmServer]:
    client = VllmServer(vllm.url, KEY, PATIENCE)
    yield client
    for name in vllm.names():
        client.unload(name)
    client.close()


def registry_on(
    base: Path, home: Path, vllm: VllmProcess, **more: object
) -> tuple[Settings, Registry, ModelVersion]:
    settings = Settings.model_validate({"home": home, "vllm_url": vllm.url, "vllm_api_key": KEY, **more})
    registry = Registry(settings)
    return settings, registry, registry.save(base, lineage("base"), about=PUBLIC)


def text(model: ServedModel, sampling: Sampling = Sampling(6, temperature=0)) -> str:
    return model.start(ASKED, sampling).result()


def test_it_says_what_it_holds(vllm: VllmProcess, client: VllmServer, base: Path, tmp_path: Path) -> None:
    held = client.look()
    assert (held.base, held.root, held.context) == (str(base), str(base), 128)
    assert held.adapters == frozenset()
    client.load("twin-a:1@x", str(make_adapter(tmp_path / "a", base)))
    client.load("twin-a:1@x", str(tmp_path / "a"))  # by another replica: no error
    assert client.look().adapters == {"twin-a:1@x"}
    assert client.look().base == str(base)
    client.unload("twin-a:1@x")
    client.unload("twin-a:1@x")
    assert client.look().adapters == frozenset()


def test_what_it_can_not_load_is_told_with_the_fix(client: VllmServer, base: Path, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"finds no adapter in /nowhere.*same path"):
        client.load("twin-a:1@x", "/nowhere")
    with pytest.raises(Refused, match=r"LoRA rank 64 is greater than max_lora_rank 16.*--max-lora-rank"):
        client.load("twin-a:1@x", str(make_adapter(tmp_path / "high", base, rank=64)))
    make_adapter(tmp_path / "bare", base)
    (tmp_path / "bare" / "adapter_model.safetensors").unlink()
    with pytest.raises(Refused, match=r"can't load twin-a:1@x .500.: .*contain tensors"):
        client.load("twin-a:1@x", str(tmp_path / "bare"))
    shutil.copytree(tmp_path / "high", tmp_path / "cut")
    with (make_adapter(tmp_path / "cut", base) / "adapter_model.safetensors").open("r+b") as file:
        file.truncate(100)
    with pytest.raises(Refused, match=r"can't load twin-a:1@x"):
        client.load("twin-a:1@x", str(tmp_path / "cut"))
    assert client.look().adapters == frozenset()


def test_a_wrong_key_is_told_and_never_shown(vllm: VllmProcess) -> None:
    for key in ("wrong-key-77", None):
        closed = VllmServer(vllm.url, key, PATIENCE)
        for act in (
            closed.look,
            lambda c=closed: c.load("twin-a:1@x", "/x"),
            lambda c=closed: c.unload("twin-a:1@x"),
        ):
            with pytest.raises(
                EngineUnavailable, match=r"does not let us in .401.*TWIN_VLLM_API_KEY"
            ) as told:
                act()
            assert "wrong-key" not in str(told.value)
        closed.close()


def test_the_prompt_is_the_trained_one_token_for_token_and_versions_write_differently(
    vllm: VllmProcess, client: VllmServer, base: Path, tmp_path: Path
) -> None:
    settings, registry, whole = registry_on(base, tmp_path / "home", vllm)
    host = VllmHost(settings, registry, Given(settings))
    own = save_adapter(registry, tmp_path, whole, 1, template=OWN_TEMPLATE)
    other = save_adapter(registry, tmp_path, whole, 2)
    models = [host.load(own.tag), host.load(other.tag)]
    handle = models[0].start(ASKED, Sampling(5, temperature=0))
    handle.result()
    tokenizer = models[0].engine.tokenizer
    trained = served_prompt(tokenizer, [{"role": "user", "content": ASKED[0].content}])
    assert trained == "ferry9 ferry2 ferry3 ferry4 ferry5"
    assert handle.prompt == [9, 2, 3, 4, 5]
    told = vllm.ask(
        "completions", model=adapter_name(own), prompt=handle.prompt, max_tokens=5, temperature=0, stream=True, top_k=50,
        top_p=0.95, repetition_penalty=1.1, min_tokens=1, return_token_ids=True,
    ).text  # fmt: skip
    assert '"prompt_token_ids":[9,2,3,4,5]' in told.replace(" ", ""), "as the server reads it"
    texts = [text(model) for model in models]
    assert texts[0] != texts[1]
    assert [text(model) for model in models] == texts, "greedy writing repeats itself"


def test_texts_end_and_count_and_repeat_as_with_our_own_engine(
    vllm: VllmProcess, client: VllmServer, base: Path, tmp_path: Path
) -> None:
    settings, registry, whole = registry_on(base, tmp_path / "home", vllm)
    model = VllmHost(settings, registry, Given(settings)).load(save_adapter(registry, tmp_path, whole, 3).tag)
    seeded = [text(model, Sampling(12, temperature=1.0, seed=5)) for _ in range(2)]
    assert seeded[0] == seeded[1] != text(model, Sampling(12, temperature=1.0, seed=6))
    narrow = Sampling(12, temperature=1.0, seed=5, top_p=1e-6)
    assert text(model, narrow) == text(model, Sampling(12, temperature=0)), "a nucleus of one token"
    with pytest.raises(TwinError, match="by the platform's own engine only"):
        model.start(ASKED, Sampling(12, top_logprobs=2))
    handle = model.start(ASKED, Sampling(12, temperature=1.0, seed=5))
    words = handle.result().split()
    assert handle.finish_reason in ("length", "stop")
    assert handle.tokens_out >= len(words) > 3
    stopped = model.start(ASKED, Sampling(12, temperature=1.0, seed=5, stop=(words[2],)))
    assert stopped.result() == " ".join(words[: words.index(words[2])])
    assert stopped.finish_reason == "stop"
    until(lambda: model.engine.done["length"] + model.engine.done["stop"] == 8, "counts, of its loading too")
    until(lambda: (model.engine.waiting, model.engine.writing) == (0, 0), "the end of the counts")
    with pytest.raises(TwinError, match=r"holds 128"):
        model.start(ASKED, Sampling(1000))
    long = [model.start(ASKED, Sampling(100, temperature=2.0, seed=seed)) for seed in range(30)]
    assert not any("EOS" in handle.result() for handle in long)
    assert "stop" in {handle.finish_reason for handle in long}, "the token that ends a text ends it"


def test_a_client_that_goes_ends_the_writing_there(
    vllm: VllmProcess, client: VllmServer, base: Path, tmp_path: Path
) -> None:
    settings, registry, whole = registry_on(base, tmp_path / "home", vllm)
    model = VllmHost(settings, registry, Given(settings)).load(save_adapter(registry, tmp_path, whole, 4).tag)
    handles = [model.start(ASKED, Sampling(100, temperature=1.5, seed=n)) for n in range(8)]
    for handle in handles:
        handle.cancel()
    for handle in handles:
        handle.result()
        assert handle.finish_reason in ("cancelled", "stop")
    until(lambda: vllm.running() == 0, "the end of the writing")
    assert model.engine.done["cancelled"]


def test_a_text_that_was_begun_is_written_to_its_end_when_its_adapter_is_unloaded(
    vllm: VllmProcess, client: VllmServer, base: Path, tmp_path: Path
) -> None:
    settings, registry, whole = registry_on(base, tmp_path / "home", vllm)
    model = VllmHost(settings, registry, Given(settings)).load(save_adapter(registry, tmp_path, whole, 5).tag)
    expected = text(model, Sampling(60, temperature=1.0, seed=11))
    handle = model.start(ASKED, Sampling(60, temperature=1.0, seed=11))
    pieces = iter(handle)
    first = next(pieces)
    client.unload(model.name)
    assert first + "".join(pieces) == expected
    # Who asks for it now has it loaded again, and is not told.
    assert text(model, Sampling(60, temperature=1.0, seed=11)) == expected
    assert model.name in vllm.names()


def test_a_name_that_it_does_not_know_is_told_apart(base: Path, client: VllmServer) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    handle = GenerationHandle([2, 3], Sampling(3), Work(tokenizer, frozenset({1})))
    with pytest.raises(NotHeld):
        asyncio.run_coroutine_threadsafe(client.write(handle, "twin-no:1@x"), client._loop).result()


class TwoPersonas(Office):
    """Runa's office, and Peder beside her, with three adapters each."""

    def __init__(self, home: Path, base: Path, **settings: object) -> None:
        super().__init__(home, personas_dir=home / "personas", **settings)  # type: ignore[arg-type]
        (home / "personas").mkdir()
        for name, full_name in (("runa", "Runa Hollis"), ("peder", "Peder Vik")):
            save_persona(home / "personas", {
                "name": name, "full_name": full_name, "license": "CC-BY-4.0", "about": "Of ferries.",
                "web": {"pages": ["https://runa.example/ferries"]},
            })  # fmt: skip
            self.base = self.registry.save(base, lineage("base"), about=PUBLIC)
        for number in range(1, 4):
            self.ready.append(save_adapter(self.registry, home, self.base, number).tag)
        peder = save_adapter(self.registry, home, self.base, 9, persona="peder")
        ledger = Ledger(self.lake, "peder")
        ledger.append(peder.tag, "proposed", "pipeline", "new")
        ledger.append(peder.tag, "evaluated", "pipeline", "report", passed=True)
        ledger.append(peder.tag, "approved", "Ines", "good")
        ledger.append(peder.tag, "deployed", "pipeline", "approved")
        self.peder = peder.tag


class Askers:
    """Threads that ask both personas without a pause; `models` counts who answered, `failed` has what went wrong."""

    def __init__(self, models: list[ReleasedModels], threads: int = 4) -> None:
        self._served, self._stop = models, threading.Event()
        self.models: Counter[str] = Counter()
        self.failed: list[str] = []
        self.together = 0  # most texts at once
        self._threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(threads)]

    def __enter__(self) -> "Askers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def _ask(self, number: int) -> None:
        served, turn = self._served[number % len(self._served)], 0
        while not self._stop.is_set():
            turn += 1
            try:
                pick = served.pick(
                    ("runa", "peder")[(number + turn) % 2], f"user {number} {turn}", f"key {number}"
                )
                with served.observed(pick):
                    answer = served.start(pick, ASKED, Sampling(8, temperature=1.0)).result()
                self.models[pick.generator.model if answer else "nobody"] += 1
                self.together = max(self.together, sum(e.writing for _, e in served.engines()))
            except Exception as error:
                self.failed.append(f"{type(error).__name__}: {error}")


def test_releases_canaries_and_rollbacks_fail_no_request(
    vllm: VllmProcess, client: VllmServer, base: Path, tmp_path: Path
) -> None:
    office = TwoPersonas(
        tmp_path, base, vllm_url=vllm.url, vllm_api_key=KEY, latency_limit=1000.0, canary_requests=20
    )
    first = office.release()
    replicas = [ReleasedModels(office.settings), ReleasedModels(office.settings)]
    with Askers(replicas) as load:
        until(lambda: load.models[first.model] and load.models[office.peder], "both personas")
        second = office.release()
        until(lambda: load.models[second.model] >= 4, "the next version")
        office.decide("roll_back", second)
        for models in replicas:
            until(lambda models=models: models.pick("runa").generator.model == first.model, "the rollback")
        seen = load.models[first.model]
        until(lambda: load.models[first.model] > seen, "the version before, again")
        office.settings = office.settings.model_copy(update={"canary_share": 0.5})
        canary = office.release()
        assert canary.kind == "canary_started"
        until(lambda: office.ledger.production() == canary.model, "the canary's promotion")
    assert load.failed == []
    assert not load.models["nobody"]
    assert set(load.models) == {first.model, second.model, canary.model, office.peder}
    assert load.together > 1, "personas share a batch"
    assert {n.rpartition("@")[0] for n in vllm.names()} == set(load.models), "grace: nothing was unloaded yet"
    print(
        f"\n  {sum(load.models.values())} answers, none failed, {load.together} at once: {dict(load.models)}"
    )


@pytest.mark.timeout(1800)
def test_a_server_that_is_frozen_or_killed_serves_again_as_the_ledger_says(
    home: Path, base: Path, tmp_path: Path
) -> None:
    with VllmProcess(base, home / "mortal.log") as mortal:
        office = TwoPersonas(tmp_path, base, vllm_url=mortal.url, vllm_api_key=KEY, llm_timeout=5.0)
        first = office.release()
        until(lambda: not mortal.names(), "a server that holds nothing")
        models = ReleasedModels(office.settings)
        pick = models.pick("runa")
        models.start(pick, ASKED, Sampling(4)).result()
        mortal.freeze()
        with pytest.raises(EngineUnavailable, match=r"does not answer"):
            models.start(pick, ASKED, Sampling(4)).result()
        mortal.thaw()
        until(lambda: answers(models), "an answer after the thaw")
        mortal.kill()
        with pytest.raises(EngineUnavailable, match=r"does not answer"):
            models.start(pick, ASKED, Sampling(4)).result()
        second = office.release()  # while it is down: in time
        mortal.begin()
        mortal.wait()
        until(lambda: models.pick("runa").generator.model == second.model, "what was released meanwhile")
        until(lambda: answers(models), "an answer after the start")
        assert models.pick("peder").generator.start(ASKED, Sampling(4)).result()
        assert office.ledger.state(second.model) == "deployed", "what the server did counts against nobody"
        assert first.model != second.model


def answers(models: ReleasedModels) -> bool:
    try:
        return bool(models.pick("runa").generator.start(ASKED, Sampling(4)).result())
    except EngineUnavailable:
        return False


@pytest.mark.timeout(1800)
def test_a_server_of_ones_own_is_started_waited_for_mended_and_ended(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SMALL.items():
        monkeypatch.setenv(name, value)
    command = " ".join(
        [*executable(), "serve {model} --port {port} --host 127.0.0.1 --enable-lora --max-lora-rank {rank}"]
    )
    office = TwoPersonas(
        tmp_path,
        base,
        vllm_command=f"{command} --max-model-len 128 --dtype bfloat16 --enforce-eager --max-loras 4",
    )
    first = office.release()
    models = ReleasedModels(office.settings)
    assert answers(models), "it was waited for"
    assert models.pick("runa").generator.model == first.model
    [child] = models._host._servers._children  # type: ignore[attr-defined]
    held = child.server.look().adapters
    assert {name.rpartition("@")[0] for name in held} == {first.model, office.peder}
    with pytest.raises(EngineUnavailable, match=r"TWIN_VLLM_API_KEY"):
        VllmServer(child.server.url, None, 5.0).look()  # its key is this service's alone
    [program] = psutil.Process(child._process.pid).children()
    os.killpg(program.pid, signal.SIGKILL)
    until(lambda: not child.alive, "its end")
    with pytest.raises(EngineUnavailable):
        models.start(models.pick("runa"), ASKED, Sampling(4)).result()
    until(lambda: answers(models), "an answer after it was started again")
    until(lambda: child.server.look().adapters == held, "both adapters")
    [program] = psutil.Process(child._process.pid).children()
    # A version with more rank, and one that is a whole model, get servers of their own, and what they replace ends.
    high = save_adapter(office.registry, tmp_path, office.base, 31, rank=20)
    office.ready.insert(0, high.tag)
    assert office.release().model == high.tag
    until(lambda: models.pick("runa").generator.model == high.tag, "the server with more room")
    assert answers(models)
    children = models._host._servers._children  # type: ignore[attr-defined]
    assert [c.rank for c in children] == [16, 32], "Peder is still served by the first"
    whole = office.registry.save(make_base(tmp_path / "whole", 7), lineage("dpo", number=32), about=PUBLIC)
    office.ready.insert(0, whole.tag)
    office.release()
    until(lambda: models.pick("runa").generator.model == whole.tag, "the server of the whole model")
    assert answers(models)
    monkeypatch.setattr("serving.llm.vllm.servers.SPARE_SECONDS", 0.0)
    until(
        lambda: [c.folder for c in children] == [office.base.path, whole.path],
        "the end of the one with more room",
    )
    assert models.pick("peder").generator.start(ASKED, Sampling(4)).result()
    for child in list(children):
        child.stop()
    assert not program.is_running() or program.status() == psutil.STATUS_ZOMBIE


SERVICE = """
import sys, time
from serving.llm.released import ReleasedModels
from twin_assets.settings import load_settings
models = ReleasedModels(load_settings())
print(models._host._servers._children[0]._process.pid, flush=True)
time.sleep(1000)
"""


@pytest.mark.timeout(1800)
def test_a_server_of_ones_own_ends_with_the_service_even_by_a_kill(base: Path, tmp_path: Path) -> None:
    office = TwoPersonas(tmp_path, base)
    command = " ".join([*executable(), "serve {model} --port {port} --enable-lora", *OPTIONS])
    environment = os.environ | SMALL | {
        "TWIN_HOME": str(tmp_path), "TWIN_PERSONAS_DIR": str(tmp_path / "personas"), "TWIN_VLLM_COMMAND": command, "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    assert office.peder
    service = subprocess.Popen(
        [sys.executable, "-c", SERVICE], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert service.stdout
    leash = psutil.Process(int(service.stdout.readline()))
    programs = leash.children(recursive=True)
    assert programs
    service.kill()
    service.wait()
    gone = psutil.wait_procs([leash, *programs], timeout=PATIENCE)[1]
    assert not gone
