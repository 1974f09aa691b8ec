"""The data of a run as lines of a script that draws or reads, splits and scales them as datasets.load does. No torch.

They leave x_train, y_train, x_test and y_test as NumPy arrays: y (samples, outputs), or the number of the class.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from ttcore.config import REFERENCE_SEED, DataConfig
from ttcore.planning import data_bytes, is_on_disk
from ttcore.script_text import core_subscripts, letters, tuple_text, wrapped
from ttcore.table_store import TableStore

# What the script of a prepared table reads; it lies beside the script.
TABLE_FILE = "data.npz"


@dataclass(frozen=True)
class DataLines:
    """imports: whole lines."""

    imports: tuple[str, ...]
    lines: tuple[str, ...]


def table_npz(config: DataConfig) -> bytes:
    """The samples of a prepared table, x (samples, features) and y (samples, outputs), or classes by their numbers.

    Then `classes` has the names. No pickled objects. Raises InputError for a table that is not held here any more.
    """
    stored = TableStore().get(config.key)
    x, y = stored.arrays()
    out = io.BytesIO()
    if config.task_kind == "classification":
        np.savez_compressed(out, x=x, y=y.argmax(1), classes=np.array(stored.target_names, dtype=str))
    else:
        np.savez_compressed(out, x=x, y=y)
    return out.getvalue()


def data_lines(config: DataConfig) -> DataLines:
    """Raises InputError for a teacher of more cores than an einsum has letters for."""
    match config.source:
        case "reference":
            imports, lines = _reference(config)
        case "planted":
            imports, lines = _planted(config)
        case _:
            imports, lines = _whole(config)
            imports += ["from sklearn.model_selection import train_test_split"]
            lines += [*_split(config), *_scaled(config)]
    if is_on_disk(config):
        gigabytes = data_bytes(config, "float64") / 1e9
        lines.insert(0, f"# They take about {max(1, round(gigabytes))} GB of memory here.")
    return DataLines(tuple(imports), tuple(lines))


_STANDARDIZED = [
    "x_train, x_test = (x_train - x_mean) / x_std, (x_test - x_mean) / x_std",
    "y_train, y_test = (y_train - y_mean) / y_std, (y_test - y_mean) / y_std",
]
_MOMENTS = [
    "x_mean, x_std = x_train.mean(0), x_train.std(0)",
    "y_mean, y_std = y_train.mean(0), y_train.std(0)",
]


def _reference(config: DataConfig) -> tuple[list[str], list[str]]:
    drawn = [
        f"n_samples={config.train_samples}",
        f"n_features={config.in_features}",
        "n_informative=128",
        f"n_targets={config.out_features}",
        "coef=True",
        f"random_state={REFERENCE_SEED}",
    ]
    lines = [
        *wrapped("x_train, y_train, coefficients = make_regression(", drawn, ")"),
        "# The test samples are a draw of their own with the same coefficients.",
        "test_draw = np.random.default_rng(20123)",
        f"x_test = test_draw.standard_normal(({config.test_samples}, {config.in_features}))",
        "y_test = x_test @ coefficients",
        *_MOMENTS,
        *_STANDARDIZED,
    ]
    return ["from sklearn.datasets import make_regression"], lines


def _planted(config: DataConfig) -> tuple[list[str], list[str]]:
    shape = config.teacher_shape
    inputs, outputs, _ = letters(shape.num_cores)
    equation = f"{','.join(core_subscripts(shape.num_cores))}->{outputs}{inputs}"
    noise = f" + {config.noise!r} * noise_draw.standard_normal({{0}}.shape)" if config.noise else ""
    draws = ["teacher_draw", "train_draw", "test_draw", "noise_draw"][: 4 if config.noise else 3]
    lines = [
        f"{', '.join(draws)} = np.random.default_rng({config.seed}).spawn({len(draws)})",
        "# The teacher: its cores are (rank, input mode, output mode, rank) too.",
        *wrapped("shapes = [", [tuple_text(core) for core in shape.core_shapes], "]"),
        "teacher = [teacher_draw.standard_normal(shape) for shape in shapes]",
        "teacher = [core / np.sqrt(np.prod(core.shape[:3])) for core in teacher]",
        *wrapped("weight = np.einsum(", [f'"{equation}"', "*teacher", "optimize=True"], ")"),
        f"weight = weight.reshape({shape.out_features}, {shape.in_features})",
        f"x_train = train_draw.standard_normal(({config.train_samples}, {shape.in_features}))",
        f"x_test = test_draw.standard_normal(({config.test_samples}, {shape.in_features}))",
        "y_train, y_test = x_train @ weight.T, x_test @ weight.T",
        "deviation = y_train.std()",
        f"y_train = y_train / deviation{noise.format('y_train')}",
        f"y_test = y_test / deviation{noise.format('y_test')}",
    ]
    return [], lines


def _whole(config: DataConfig) -> tuple[list[str], list[str]]:
    """x and y, all samples."""
    if config.source == "table":
        return [], [f'file = np.load("{TABLE_FILE}")', 'x, y = file["x"], file["y"]']
    if config.source == "regression":
        return _regression(config)
    options = "return_X_y=True" + (", scaled=False" if config.source == "diabetes" else "")
    lines = [f"x, y = load_{config.source}({options})"]
    if config.source == "diabetes":
        lines += ["y = y.reshape(-1, 1)"]
    return [f"from sklearn.datasets import load_{config.source}"], lines


def _regression(config: DataConfig) -> tuple[list[str], list[str]]:
    drawn = [
        f"n_samples={config.samples}",
        f"n_features={config.features}",
        f"n_informative={config.informative}",
        f"n_targets={config.outputs}",
        *([f"effective_rank={config.effective_rank}"] if config.effective_rank else []),
        f"random_state={config.seed}",
    ]
    lines = wrapped("x, y = make_regression(", drawn, ")")
    if config.outputs == 1:
        lines += ["y = y.reshape(-1, 1)"]
    lines += ["y = y / y.std(0)"]
    if config.noise:
        lines += [
            f"noise_draw = np.random.default_rng({config.seed})",
            f"y += {config.noise!r} * noise_draw.standard_normal(y.shape)",
        ]
    return ["from sklearn.datasets import make_regression"], lines


def _split(config: DataConfig) -> list[str]:
    by_classes = ["stratify=y"] if config.task_kind == "classification" else []
    how = ["x", "y", f"test_size={config.test_fraction!r}", f"random_state={config.split_seed}", *by_classes]
    return wrapped("x_train, x_test, y_train, y_test = train_test_split(", how, ")")


def _scaled(config: DataConfig) -> list[str]:
    """By the training samples alone."""
    if config.source == "regression":
        return [*_MOMENTS, *_STANDARDIZED]
    classes = config.task_kind == "classification"
    constant_input = [
        "# An input that is constant in training tells nothing, and becomes zero.",
        "x_std[x_std <= 1e-12 * np.abs(x_mean)] = np.inf",
    ]
    if classes:
        return [_MOMENTS[0], *constant_input, _STANDARDIZED[0]]
    return [*_MOMENTS, *constant_input, "y_std[y_std <= 1e-12 * np.abs(y_mean)] = 1.0", *_STANDARDIZED]
