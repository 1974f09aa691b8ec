"""The plain way to train the reference task, and the denominator of every step-rate ratio.

One einsum from left to right, autograd, and Adam over a list of cores. opt_einsum is switched off: the paths that it
picks are slower here, so without it the comparison is the harder one.

    python -m benchmarks.naive_loop [--steps 3000] [--threads 2] [--rank 8] [--seed 0]
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass

import numpy as np
import torch

from ttcore import DataConfig, load
from ttcore.metrics import scores

_CONTRACTION = "aei,bfij,cgjk,dhk,nabcd->nefgh"
_WARM_UP = 20


@dataclass(frozen=True)
class NaiveResult:
    """What one run of the loop took, and what it reached on its training data."""

    steps: int
    seconds: float
    steps_per_second: float
    mse: float
    r2: float
    parameters: int


def naive_loop(steps: int, threads: int, rank: int = 8, seed: int = 0, device: str = "cpu") -> NaiveResult:
    """Train for `steps` updates after a short warm-up and time them. Sets torch's thread count."""
    torch.set_num_threads(threads)
    torch.backends.opt_einsum.enabled = False
    data = load(DataConfig())
    samples, targets = len(data.x_train), data.y_train.shape[1]
    x = torch.tensor(data.x_train, dtype=torch.float32).reshape(samples, 8, 8, 8, 8).to(device)
    y = torch.tensor(data.y_train, dtype=torch.float32, device=device)
    cores = _start(rank, seed, device)
    optimizer = torch.optim.Adam(cores, lr=0.05)

    def predictions() -> torch.Tensor:
        return torch.einsum(_CONTRACTION, *cores, x).reshape(samples, targets)

    def update() -> None:
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(predictions(), y).backward()
        optimizer.step()

    def wait() -> None:
        if device != "cpu":
            torch.cuda.synchronize()

    for _ in range(_WARM_UP):
        update()
    wait()
    began = time.perf_counter()
    for _ in range(steps):
        update()
    wait()
    seconds = time.perf_counter() - began
    with torch.no_grad():
        reached = scores(predictions(), y)
    return NaiveResult(
        steps=steps,
        seconds=seconds,
        steps_per_second=steps / seconds,
        mse=reached.loss,
        r2=reached.score,
        parameters=sum(core.numel() for core in cores),
    )


def _start(rank: int, seed: int, device: str) -> list[torch.Tensor]:
    """Cores in the order of the einsum's letters (mode in, mode out, ranks), each of Frobenius norm 1."""
    rng = np.random.default_rng(seed)
    sizes: list[tuple[int, ...]] = [(8, 2, rank), (8, 2, rank, rank), (8, 2, rank, rank), (8, 2, rank)]
    draws = [rng.standard_normal(size) for size in sizes]
    unit = [draw / np.linalg.norm(draw) for draw in draws]
    return [torch.tensor(core, dtype=torch.float32, device=device, requires_grad=True) for core in unit]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n", 1)[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    print(json.dumps(asdict(naive_loop(**vars(arguments)))))


if __name__ == "__main__":
    main()
