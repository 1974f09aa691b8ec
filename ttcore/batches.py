"""Mini-batches: every epoch in an order of its own, drawn from the run's seed and the epoch's number alone.

So step t sees the same samples whenever it is taken: after a pause, in a stack, on another machine.
"""

from __future__ import annotations

import numpy as np
import torch

from ttcore.samples import Samples
from ttcore.shapes import TTShape
from ttcore.squared_loss import TrainingData


class Batches:
    """The training samples, `size` of them at a time; what is left over in an epoch waits for a later one.

    data: the samples of the last `take`, always in the same place.
    """

    def __init__(self, samples: Samples, shape: TTShape, size: int, seed: int) -> None:
        self._samples = samples
        self._size = size
        self._seed = seed
        self._features = shape.in_features
        self.per_epoch = samples.train_samples // size
        self._epoch = -1
        self._order = np.zeros(0, np.int64)
        x, y = samples.rows(np.arange(size))
        self.data = TrainingData(x.clone(), y.clone(), shape, changing=True, offset=samples.offset)

    def take(self, step: int) -> None:
        """Bring the samples of update `step`, counted from 0, into `data`."""
        epoch, place = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = np.random.default_rng([self._seed, epoch]).permutation(self._samples.train_samples)
        # In order a file is read forwards; within a batch the order changes nothing.
        chosen = np.sort(self._order[place * self._size : (place + 1) * self._size])
        x, y = self._samples.rows(chosen)
        with torch.no_grad():
            self.data.x[:, : self._features] = x
            self.data.y.copy_(y)
