"""A step recorded once as a CUDA graph and then replayed, so that it costs one launch instead of dozens."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

# Runs before the recording, in which libraries choose their kernels and take their workspaces.
_WARM_UPS = 3


def captured(step: Callable[[], None], changed: Sequence[Tensor], device: torch.device) -> Callable[[], None]:
    """A callable that does what `step` does, as one graph where that is possible.

    step: works on the same tensors every time and never waits for the device.
    changed: the tensors that it changes and reads again; the recording leaves them as they were.

    Without a CUDA device it is `step` itself. Where the recording fails it is so too, with a RuntimeWarning.
    """
    if device.type != "cuda":
        return step
    before = [tensor.clone() for tensor in changed]
    try:
        graph = torch.cuda.CUDAGraph()
        side = torch.cuda.Stream(device)
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):
            for _ in range(_WARM_UPS):
                step()
        torch.cuda.current_stream(device).wait_stream(side)
        with torch.cuda.graph(graph):
            step()
    except (RuntimeError, AssertionError) as error:
        warnings.warn(f"the training step runs without a CUDA graph: {error}", RuntimeWarning, stacklevel=2)
        replay = step
    else:
        replay = graph.replay
    for tensor, old in zip(changed, before, strict=True):
        tensor.copy_(old)
    return replay
