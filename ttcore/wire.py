"""Events, settings and results as lines of JSON and back.

NumPy arrays travel as base64 blocks; nothing is ever unpickled.
"""

from __future__ import annotations

import base64
import json
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from ttcore import config, events, results

_TYPES: dict[str, Any] = {
    cls.__name__: cls
    for cls in (
        config.DataConfig,
        config.RunConfig,
        config.TrainConfig,
        results.Baseline,
        results.RunResult,
        events.Best,
        events.Finished,
        events.FullModel,
        events.Paused,
        events.Progress,
        events.Scores,
        events.Started,
        events.TrainingState,
    )
}
_KIND = "type"
_ARRAY = "array"


def dumps(message: dict[str, Any]) -> bytes:
    """One line of JSON, newline included. Raises TypeError for what has no place in a message."""
    return json.dumps(_encode(message), separators=(",", ":")).encode() + b"\n"


def loads(line: bytes) -> dict[str, Any]:
    """The inverse of dumps."""
    return _decode(json.loads(line))


def _encode(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
        return {_KIND: _ARRAY, "dtype": value.dtype.str, "shape": value.shape, "data": data}
    if is_dataclass(value) and not isinstance(value, type):
        encoded = {field.name: _encode(getattr(value, field.name)) for field in fields(value)}
        return {_KIND: type(value).__name__, **encoded}
    if isinstance(value, dict):
        return {key: _encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(item) for item in value]
    return value


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get(_KIND)
    if kind == _ARRAY:
        flat = np.frombuffer(base64.b64decode(value["data"]), dtype=np.dtype(value["dtype"]))
        return flat.reshape(value["shape"])
    decoded = {key: _decode(item) for key, item in value.items() if key != _KIND}
    if kind not in _TYPES:
        return decoded if kind is None else {**decoded, _KIND: kind}
    # What JSON knows no name for.
    if "stop_reason" in decoded:
        decoded["stop_reason"] = events.StopReason(decoded["stop_reason"])
    decoded |= {name: tuple(decoded[name]) for name in ("cores", "best_cores") if name in decoded}
    return _TYPES[kind](**decoded)
