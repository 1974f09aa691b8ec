"""One public TT library (or nn.Linear) on the reference step and on a large layer; run by benchmarks.peers.

A script of its own, without the project, for an environment that holds the libraries. Prints one JSON object.

    python one_peer.py NAME [--steps 200] [--threads 2]
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from sklearn.datasets import make_regression

IN, OUT, RANK = [8, 8, 8, 8], [2, 2, 2, 2], 8
LARGE_IN, LARGE_OUT, LARGE_RANK = [2, 7, 8, 8, 7, 4], [4] * 6, 4
WARM_UP = 20


def tensorly(implementation: str) -> Callable[[list[int], list[int], int], Any]:
    """TensorLy-Torch's block TT, whose ranks include the outer ones."""

    def make(ins: list[int], outs: list[int], rank: int) -> Any:
        from tltorch.factorized_layers import FactorizedLinear

        ranks = [1, *[rank] * (len(ins) - 1), 1]
        modes = (tuple(ins), tuple(outs))
        return FactorizedLinear(*modes, bias=False, factorization="blocktt", rank=ranks, implementation=implementation)

    return make


def torchtt(ins: list[int], outs: list[int], rank: int) -> Any:
    import torchtt.nn

    layer = torchtt.nn.LinearLayerTT(ins, outs, [1, *[rank] * (len(ins) - 1), 1])
    return torch.nn.Sequential(torch.nn.Unflatten(1, ins), layer)


def tednet(ins: list[int], outs: list[int], rank: int) -> Any:
    from tednet.tnn.tensor_train import TTLinear

    return TTLinear(ins, outs, [rank] * (len(ins) - 1), bias=False)


def dense(ins: list[int], outs: list[int], rank: int) -> Any:
    return torch.nn.Linear(math.prod(ins), math.prod(outs), bias=False)


PEERS: dict[str, Callable[[list[int], list[int], int], Any]] = {
    "nn.Linear": dense,
    "TensorLy-Torch reconstructed": tensorly("reconstructed"),
    "TensorLy-Torch factorized": tensorly("factorized"),
    "torchTT": torchtt,
    "TedNet": tednet,
}


def train_rate(layer: Any, steps: int) -> float:
    """Steps per second of torch's Adam on the reference task."""
    features, targets = make_regression(
        n_samples=256, n_features=math.prod(IN), n_informative=128, n_targets=math.prod(OUT), random_state=123
    )
    x, y = (torch.tensor((table - table.mean(0)) / table.std(0), dtype=torch.float32) for table in (features, targets))
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    began = 0.0
    for step in range(WARM_UP + steps):
        if step == WARM_UP:
            began = time.perf_counter()
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(layer(x).reshape(y.shape), y).backward()
        optimizer.step()
    return steps / (time.perf_counter() - began)


def milliseconds(layer: Any, samples: int, most: int = 30) -> float:
    """The median time of one forward pass of the large layer."""
    x = torch.randn(samples, math.prod(LARGE_IN))
    times: list[float] = []
    with torch.no_grad():
        while len(times) < 4 or (len(times) < most and sum(times) < 3.0):
            began = time.perf_counter()
            layer(x)
            times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("name", choices=PEERS)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(arguments.threads)
    make = PEERS[arguments.name]
    large = make(LARGE_IN, LARGE_OUT, LARGE_RANK)
    print(
        json.dumps(
            {
                "steps_per_second": train_rate(make(IN, OUT, RANK), arguments.steps),
                "one_sample_ms": milliseconds(large, 1),
                "hundred_samples_ms": milliseconds(large, 100),
                "parameters": sum(p.numel() for p in make(IN, OUT, RANK).parameters()),
            }
        )
    )


if __name__ == "__main__":
    main()
