"""An Axolotl plugin, loaded inside the training process: packed rows of which none is left out.

Axolotl draws its packs anew in each epoch, keeps as many as the shortest of a few draws had, and ends at a whole number of
steps. A person's few hundred rows would lose some by each.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from axolotl.integrations.base import BasePlugin
from axolotl.utils.samplers import get_dataset_lengths
from axolotl.utils.samplers.multipack import pack_parallel
from torch.utils.data import BatchSampler, SequentialSampler


class PackingPlugin(BasePlugin):
    """Has a trainer that packs its rows take the batches of PackedBatches, as often as the epochs say."""

    def post_trainer_create(self, cfg: Any, trainer: Any) -> None:
        def batches(dataset: Any = None) -> PackedBatches:
            rows = trainer.train_dataset if dataset is None else dataset
            lengths = [int(length) for length in get_dataset_lengths(rows)]
            return PackedBatches(lengths, cfg.sequence_len, cfg.micro_batch_size, trainer.args.seed)

        trainer._get_train_sampler = batches
        # The trainer counts the batches that there are; its last step may be a shorter one.
        trainer.args.max_steps = -1


class PackedBatches(BatchSampler):
    """Batches of `at_once` packs, each a list of rows of at most `capacity` tokens together; every row is in one pack.

    `lengths` are the rows' tokens. First-fit decreasing (Johnson 1973), in Axolotl's implementation. The packs stay; their
    order is another in each epoch, and depends on nothing but `seed` and epoch, so that a resumed run goes on in it.
    """

    def __init__(self, lengths: Sequence[int], capacity: int, at_once: int, seed: int) -> None:
        super().__init__(SequentialSampler(lengths), at_once, drop_last=False)
        # Where accelerate, which skips the batches of before a checkpoint, looks for set_epoch.
        self.sampler = self
        self._seed, self._epoch = seed, 0
        mixed = np.random.default_rng(seed).permutation(len(lengths))
        rows = mixed[np.argsort(-np.asarray(lengths, dtype=np.int32)[mixed], kind="stable")]
        packs = pack_parallel(
            np.asarray(lengths, dtype=np.int32)[rows],
            bin_capacity=capacity,
            group_size=len(lengths),
            bin_size=len(lengths),
            num_processes=1,
        )
        self.packs = [[int(rows[n]) for n in pack] for pack in packs]

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.packs) // self.batch_size)

    def __iter__(self) -> Iterator[list[list[int]]]:
        order = np.random.default_rng([self._seed, self._epoch]).permutation(len(self.packs))
        for start in range(0, len(order), self.batch_size):
            yield [self.packs[n] for n in order[start : start + self.batch_size]]
