"""What GRPO is rewarded for: no text that games the instruments is worth as much as an honest one. By the real reference model."""

import random
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import pytest

from benchmarks.authors import author_folders, read_author
from tests.core.models.lent import LENT
from tests.evaluation.evaluation_factories import heldout, neighbours, train
from twin_assets.core.errors import TwinError
from twin_assets.core.models.profiles import load_profile
from twin_assets.core.records import SplitDocument
from twin_assets.evaluation import reward
from twin_assets.evaluation.reward import Reward, RewardTexts
from twin_assets.evaluation.voice.background import EVERY, Background
from twin_assets.settings import Settings
from twin_assets.training.configs.overlays import compose_overlays

PASSAGES = ["The tide table for Stenna was a day old. Yesterday's table hung on the wall of the pier."]
REAL = ("matklad", "skeeto")


def people(count: int) -> dict[str, list[str]]:
    return {f"writer{n:02}": ["Some text."] for n in range(count)}


@lru_cache
def weights() -> np.ndarray:
    """In the order of the four terms, as the training is configured."""
    trl = compose_overlays(load_profile("pocket"), "grpo")["trl"]
    assert [name.rpartition(".")[2] for name in trl["reward_funcs"]] == list(reward.Terms._fields)
    return np.array(trl["reward_weights"])


def worth(made: Reward, texts: list[str], passages: list[str] | None = None) -> np.ndarray:
    """The reward of each text as TRL adds it up, None counting nothing."""
    terms = np.array(made.terms(texts, [passages or []] * len(texts)), dtype=float)
    return np.nansum(terms * weights(), axis=1)


def opened(corpus: list[SplitDocument], others: dict[str, list[str]]) -> Reward:
    """With `others` telling the author from: they are too few here to be parted."""
    texts = RewardTexts.of(corpus, Background(people(3 * EVERY)), Settings())
    return Reward.of(texts.model_copy(update={"others": others}), LENT)


@pytest.fixture(scope="module")
def runas() -> Reward:
    return opened(train(), neighbours())


def cut(text: str, words: int = 160) -> str:
    return " ".join(text.split()[:words])


def gamed(honest: str, learnt: str) -> Iterator[tuple[str, str]]:
    """Texts that an instrument alone could be pleased by, made of an honest text of the author's and of one that was learnt from."""
    words, draw = honest.split(), random.Random(3)
    first = " ".join(words[:12])
    yield "empty", ""
    yield "blank", " \n\n "
    yield "short", " ".join(words[:20])
    yield "one word", " ".join([words[0]] * 160)
    yield "repeats", " ".join([first] * 13)
    yield "begins well and repeats", " ".join([*words[:80], *([first] * 7)])
    yield "letters", " ".join("".join(draw.choices("etaoinshrdlu", k=6)) for _ in words)
    yield "words in any order", " ".join(draw.sample(words, len(words)))
    yield "begins well and ends in noise", " ".join([*words[:80], *draw.sample(words[80:], len(words[80:]))])
    yield "copied", cut(learnt)
    yield "copied and quoted", f"“{cut(learnt)}” [1]"
    yield "copied but for its last words", f"{cut(learnt, 140)} and that is how it was for all of us then."


@pytest.mark.e2e
def test_no_text_that_games_the_reward_is_worth_an_honest_one(runas: Reward) -> None:
    honest, learnt = cut(heldout()[1].voice_text), train()[0].voice_text
    bad = dict(gamed(honest, learnt))
    own, *worths = worth(runas, [honest, *bad.values()])
    assert own > 0, "the author's new text"
    for (name, _), value in zip(bad.items(), worths, strict=True):
        assert value < own - 0.3, (name, value, own)
    empty = runas.terms([""], [[]])[0]
    assert empty == (-1.0, 1.0, None, 1.0), "as bad as can be"


@pytest.mark.e2e
def test_what_the_passages_do_not_hold_costs_and_saying_nothing_does_not_help(runas: Reward) -> None:
    base = cut(heldout()[1].voice_text, 80)
    supported = (
        f"{base} The tide table for Stenna was a day old. Yesterday's table hung on the wall of the pier."
    )
    invented = f"{base} The captain ate 41 bananas from Ecuador. The cathedral of Seville was sold to a bank."
    held, made_up, silent = runas.terms([supported, invented, "Why? How so?"], [PASSAGES] * 3)
    assert held.unsupported is not None
    assert made_up.unsupported is not None
    assert held.unsupported < made_up.unsupported
    assert silent.unsupported == 1.0
    assert runas.terms([base], [[]])[0].unsupported is None


@pytest.mark.e2e
def test_the_terms_are_asked_for_as_trl_asks(runas: Reward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reward, "_opened", lambda file: runas)
    texts = [cut(heldout()[1].voice_text), ""]
    row = {
        "completions": [[{"role": "assistant", "content": text}] for text in texts],
        "prompts": [[{"role": "user", "content": "Write."}]] * 2, "completion_ids": [[1]] * 2,
        "passages": [[], []], "reward_file": ["a file"] * 2, "trainer_state": None,
    }  # fmt: skip
    columns = [getattr(reward, name)(**row) for name in reward.Terms._fields]
    assert list(zip(*columns, strict=True)) == list(runas.terms(texts, [[], []]))


@pytest.mark.e2e
@pytest.mark.parametrize("name", REAL)
def test_real_authors_are_worth_more_than_what_games_their_instruments(name: str) -> None:
    """On the prose of two people who know nothing of us; their repositories and licences stand beside it."""
    if name not in {path.name for path in author_folders()}:
        pytest.skip(
            f"THE REWARD WAS NOT TRIED ON {name.upper()}: set TWIN_AUTHORS to the folder that holds their writing"
        )
    author = read_author(name)
    names = sorted(author.strangers)
    # The strangers that are held against the author here were never shown to the reward.
    made = opened(author.train, {other: author.strangers[other] for other in names[::2]})
    honest = [cut(d.voice_text) for d in author.heldout if len(d.voice_text.split()) > 200][:3]
    learnt = [d.voice_text for d in author.train if len(d.voice_text.split()) > 200]
    strangers = [cut(author.strangers[other][0]) for other in names[1::2]]
    own = worth(made, honest)
    for at, text in enumerate(honest):
        bad = dict(gamed(text, learnt[at]))
        for (kind, _), value in zip(bad.items(), worth(made, list(bad.values())), strict=True):
            assert value < own[at], (name, at, kind, value, own[at])
    # Text by text it is no such order: of so few words a stranger's is worth more than the author's own in up to one pair of three.
    assert own.mean() > worth(made, strangers).mean() + 0.2


def test_the_reward_and_its_judge_know_different_people() -> None:
    with pytest.raises(TwinError, match=r"7 other writers are known.*8 are needed"):
        Background(people(7)).rewarding()
    known = Background(people(12))
    rewards = known.rewarding()
    assert set(rewards) == {"writer01", "writer04", "writer07", "writer10"}
    assert set(known.without(rewards).people) == set(people(12)) - set(rewards)


def test_without_a_measure_of_sense_nothing_is_rewarded() -> None:
    with pytest.raises(TwinError, match="TWIN_REFERENCE_MODEL is none"):
        RewardTexts.of(train(), Background(people(12)), Settings(reference_model="none"))
