"""What a person takes away from a run: the curve, the cores, and both back again. NumPy only.

A core file is an NPZ archive with core_1 .. core_d, core k of shape (r_{k-1}, m_k, n_k, r_k), and the integers
in_features and out_features; it holds no pickled objects and is never read with pickle. Where the data were scaled it
also has x_mean and x_std (in_features,), y_mean and y_std (out_features,): the layer takes (x - x_mean) / x_std, and
what it gives, times y_std and plus y_mean, is in the units of the targets. For classes it has `offset`, to be added to
the logits, and `classes`, their names.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from os import PathLike
from typing import Any, BinaryIO

import numpy as np

from ttcore.curves import CurveView
from ttcore.datasets import Dataset
from ttcore.errors import InputError
from ttcore.scoring import REGRESSION, Scoring
from ttcore.shapes import TTShape


def curve_csv(curve: CurveView, scoring: Scoring = REGRESSION) -> str:
    """One row a step: step, seconds, train loss, and the score and the test values where they were measured.

    The columns are named after the task's loss and score, such as train_mse and test_r2.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["step", "seconds", *(f"{part}_{name}" for part in ("train", "test") for name in (scoring.loss, scoring.score))]
    )
    measured = {int(row[0]): row for row in curve.measured}
    seconds_at = curve.seconds_at(np.arange(len(curve.losses)))
    for step, (seconds, loss) in enumerate(zip(seconds_at, curve.losses, strict=True)):
        row = measured.pop(step, None)
        rest = ["", "", ""] if row is None else [repr(float(value)) for value in row[3:]]
        writer.writerow([step, f"{seconds:.6f}", repr(float(loss)), *rest])
    for step in sorted(measured):
        row = measured[step]
        writer.writerow([step, f"{row[1]:.6f}", *(repr(float(value)) for value in row[2:])])
    return out.getvalue()


def cores_npz(cores: Sequence[np.ndarray], shape: TTShape, dataset: Dataset | None = None) -> bytes:
    """The bytes of a core file; dataset: what the layer was trained on."""
    out = io.BytesIO()
    arrays: dict[str, Any] = {f"core_{number}": core for number, core in enumerate(cores, 1)}
    arrays |= {"in_features": shape.in_features, "out_features": shape.out_features}
    if dataset is not None and dataset.scaling is not None:
        arrays |= vars(dataset.scaling)
    if dataset is not None and dataset.offset is not None:
        arrays |= {"offset": dataset.offset, "classes": np.array(dataset.classes, dtype=str)}
    np.savez(out, **arrays)
    return out.getvalue()


def load_cores(file: str | PathLike[str] | BinaryIO) -> tuple[list[np.ndarray], int, int]:
    """Cores, in_features and out_features of a core file, ready for TTLinear.from_cores(*...).

    Raises InputError for anything that is not such a file.
    """
    # Damaged archives make zipfile and NumPy raise errors of a dozen kinds.
    try:
        with np.load(file, allow_pickle=False) as archive:
            count = sum(name.startswith("core_") for name in archive.files)
            names = [f"core_{number}" for number in range(1, count + 1)]
            return [archive[name] for name in names], int(archive["in_features"]), int(archive["out_features"])
    except Exception as error:
        raise InputError(
            f"{getattr(file, 'name', file)!s} is not a file of cores as this program saves them "
            f"(core_1 .. core_d, in_features, out_features): {error}"
        ) from None
