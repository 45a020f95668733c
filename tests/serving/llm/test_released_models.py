"""Models as the ledger releases them, in this process, with real tiny models: shares, memory, and failures."""

import asyncio
import gc
import json
import shutil
import time
import weakref
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from serving.errors import NotFoundError
from serving.llm.released import ReleasedModels
from serving.llm.waiting import pieces_of
from tests.core.models.tiny_llama import TEMPLATE, tiny_adapter, tiny_llama
from tests.support.machine import PATIENCE
from tests.support.models import lineage
from tests.support.releases import Office
from twin_assets.core.errors import TwinError
from twin_assets.core.persona.definition import save_persona
from twin_assets.core.records import Message
from twin_assets.core.release.history import Event
from twin_assets.core.release.ledger import Ledger
from twin_assets.inference.generation.engine import StepFailed
from twin_assets.inference.generation.local import LocalGenerator
from twin_assets.inference.generation.sampling import Sampling

ASKED = [Message(role="user", content="When does the ferry leave?")]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with random weights that knows sixty words."""
    return tiny_llama(
        tmp_path_factory.mktemp("base"), intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )


class Harbour(Office):
    """An office whose versions can be served."""

    def __init__(self, home: Path, base: Path, **settings: float) -> None:
        super().__init__(home, personas_dir=home / "personas", **settings)  # type: ignore[arg-type]
        (home / "personas").mkdir()
        save_persona(home / "personas", {
            "name": "runa", "full_name": "Runa Hollis", "license": "CC-BY-4.0", "about": "Runa runs ferries.",
            "web": {"pages": ["https://runa.example/ferries"]},
        })  # fmt: skip
        for number in range(1, 4):
            self.ready.append(self.registry.save(base, lineage("dpo", number=number)).tag)

    def broken(self, missing: str) -> Event:
        """A candidate without one of its files."""
        folder = self.home / f"without-{missing}"
        shutil.copytree(self.registry.get(self.registry.list()[0].tag).path, folder)
        for file in folder.glob(missing):
            file.unlink()
        return self.evaluated(self.registry.save(folder, lineage("dpo", number=99)).tag)

    def fragile(self, kind: str = "sick") -> Event:
        """A candidate that loads and answers, and whose steps fail on one word: its tokenizer has a token more than the model.
        Another word is one that its chat template refuses."""
        folder = self.home / "fragile"
        shutil.copytree(self.registry.get(self.registry.list()[0].tag).path, folder)
        words = json.loads((folder / "tokenizer.json").read_text())
        words["model"]["vocab"][kind] = 10_000
        (folder / "tokenizer.json").write_text(json.dumps(words))
        refusing = "{% for m in messages %}{% if 'rude' in m['content'] %}{{ raise_exception('no such words') }}{% endif %}{% endfor %}"
        (folder / "chat_template.jinja").write_text(refusing + TEMPLATE)
        return self.evaluated(self.registry.save(folder, lineage("dpo", number=98)).tag)


def wait(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def harbour(tmp_path: Path, base: Path) -> Harbour:
    return Harbour(tmp_path, base)


def answer(
    models: ReleasedModels, key: str | None = None, asked: list[Message] = ASKED, caller: str = ""
) -> str:
    pick = models.pick("runa", key, caller)
    with models.observed(pick):
        models.start(pick, asked, Sampling(2, seed=1)).result()
    return pick.generator.model


async def next_of(pieces: AsyncGenerator[tuple[int, str]]) -> str:
    return (await anext(pieces))[1]


async def rest_of(pieces: AsyncGenerator[tuple[int, str]]) -> str:
    return "".join([piece async for _, piece in pieces])


def test_an_answer_is_finished_by_the_version_that_began_it_which_is_then_freed(harbour: Harbour) -> None:
    first = harbour.release()
    models = ReleasedModels(harbour.settings)
    pick = models.pick("runa")
    loop = asyncio.Runner()
    pieces = models.stream(pick, pieces_of([pick.generator.start(ASKED, Sampling(12, seed=1))]))
    begun = loop.run(next_of(pieces))
    del pick
    second = harbour.release()
    wait(lambda: models.all() == [("runa", second.model)])
    assert models.held() == [second.model, first.model], "a request still needs it"
    assert begun + loop.run(rest_of(pieces))
    loop.close()
    del pieces
    gc.collect()
    wait(lambda: models.held() == [second.model])
    assert not [g for g in gc.get_objects() if isinstance(g, LocalGenerator) and g.model == first.model]
    with pytest.raises(NotFoundError, match="in production"):
        models.pick(first.model)
    harbour.decide("roll_back", second)
    wait(lambda: answer(models) == first.model)


def test_a_canary_gets_its_share_and_a_user_the_same_version_every_time(tmp_path: Path, base: Path) -> None:
    harbour = Harbour(tmp_path, base, canary_share=0.25)
    first, canary = harbour.release(), harbour.release()
    models, other = ReleasedModels(harbour.settings), ReleasedModels(harbour.settings)
    assert models.all() == [("runa", first.model), ("runa", canary.model)]
    users = [f"user {n}" for n in range(2000)]
    chosen = [models.pick("runa", user).generator.model for user in users]
    assert chosen == [other.pick("runa", user).generator.model for user in users], "in every process"
    assert Counter(chosen)[canary.model] == pytest.approx(500, abs=80)
    by_chance = Counter(models.pick("runa").generator.model for _ in users)
    assert by_chance[canary.model] == pytest.approx(500, abs=80)
    assert models.pick(canary.model, "user 1").generator.model == canary.model, "an exact version is obeyed"


def test_a_canary_that_answers_is_promoted_by_whoever_serves(tmp_path: Path, base: Path) -> None:
    harbour = Harbour(tmp_path, base, canary_share=0.5, canary_requests=4, latency_limit=1000)
    first, canary = harbour.release(), harbour.release()
    models = [ReleasedModels(harbour.settings), ReleasedModels(harbour.settings)]
    for number in range(24):
        answer(models[number % 2])
    for served in models:
        wait(lambda served=served: served.all() == [("runa", canary.model)])
    promotions = [e for e in harbour.ledger.events() if e.kind == "deployed" and e.model == canary.model]
    assert [e.actor for e in promotions] == ["release-watch"]
    assert harbour.ledger.history().predecessor() == first.model


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_version_that_can_not_be_loaded_is_rolled_back_and_never_in_the_way(
    tmp_path: Path, base: Path, share: float
) -> None:
    harbour = Harbour(tmp_path, base, canary_share=share)
    first = harbour.release()
    models = ReleasedModels(harbour.settings)
    harbour.approve(broken := harbour.broken("*.safetensors"))
    assert harbour.deploy()
    while harbour.ledger.state(broken.model) != "rolled_back":
        assert answer(models) == first.model
    last = harbour.ledger.events()[-1]
    assert (last.actor, last.model) == ("release-watch", broken.model)
    wait(lambda: models.all() == [("runa", first.model)])


def test_a_service_that_starts_beside_a_broken_canary_serves_production(tmp_path: Path, base: Path) -> None:
    harbour = Harbour(tmp_path, base, canary_share=0.5)
    first = harbour.release()
    harbour.approve(harbour.broken("config.json"))
    harbour.deploy()
    models = ReleasedModels(harbour.settings)
    assert models.pick("runa").generator.model == first.model


def judged(models: ReleasedModels) -> None:
    """Let what was seen be written and judged now."""
    models._judged.clear()
    models.refresh()


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_what_a_request_asks_wrongly_never_counts_against_a_version(
    tmp_path: Path, base: Path, share: float
) -> None:
    harbour = Harbour(tmp_path, base, canary_share=share)
    harbour.release()
    harbour.approve(new := harbour.fragile())
    harbour.deploy()
    models = ReleasedModels(harbour.settings)
    for n in range(12):
        pick = models.pick(new.model, caller=f"key {n}")
        with pytest.raises(TwinError, match="does not take these turns: no such words"):
            models.start(pick, [Message(role="user", content="rude")], Sampling(2, seed=1))
        with pytest.raises(TwinError, match="holds 128"):
            models.start(pick, ASKED, Sampling(4_000, seed=1))
        # The door refuses such a seed; were there another way in, it would not count.
        with pytest.raises(ValueError, match="Overflow"):
            models.start(pick, ASKED, Sampling(2, seed=2**70))
    judged(models)
    assert harbour.ledger.state(new.model) in ("deployed", "canary_started")
    assert new.model in [model for _, model in models.all()]


def test_steps_that_fail_are_one_vote_a_caller(tmp_path: Path, base: Path) -> None:
    harbour = Harbour(tmp_path, base)
    first = harbour.release()
    harbour.approve(new := harbour.fragile())
    harbour.deploy()
    models = ReleasedModels(harbour.settings)
    sick = [Message(role="user", content="sick")]
    for _ in range(8):
        with pytest.raises(StepFailed):
            answer(models, asked=sick, caller="key 1")
    judged(models)
    assert harbour.ledger.production() == new.model, "one caller is one vote"
    with pytest.raises(StepFailed):
        answer(models, asked=sick, caller="key 2")
    judged(models)
    assert harbour.ledger.production() == first.model
    assert "9 of 9 requests failed, of 2 callers" in harbour.ledger.events()[-1].reason


def test_a_version_that_loads_and_can_not_be_asked_hurts_no_request(tmp_path: Path, base: Path) -> None:
    harbour = Harbour(tmp_path, base, canary_share=0.5)
    first = harbour.release()
    models = ReleasedModels(harbour.settings)
    harbour.approve(broken := harbour.broken("chat_template.jinja"))
    harbour.deploy()
    while harbour.ledger.state(broken.model) != "rolled_back":
        assert answer(models) == first.model
    assert "to load it" in harbour.ledger.events()[-1].reason


def adapters_of(harbour: Harbour, base: Path, persona: str, *seeds: int) -> list[str]:
    """Versions of a persona that are adapters on the one base."""
    under = harbour.registry.save(base, lineage("base"))
    made = []
    for seed in seeds:
        folder = tiny_adapter(base, harbour.home / f"{persona}-adapter{seed}", seed)
        made_from = lineage("dpo", under.tag, 50 + seed, persona=persona)
        made.append(harbour.registry.save(folder, made_from, base=under.as_base).tag)
    return made


def test_adapters_of_two_personas_are_served_by_one_base_in_memory_and_freed_one_by_one(
    tmp_path: Path, base: Path
) -> None:
    harbour = Harbour(tmp_path, base)
    save_persona(tmp_path / "personas", {
        "name": "ada", "full_name": "Ada Holm", "license": "CC-BY-4.0", "about": "Ada runs ferries.",
        "web": {"pages": ["https://ada.example/ferries"]},
    })  # fmt: skip
    harbour.ready = adapters_of(harbour, base, "runa", 1, 2)
    others = Ledger(harbour.lake, "ada")
    [hers] = adapters_of(harbour, base, "ada", 3)
    others.append(hers, "proposed", "pipeline", "new candidate")
    others.append(hers, "evaluated", "pipeline", "report", passed=True)
    others.append(hers, "approved", "Ines", "why")
    others.append(hers, "deployed", "pipeline", "why")
    first = harbour.release()
    models = ReleasedModels(harbour.settings)
    assert models.all() == [("ada", hers), ("runa", first.model)]
    picks = [models.pick("ada"), models.pick("runa")]
    assert picks[0].generator._whole is picks[1].generator._whole
    pick = picks.pop()
    handle = models.start(pick, ASKED, Sampling(100, temperature=0))
    second = harbour.release()
    wait(lambda: ("runa", second.model) in models.all())
    assert first.model in models.held(), "a request still needs it"
    handle.result()
    for version, engine in models.engines():
        assert engine.done["tokens"] == 1, f"{version} wrote its trial and nothing of the others"
    adapter = weakref.ref(pick.generator.engine.adapter)  # type: ignore[arg-type]
    del pick, handle
    gc.collect()
    wait(lambda: models.held() == [hers, second.model])
    # The step that wrote its last token may be ending still.
    wait(lambda: gc.collect() >= 0 and adapter() is None)
    assert models.pick("ada").generator._whole is models.pick("runa").generator._whole


def test_an_adapter_whose_base_is_another_here_is_rolled_back_while_the_last_one_serves(
    tmp_path: Path, base: Path, caplog: pytest.LogCaptureFixture
) -> None:
    harbour = Harbour(tmp_path, base)
    first = harbour.release()
    models = ReleasedModels(harbour.settings)
    under = harbour.registry.save(base, lineage("base"))
    folder = tiny_adapter(base, tmp_path / "adapter")
    elsewhere = under.as_base.model_copy(update={"weights_hash": "f" * 16})
    lost = harbour.registry.save(folder, lineage("dpo", under.tag, 77), base=elsewhere)
    harbour.approve(harbour.evaluated(lost.tag))
    harbour.deploy()
    while harbour.ledger.state(lost.tag) != "rolled_back":
        assert answer(models) == first.model
    assert f"weights {'f' * 16}; {under.tag} has the weights {under.weights_hash} here" in caplog.text
