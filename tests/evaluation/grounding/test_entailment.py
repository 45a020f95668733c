"""Claims measured by a classifier of sentence pairs: the way is real, the model small and random."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from twin_assets.core.errors import TwinError
from twin_assets.evaluation.grounding.entailment import (
    ENTAILED,
    PART,
    EntailmentModel,
    open_measure,
    parts_of,
)
from twin_assets.inference.grounding.claims import claim_support
from twin_assets.settings import Settings

CLAIMS = ["The Skua was late.", "Tides turn twice a day."]
PASSAGES = ["The Skua was late on Tuesday, and the tide had turned.", "Nothing of this is here."]


def save_model(folder: Path, labels: list[str]) -> str:
    words = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3}
    for word in " ".join([*CLAIMS, *PASSAGES]).replace(".", " .").replace(",", " ,").split():
        words.setdefault(word, len(words))
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    shape = BertConfig(
        vocab_size=len(words), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        id2label=dict(enumerate(labels)), label2id={name: n for n, name in enumerate(labels)}, num_labels=len(labels),
    )  # fmt: skip
    BertForSequenceClassification(shape).save_pretrained(folder)
    return str(folder)


def test_each_passage_is_asked_whether_it_entails_each_claim(tmp_path: Path) -> None:
    model = EntailmentModel(save_model(tmp_path, ["contradiction", "ENTAILMENT", "neutral"]))
    table = model.support(CLAIMS, PASSAGES)
    assert table.shape == (2, 2)
    assert ((table > 0) & (table < 1)).all()
    assert np.allclose(model.support(CLAIMS[1:], PASSAGES[:1]), table[1, 0], atol=1e-5)
    assert model.support([], PASSAGES).shape == (0, 2)
    assert model.support(CLAIMS, [""]).tolist() == [[0.0], [0.0]]
    assert claim_support(CLAIMS, PASSAGES, model.support).shape == (2,)


def test_the_best_part_of_a_long_passage_counts(tmp_path: Path) -> None:
    model = EntailmentModel(save_model(tmp_path, ["entailment", "not_entailment"]))
    long = " ".join([*["late"] * PART, PASSAGES[0]])
    parts = parts_of(long)
    assert len(parts) == 2
    assert parts[1].endswith("turned.")
    alone = model.support(CLAIMS, parts)
    assert np.allclose(model.support(CLAIMS, [long])[:, 0], alone.max(axis=1), atol=1e-5)


def test_the_setting_chooses_and_what_is_no_such_model_is_named(tmp_path: Path) -> None:
    chosen = Settings(entailment_model=save_model(tmp_path / "a", ["entailment", "neutral"]))
    measure, supported = open_measure(chosen, 0.55)
    assert supported == ENTAILED
    assert measure is not None
    assert measure(CLAIMS, PASSAGES).shape == (2, 2)
    assert pickle.loads(pickle.dumps(measure)) == measure  # a process's own model, loaded once
    assert open_measure(Settings(entailment_model=None), 0.55) == (None, 0.55)
    with pytest.raises(TwinError, match=r"has no label `entailment` \(it has: toxic, fine\)"):
        EntailmentModel(save_model(tmp_path / "b", ["toxic", "fine"])).support(CLAIMS, PASSAGES)
    with pytest.raises(TwinError, match=r"can't be loaded.*TWIN_ENTAILMENT_MODEL"):
        EntailmentModel(str(tmp_path / "nothing")).support(CLAIMS, PASSAGES)
