"""What goes wrong with a vLLM server is told with its fix, counts against whom it should, and what serves goes on serving."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from serving.llm.released import ReleasedModels
from serving.llm.vllm.host import VllmHost, adapter_name
from serving.llm.vllm.model import VllmModel
from serving.llm.vllm.server import Refused
from serving.llm.vllm.servers import Given, Started
from tests.support.machine import PATIENCE, until
from tests.support.models import PUBLIC, lineage
from tests.support.mute_server import MuteServer
from tests.support.releases import Office
from tests.support.vllm.double import SICK
from tests.support.vllm.servers import KEY, REAL, VllmProcess, make_base, save_adapter
from twin_assets.core.errors import TwinError
from twin_assets.core.models.registry import ModelVersion
from twin_assets.core.persona.definition import save_persona
from twin_assets.core.records import Message
from twin_assets.core.release.history import Event
from twin_assets.inference.generation.engine import EngineBusy, GenerationHandle, StepFailed
from twin_assets.inference.generation.remote import EngineUnavailable
from twin_assets.inference.generation.sampling import Sampling

ASKED = [Message(role="user", content="ferry2 ferry3 ferry4")]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture(scope="module")
def vllm(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmProcess]:
    with VllmProcess(base, tmp_path_factory.mktemp("vllm") / "log") as running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_stays(vllm: VllmProcess) -> Iterator[None]:
    yield
    for name in vllm.names():
        vllm.ask("unload_lora_adapter", lora_name=name)


class Harbour(Office):
    """Runa's office, with adapters on one base."""

    def __init__(self, home: Path, base: Path, url: str, **settings: object) -> None:
        given = {
            "personas_dir": home / "personas",
            "vllm_url": url,
            "vllm_api_key": KEY,
            "llm_timeout": PATIENCE,
        }
        super().__init__(home, **given | settings)  # type: ignore[arg-type]
        (home / "personas").mkdir()
        save_persona(home / "personas", {
            "name": "runa", "full_name": "Runa Hollis", "license": "CC-BY-4.0", "about": "Runa runs ferries.",
            "web": {"pages": ["https://runa.example/ferries"]},
        })  # fmt: skip
        self.base = self.registry.save(base, lineage("base"), about=PUBLIC)
        self.ready = [self.adapter(n).tag for n in range(1, 4)]

    def adapter(self, number: int, **options: object) -> ModelVersion:
        return save_adapter(self.registry, self.home, self.base, number, **options)

    def host(self, unload_seconds: float = 600.0) -> VllmHost:
        return VllmHost(self.settings, self.registry, Given(self.settings), unload_seconds)

    def release_of(self, tag: str) -> Event:
        self.ready.insert(0, tag)
        return self.release()


def answer(models: ReleasedModels) -> str:
    pick = models.pick("runa")
    with models.observed(pick):
        assert models.start(pick, ASKED, Sampling(3, temperature=0)).result()
    return pick.generator.model


@pytest.mark.parametrize(
    "broken",
    [
        lambda h: h.adapter(8, rank=64),
        lambda h: h.registry.save(make_base(h.home / "whole", 5), lineage("dpo", number=77)),
        lambda h: save_adapter(
            h.registry, h.home, h.registry.save(make_base(h.home / "other", 6), lineage("base", number=6)), 9
        ),
        lambda h: h.adapter(10, template="{{ raise_exception('takes no turns') }}"),
    ],
    ids=["too high a rank", "a whole model", "another base", "no turns taken"],
)
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_version_that_it_can_not_serve_is_rolled_back_and_never_in_the_way(
    broken: Callable[[Harbour], ModelVersion], share: float, vllm: VllmProcess, base: Path, tmp_path: Path
) -> None:
    harbour = Harbour(tmp_path, base, vllm.url, canary_share=share)
    first = harbour.release()
    models = ReleasedModels(harbour.settings)
    version = harbour.release_of(broken(harbour).tag)
    while harbour.ledger.state(version.model) != "rolled_back":
        assert answer(models) == first.model
    assert "to load it" in harbour.ledger.events()[-1].reason
    until(lambda: models.all() == [("runa", first.model)])


def test_what_does_not_fit_the_server_is_told_with_the_fix(
    vllm: VllmProcess, base: Path, tmp_path: Path
) -> None:
    harbour = Harbour(tmp_path, base, vllm.url)
    host = harbour.host()
    whole = harbour.registry.save(make_base(tmp_path / "whole", 5), lineage("dpo", number=77))
    with pytest.raises(Refused, match=r"is a whole model, and vLLM at .*TWIN_VLLM_COMMAND"):
        host.load(whole.tag)
    other = harbour.registry.save(make_base(tmp_path / "other", 6), lineage("base", number=6))
    stray = save_adapter(harbour.registry, tmp_path, other, 9)
    with pytest.raises(
        Refused, match=rf"serves {base}, and {stray.tag} stands on {other.tag} .*start it on {other.path}"
    ):
        host.load(stray.tag)
    host.load(harbour.adapter(4).tag)  # the same weights in another folder are the same base


@pytest.mark.parametrize(
    ("options", "fix"),
    [({"updating": False}, "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"), ({"lora": False}, "--enable-lora")],
)
def test_a_server_that_takes_no_adapters_is_no_fault_of_the_version(
    options: dict[str, bool], fix: str, base: Path, tmp_path: Path
) -> None:
    with VllmProcess(base, tmp_path / "log", **options) as bare:
        (tmp_path / "home").mkdir()
        harbour = Harbour(tmp_path / "home", base, bare.url)
        harbour.release()
        second = harbour.release()
        models = ReleasedModels(harbour.settings)
        with pytest.raises(EngineUnavailable, match=fix):
            models.pick("runa")
        for _ in range(6):
            models._judged.clear()
            models.refresh()
        assert harbour.ledger.state(second.model) == "deployed"


def test_a_wrong_key_and_a_server_that_says_nothing_are_told_and_count_against_nobody(
    vllm: VllmProcess, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harbour = Harbour(tmp_path, base, vllm.url, vllm_api_key="wrong-key-77")
    harbour.release()
    second = harbour.release()
    with pytest.raises(EngineUnavailable, match=r"TWIN_VLLM_API_KEY") as told:
        ReleasedModels(harbour.settings).pick("runa")
    assert "wrong-key" not in str(told.value)
    monkeypatch.setattr("serving.llm.vllm.server.LOOK_SECONDS", 0.3)
    with MuteServer() as mute:
        models = ReleasedModels(harbour.settings.model_copy(update={"vllm_url": mute.url}))
        with pytest.raises(EngineUnavailable, match=r"does not answer: nothing came for 0.3 seconds"):
            models.pick("runa")
    gone = ReleasedModels(harbour.settings.model_copy(update={"vllm_url": mute.url}))
    with pytest.raises(EngineUnavailable, match=r"does not answer"):
        gone.pick("runa")
    assert harbour.ledger.state(second.model) == "deployed"


@pytest.mark.skipif(bool(REAL), reason="nothing makes a real one load slowly")
def test_a_server_that_dies_while_it_swaps_serves_again_and_ends_the_swap(base: Path, tmp_path: Path) -> None:
    with VllmProcess(base, tmp_path / "log", loading=1.0) as mortal:
        (tmp_path / "home").mkdir()
        harbour = Harbour(tmp_path / "home", base, mortal.url)
        first = harbour.release()
        models = ReleasedModels(harbour.settings)
        second = harbour.release()
        begun = f"Loading {second.model}"
        until(lambda: begun in (tmp_path / "log").read_text(), "the swap's beginning")
        assert answer(models) == first.model  # meanwhile it goes on serving
        mortal.kill()
        with pytest.raises(EngineUnavailable, match=r"does not answer"):
            answer(models)
        mortal.begin()
        mortal.wait()
        until(lambda: models.all() == [("runa", second.model)], "the swap's end")
        assert answer(models) == second.model
        assert harbour.ledger.state(second.model) == "deployed", "what the server did counts against nobody"


def test_only_what_no_ledger_names_is_unloaded_after_its_grace(
    vllm: VllmProcess, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.llm.vllm.host.TEND_SECONDS", 0.0)
    harbour = Harbour(tmp_path, base, vllm.url)
    host, patient = harbour.host(unload_seconds=0.0), harbour.host()
    ours, theirs, held = (harbour.adapter(n) for n in (11, 12, 13))
    kept = [host.load(v.tag) for v in (ours, theirs, held)]
    vllm.ask("load_lora_adapter", lora_name="somebody", lora_path=str(ours.path))
    names = {adapter_name(v) for v in (ours, theirs, held)}

    def there() -> set[str]:  # services of other tests may still have theirs held
        return set(vllm.names()) & {*names, "somebody"}

    patient.tend([], [])
    patient.tend([], [])
    assert there() == names | {"somebody"}, "not yet"
    host.tend([], None)
    assert there() == names | {"somebody"}, "a ledger could not be read"
    host.tend(kept[2:], [theirs.tag])
    assert there() == {adapter_name(theirs), adapter_name(held), "somebody"}
    vllm.ask("unload_lora_adapter", lora_name=adapter_name(held))
    host.tend(kept[2:], [theirs.tag])
    assert adapter_name(held) in there(), "it had lost what is still served"


def test_the_name_of_an_adapter_stands_for_its_weights(vllm: VllmProcess, base: Path, tmp_path: Path) -> None:
    harbour = Harbour(tmp_path, base, vllm.url)
    version = harbour.adapter(14)
    before = harbour.host().load(version.tag).start(ASKED, Sampling(8, temperature=0)).result()
    harbour.registry.delete(version.tag)
    folder = tmp_path / "again"
    again = harbour.registry.save(
        save_adapter(harbour.registry, folder, harbour.base, 15).path,
        version.lineage,
        about=PUBLIC,
        base=version.base,
    )
    assert again.tag == version.tag
    assert again.path == version.path
    assert adapter_name(again) != adapter_name(version)
    assert harbour.host().load(again.tag).start(ASKED, Sampling(8, temperature=0)).result() != before


def test_it_takes_no_more_than_it_may(base: Path, tmp_path: Path) -> None:
    with VllmProcess(base, tmp_path / "log", pace=0.05) as slow:
        (tmp_path / "home").mkdir()
        harbour = Harbour(tmp_path / "home", base, slow.url, llm_batch=2, llm_waiting=1)
        model = harbour.host().load(harbour.adapter(16).tag)
        until(lambda: model.engine.done["length"] == 1, "the end of its trial")
        handles = [model.start(ASKED, Sampling(40)) for _ in range(3)]
        with pytest.raises(EngineBusy, match="3 requests are with vLLM"):
            model.start(ASKED, Sampling(40))
        until(lambda: (model.engine.waiting, model.engine.writing) == (0, 3))
        for handle in handles:
            handle.cancel()
        until(lambda: (model.engine.waiting, model.engine.writing) == (0, 0))
        assert model.start(ASKED, Sampling(1)).result()


def test_a_version_is_loaded_while_every_place_is_taken(base: Path, tmp_path: Path) -> None:
    with VllmProcess(base, tmp_path / "log", pace=0.05) as slow:
        (tmp_path / "home").mkdir()
        harbour = Harbour(tmp_path / "home", base, slow.url, llm_batch=1, llm_waiting=0)
        host = harbour.host()
        model = host.load(harbour.adapter(16).tag)
        until(lambda: model.engine.done["length"] == 1, "the end of its trial")
        handle = model.start(ASKED, Sampling(110, temperature=0))
        assert host.load(harbour.adapter(17).tag)
        handle.cancel()


def test_texts_that_fail_in_vllm_count_against_the_version_that_wrote_them(
    vllm: VllmProcess, base: Path, tmp_path: Path
) -> None:
    harbour = Harbour(tmp_path, base, vllm.url)
    first, second = harbour.release(), harbour.release()
    models = ReleasedModels(harbour.settings)
    sick = [Message(role="user", content=f"ferry{SICK}")]
    for caller in ("key 1", "key 2", "key 3"):
        pick = models.pick(second.model, caller=caller)
        with pytest.raises(StepFailed, match="out of memory"), models.observed(pick):
            models.start(pick, sick, Sampling(3)).result()
    until(lambda: harbour.ledger.production() == first.model, "the rollback")
    assert "3 of 3 requests failed" in harbour.ledger.events()[-1].reason
    until(lambda: models.pick("runa").generator.model == first.model)
    model = models.pick("runa").generator
    assert isinstance(model, VllmModel)
    unknown = GenerationHandle([99], Sampling(2), model.engine)
    model.server.begin(failing(unknown, model))
    with pytest.raises(TwinError, match=r"refused the request .400.: Token id 99 is out of vocabulary"):
        unknown.result()


async def failing(handle: GenerationHandle, model: VllmModel) -> None:
    try:
        await model.server.write(handle, model.name)
    except TwinError as error:
        handle.fail(error)


def test_settings_that_can_not_be_meant_are_told(base: Path, tmp_path: Path) -> None:
    harbour = Harbour(tmp_path, base, "http://127.0.0.1:1", vllm_command="vllm serve {model} --port {port}")
    with pytest.raises(TwinError, match=r"both set.*unset one"):
        ReleasedModels(harbour.settings)
    given = {"vllm_url": None, "vllm_command": "vllm serve base"}
    with pytest.raises(TwinError, match=r"does not say .model. and .port."):
        ReleasedModels(harbour.settings.model_copy(update=given))


def test_a_command_that_starts_nothing_is_told(base: Path, tmp_path: Path) -> None:
    command = "sh -c 'echo no such option: {rank} {model} {port}; exit 2'"
    harbour = Harbour(tmp_path, base, "", vllm_command=command, vllm_url=None)
    servers = Started(harbour.settings)
    version = harbour.adapter(17)

    def told() -> str:
        try:
            servers.of(version, harbour.base)
        except EngineUnavailable as error:
            return str(error) if "ended" in str(error) else ""
        return ""

    assert "no such option: 16" in until(told)
    assert "TWIN_VLLM_COMMAND" in told()
    servers.tend([])
    assert servers.all() == []


def test_our_own_secrets_are_not_for_vllm(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWIN_LLM_API_KEY", "our-own-secret")
    harbour = Harbour(tmp_path, base, "", vllm_url=None, vllm_command="sh -c 'env; exit 1; {model} {port}'")
    with pytest.raises(EngineUnavailable):
        Started(harbour.settings).of(harbour.adapter(18), harbour.base)
    [log] = (tmp_path / "logs").glob("vllm-*.log")
    until(lambda: "VLLM_API_KEY" in log.read_text())
    assert "TWIN_" not in log.read_text()
