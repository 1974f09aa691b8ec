"""The real data that scikit-learn brings along, as plain arrays."""

from __future__ import annotations

import numpy as np

from ttcore.splitting import Whole


def bundled(source: str) -> Whole:
    """All samples of digits, diabetes, breast_cancer, wine or linnerud, in scikit-learn's order."""
    # It takes a second to import, and only these sources need it.
    from sklearn import datasets

    # The diabetes data come scaled by all samples; the raw ones leave the test samples out of it.
    options = {"scaled": False} if source == "diabetes" else {}
    bunch = getattr(datasets, f"load_{source}")(**options)
    x, y = np.asarray(bunch.data, np.float64), np.asarray(bunch.target)
    if source in ("digits", "breast_cancer", "wine"):
        return Whole(x, np.eye(y.max() + 1)[y], tuple(str(name) for name in bunch.target_names))
    return Whole(x, y.reshape(len(y), -1).astype(np.float64))
