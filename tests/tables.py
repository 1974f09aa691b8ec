"""The hard shapes that every law is stated over, and small runs that train in a blink."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ttcore import DataConfig, RunConfig, TrainConfig, TTShape

# On tensors this small a second thread only waits for a processor.
torch.set_num_threads(1)

SHAPES = {
    "one core": TTShape((5,), (3,), ()),
    "one core, padded": TTShape((5,), (4,), (), 4, 3),
    "one core of one entry": TTShape((1,), (1,), ()),
    "two cores": TTShape((4, 3), (2, 3), 3),
    "primes, padded": TTShape((4, 3), (3, 3), 3, 11, 7),
    "padded by more than a mode": TTShape((4, 4), (3, 4), 2, 3, 2),
    "low rank as two cores": TTShape((12, 1), (1, 8), 4),
    "low rank, the other way": TTShape((1, 12), (8, 1), 4),
    "modes of 1 inside": TTShape((3, 1, 4), (1, 2, 2), (2, 3)),
    "unequal modes": TTShape((2, 7, 3), (5, 1, 2), (4, 2)),
    "rank 1": TTShape((3, 2, 4), (2, 3, 2), 1),
    "ranks above the useful ones": TTShape((2, 3, 2), (2, 1, 2), (9, 11)),
    "unequal ranks": TTShape((2, 3, 2, 2), (2, 1, 3, 2), (2, 5, 3)),
    "the reference in small": TTShape((3, 3, 3, 3), (2, 2, 2, 2), 3),
    "five cores, padded": TTShape((2, 3, 2, 2, 2), (2, 1, 2, 2, 1), (3, 4, 2, 2), 43, 7),
    "six cores": TTShape((2, 2, 2, 2, 2, 2), (1, 2, 1, 2, 1, 2), 2),
    "seven cores, padded": TTShape((2, 2, 2, 3, 1, 2, 2), (2, 1, 2, 1, 2, 1, 2), (2, 3, 3, 3, 3, 2), 91, 13),
}
NAMES = tuple(SHAPES)


def random_cores(shape: TTShape, dtype: torch.dtype = torch.float64, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(core, generator=generator, dtype=torch.float64).to(dtype) for core in shape.core_shapes]


def dense_by_einsum(cores: list[torch.Tensor], shape: TTShape) -> torch.Tensor:
    """The dense weight in one einsum over all cores: slow, and plainly the definition."""
    d = len(cores)
    ranks, ins, outs = range(d + 1), range(d + 1, 2 * d + 1), range(2 * d + 1, 3 * d + 1)
    operands: list[Any] = []
    for k, core in enumerate(cores):
        operands += [core, [ranks[k], ins[k], outs[k], ranks[k + 1]]]
    full = torch.einsum(*operands, [*outs, *ins])
    full = full.reshape(shape.padded_out_features, shape.padded_in_features)
    return full[: shape.out_features, : shape.in_features]


def tiny(**changes: Any) -> RunConfig:
    """A planted run of 12 features and 4 targets; `changes` are settings of any of its parts by their own names."""
    data: dict[str, Any] = {
        "source": "planted",
        "teacher_in_modes": (3, 4),
        "teacher_out_modes": (2, 2),
        "teacher_ranks": 2,
        "train_samples": 20,
        "test_samples": 16,
    }
    run: dict[str, Any] = {"in_modes": (3, 4), "out_modes": (2, 2), "ranks": 2}
    train: dict[str, Any] = {"lr": 0.02, "steps": 30, "threads": 1, "device": "cpu", "dtype": "float64"}
    for name, value in changes.items():
        if name == "data_seed":
            data["seed"] = value
        elif name in run:
            run[name] = value
        elif name in DataConfig.__dataclass_fields__ and name != "seed":
            data[name] = value
        else:
            train[name] = value
    return RunConfig(data=DataConfig(**data), train=TrainConfig(**train), **run)


def same_arrays(left: Any, right: Any) -> bool:
    return len(left) == len(right) and all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))
