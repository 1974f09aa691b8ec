"""ttcore: tensor-train layers, their training and an engine that runs it. `import ttcore` is quick; names load late.

Words: modes m_k (input) and n_k (output); cores k = 1..d of shape (r_{k-1}, m_k, n_k, r_k) with r_0 = r_d = 1; ranks
r_k at the d-1 inner bonds; parameter ratio = TT / full and compression = full / TT, without bias and padding.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ttcore.config import DataConfig, RunConfig, TrainConfig
    from ttcore.control import Control
    from ttcore.datasets import Dataset, load
    from ttcore.engine import Engine
    from ttcore.errors import InputError
    from ttcore.events import Event, StopReason
    from ttcore.export import load_cores
    from ttcore.layers import TTLinear
    from ttcore.presets import PRESETS, preset
    from ttcore.rounding import round_cores
    from ttcore.shapes import TTShape, factorize
    from ttcore.sweep import run_sweep
    from ttcore.sweep_config import SweepConfig
    from ttcore.training import train, train_many

_HOMES = {
    "Control": "control",
    "DataConfig": "config",
    "Dataset": "datasets",
    "Engine": "engine",
    "Event": "events",
    "InputError": "errors",
    "PRESETS": "presets",
    "RunConfig": "config",
    "StopReason": "events",
    "SweepConfig": "sweep_config",
    "TTLinear": "layers",
    "TTShape": "shapes",
    "TrainConfig": "config",
    "factorize": "shapes",
    "load": "datasets",
    "load_cores": "export",
    "preset": "presets",
    "round_cores": "rounding",
    "run_sweep": "sweep",
    "train": "training",
    "train_many": "training",
}

__all__ = [  # noqa: RUF022 - in the order in which a reader meets them
    "TTShape",
    "factorize",
    "TTLinear",
    "DataConfig",
    "TrainConfig",
    "RunConfig",
    "PRESETS",
    "preset",
    "load",
    "Dataset",
    "train",
    "train_many",
    "SweepConfig",
    "run_sweep",
    "Control",
    "Event",
    "StopReason",
    "Engine",
    "load_cores",
    "round_cores",
    "InputError",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ttcore' has no attribute {name!r}")
    return getattr(import_module(f"ttcore.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
