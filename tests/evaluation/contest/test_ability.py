"""General ability: the harness on a tiny real model, and the comparison of two."""

from collections import Counter
from pathlib import Path

import numpy as np

from twin_assets.evaluation.contest.ability import ability_items, compare_ability, right_answers
from twin_assets.inference.generation.local import LocalGenerator


def test_a_tiny_model_is_scored_item_by_item_the_same_each_time(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    texts = [f"{i['question']} {' '.join(i['answers'])}" for i in ability_items()]
    special = ["<unk>", "<s>", "</s>"]
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=300, special_tokens=special))
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )
    set_seed(1)
    shape = LlamaConfig(
        vocab_size=len(wrapped), hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=128,
    )  # fmt: skip
    LlamaForCausalLM(shape).save_pretrained(tmp_path)
    wrapped.save_pretrained(tmp_path)
    generator = LocalGenerator(tmp_path, "tiny:one")
    right = right_answers(generator)
    assert right.shape == (len(ability_items()),)
    assert set(right.tolist()) <= {0.0, 1.0}
    assert right.mean() < 0.6  # it has learnt nothing
    assert (right_answers(generator) == right).all()
    assert compare_ability(right, right, 1).difference == 0.0


def test_the_difference_has_its_interval_and_chance_is_seen() -> None:
    items = len(ability_items())
    base = np.array([1.0] * 30 + [0.0] * (items - 30))
    worse = np.array([1.0] * 20 + [0.0] * (items - 20))
    found = compare_ability(worse, base, 1)
    assert found.difference == (20 - 30) / items
    assert found.low < found.difference < found.high <= 0
    assert not found.at_chance
    assert compare_ability(worse, np.array([1.0] * 11 + [0.0] * (items - 11)), 1).at_chance
    assert found.chance == 0.25


def test_the_items_are_well_made() -> None:
    items = ability_items()
    assert len({i["question"] for i in items}) == len(items) == 40
    assert all(len(set(i["answers"])) == 4 for i in items)
    assert min(Counter(i["subject"] for i in items).values()) >= 4
