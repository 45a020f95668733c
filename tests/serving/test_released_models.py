"""Models as the ledger releases them, in this process, with real tiny models: shares, memory, and failures."""

import asyncio
import gc
import shutil
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from serving.errors import Unknown
from serving.released import ReleasedModels
from serving.writing import pieces_of
from tests.core.models import lineage
from tests.core.releases import Office
from tests.machine import PATIENCE
from twin_assets.core.history import Event
from twin_assets.core.persona import save_persona
from twin_assets.core.records import Message
from twin_assets.inference.generation import LocalGenerator

TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }} {% endfor %}"
ASKED = [Message(role="user", content="When does the ferry leave?")]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with random weights that knows sixty words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("base")
    words = Tokenizer(
        models.WordLevel({"[UNK]": 0, "[EOS]": 1} | {f"ferry{n}": n for n in range(2, 64)}, unk_token="[UNK]")
    )  # type: ignore[arg-type]
    words.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", eos_token="[EOS]")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    shape = LlamaConfig(
        vocab_size=64, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=128, bos_token_id=None, eos_token_id=1,
    )  # fmt: skip
    torch.manual_seed(0)
    LlamaForCausalLM(shape).save_pretrained(folder)
    return folder


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


def wait(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def harbour(tmp_path: Path, base: Path) -> Harbour:
    return Harbour(tmp_path, base)


def answer(models: ReleasedModels, key: str | None = None) -> str:
    pick = models.pick("runa", key)
    with models.observed(pick):
        pick.generator.generate([ASKED], 2)
    return pick.generator.model


async def next_of(pieces: AsyncGenerator[str]) -> str:
    return await anext(pieces)


async def rest_of(pieces: AsyncGenerator[str]) -> str:
    return "".join([piece async for piece in pieces])


def test_an_answer_is_finished_by_the_version_that_began_it_which_is_then_freed(harbour: Harbour) -> None:
    first = harbour.release()
    models = ReleasedModels(harbour.settings)
    pick = models.pick("runa")
    loop = asyncio.Runner()
    pieces = models.stream(pick, pieces_of(pick.generator.start(ASKED, 12, seed=1)))
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
    with pytest.raises(Unknown, match="in production"):
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
