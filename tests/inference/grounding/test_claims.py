"""Support of sentences by passages: on sentences that a person has labelled, and piece by piece."""

from typing import Any

import numpy as np
import pytest
import yaml
from sklearn.metrics import roc_auc_score

from twin_assets.core.embedding.embedder import load_embedder, remembering
from twin_assets.core.embedding.thresholds import OFFLINE_MINILM
from twin_assets.inference.grounding.claims import (
    by_mix,
    claim_support,
    claims_of,
    fact_words,
    marks_in,
    support,
)
from twin_assets.settings import ROOT

EMBED = load_embedder("offline-minilm").embed
ITEMS: list[dict[str, Any]] = yaml.safe_load((ROOT / "benchmarks" / "claims.yaml").read_text())


@pytest.fixture(scope="module")
def scores() -> dict[str, np.ndarray]:
    kinds = ("supported", "number", "name", "invented", "negated", "elsewhere")
    return {
        kind: np.concatenate([claim_support(i[kind], [i["passage"]], by_mix(EMBED)) for i in ITEMS])
        for kind in kinds
    }


def auc(good: np.ndarray, bad: np.ndarray) -> float:
    return float(roc_auc_score([1] * len(good) + [0] * len(bad), np.concatenate([good, bad])))


def test_supported_sentences_score_above_others(scores: dict[str, np.ndarray]) -> None:
    others = np.concatenate([v for k, v in scores.items() if k != "supported"])
    assert auc(scores["supported"], others) > 0.91
    for kind in ("number", "name", "invented", "elsewhere"):
        assert auc(scores["supported"], scores[kind]) > 0.95, kind
    assert auc(scores["supported"], scores["negated"]) > 0.6  # the known blind spot
    assert (scores["supported"] >= OFFLINE_MINILM.supported).mean() > 0.9
    assert (others >= OFFLINE_MINILM.supported).mean() < 0.3
    assert (scores["number"] >= OFFLINE_MINILM.supported).mean() == 0


def test_a_claim_may_draw_on_two_passages() -> None:
    passages = ["The Skua carries 31 passengers.", "Stenna has a pier made of oak."]
    [both] = claim_support(
        ["The Skua carries 31 passengers to the oak pier at Stenna."], passages, by_mix(EMBED)
    )
    alone = support(["The Skua carries 31 passengers to the oak pier at Stenna."], passages, EMBED)
    assert alone.shape == (1, 2)
    assert both > alone.max()


def test_numbers_count_in_words_and_in_digits() -> None:
    assert fact_words("Seven boats and 1,140 pounds") == ["7", "boat", "1140", "pound"]
    [right], [wrong] = (
        claim_support([c], ["It took seven minutes to load the ferry."], by_mix(EMBED))
        for c in ("Loading the ferry took 7 minutes.", "Loading the ferry took 9 minutes.")
    )
    assert right > OFFLINE_MINILM.supported > wrong


def test_words_that_are_scattered_over_a_long_passage_support_less() -> None:
    claim = "The Skua carries oak beams to the pier at Stenna."
    near = "The Skua carries oak beams from the yard to the pier at Stenna."
    filler = "Nobody on the island remembers who painted the lighthouse or why the lamp was green for a year."
    scattered = ["The Skua is a ferry.", "It carries mail.", "Oak grows slowly.", "The beams were cut.", "A pier is long.",
                 "Stenna is a town."]  # fmt: skip
    far = " ".join(f"{part} {filler} {filler} {filler}" for part in scattered)
    assert set(fact_words(claim)) <= set(fact_words(far))
    close, apart = (claim_support([claim], [passage], by_mix(EMBED))[0] for passage in (near, far))
    assert close > OFFLINE_MINILM.supported > apart


def test_every_claim_is_held_against_every_passage_on_its_own() -> None:
    claims = ["The Skua carries 31 passengers [1].", "Stenna has a pier made of oak."]
    passages = ["The Skua carries 31 passengers.", "Stenna has a pier made of oak. It is old."]
    table = support(claims, passages, EMBED)
    assert table.shape == (2, 2)
    assert (table.argmax(axis=1) == [0, 1]).all()
    alone = [support([claim], passages, EMBED)[0] for claim in claims]
    assert np.allclose(table, alone, atol=0.01)


def test_no_text_is_embedded_twice() -> None:
    asked: list[str] = []

    def count(texts: list[str]) -> np.ndarray:
        asked.extend(texts)
        return EMBED(texts)

    embed = remembering(count)
    first = embed(["tides", "mud", "tides"])
    assert (embed(["mud", "pier"])[0] == first[1]).all()
    assert asked == ["tides", "mud", "pier"]


def test_questions_and_empty_phrases_are_no_claims() -> None:
    text = "Why was it late? Well, there it is. The clock of the pilot boat was an hour slow [2]."
    assert claims_of(text) == ["The clock of the pilot boat was an hour slow [2]."]
    assert marks_in(claims_of(text)[0]) == [2]
    assert claim_support(["Tides turn twice."], [], by_mix(EMBED)).tolist() == [0.0]


def test_a_passage_number_between_two_sentences_is_of_the_first() -> None:
    first, second = claims_of("The Skua was stuck at Stenna. [1] [2] Restores are rehearsed on Tuesdays. [3]")
    assert (marks_in(first), marks_in(second)) == ([1, 2], [3])
    assert claims_of("The Skua was stuck at Stenna.\n[1] Restores on Tuesdays.")[1].startswith("[1]"), (
        "a list of sources"
    )
