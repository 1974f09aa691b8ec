"""Alternating least squares as lines of a script, as ttcore.alternating does it. No torch here.

They take what ttcore.script_training's lines take, with cores that need no gradient, in double precision.
"""

from __future__ import annotations

from ttcore.config import RunConfig
from ttcore.script_text import Block, core_subscripts, letters, wrapped
from ttcore.script_training import loop, met_lines


def alternating_blocks(config: RunConfig) -> list[Block]:
    """Raises InputError for more cores than an einsum has letters for."""
    d = config.shape.num_cores
    head = [
        "# What a core is multiplied by: the samples through all other cores.",
        *wrapped("designs = [", [f'"{design}"' for design in _designs(d)], "]"),
    ]
    turns = [*range(d), *range(d - 2, 0, -1)]
    epsilon = {"float32": 2.0**-23, "float64": 2.0**-52}[config.train.dtype]
    setup = [
        "losses, idle = [], 0  # losses before each update",
        f"rounding = {100 * epsilon**2:.3g} * y.square().mean().item()",
    ]
    step = ["cores[0] = solved(0)"]
    if d > 1:
        setup += [
            *wrapped("turns = [", [str(turn) for turn in turns], "]"),
            f"for k in range({d - 1}, 0, -1):",
            "    move(k, k - 1)",
        ]
        step = [
            f"k, following = (turns[(step + ahead) % {len(turns)}] for ahead in (0, 1))",
            "cores[k] = solved(k)",
            "move(k, following)",
        ]
    body = [
        "loss = functional.mse_loss(layer(x), y).item()",
        "if losses:",
        "    idle = 0 if losses[-1] - loss > 1e-9 * losses[-1] else idle + 1",
        f"    if idle >= {max(1, 4 * (d - 1))} or loss <= rounding:",
        "        break  # no core can be changed for the better any more",
        "losses.append(loss)",
        *met_lines(config),
        *step,
    ]
    return [head, _solved(config), *([_MOVE] if d > 1 else []), [*setup, *loop(config.train.steps, body)]]


def _designs(num_cores: int) -> list[str]:
    """For each core the einsum of the samples with the others: (samples, other outputs, rank, input mode, rank)."""
    inputs, outputs, _ = letters(num_cores)
    cores = core_subscripts(num_cores)
    designs = []
    for k, core in enumerate(cores):
        operands = [f"b{inputs}", *cores[:k], *cores[k + 1 :]]
        # The outer ranks are a core's alone.
        own = (core[0] if k else "") + inputs[k] + (core[3] if k < num_cores - 1 else "")
        designs.append(f"{','.join(operands)}->b{outputs[:k]}{outputs[k + 1 :]}{own}")
    return designs


def _solved(config: RunConfig) -> Block:
    shape, ridge = config.shape, repr(config.train.ridge)
    surplus_in = shape.padded_in_features - shape.in_features
    surplus_out = shape.padded_out_features - shape.out_features
    inputs = f"functional.pad(x, (0, {surplus_in}))" if surplus_in else "x"
    targets = f"functional.pad(y, (0, {surplus_out}), value=torch.nan)" if surplus_out else "y"
    ins, outs = (", ".join(map(str, modes)) for modes in (shape.in_modes, shape.out_modes))
    setup = [
        "def solved(k):",
        '    """The best core k beside the others; the ridge holds it where it is."""',
        "    r, m, n, s = cores[k].shape",
        "    others = [core for place, core in enumerate(cores) if place != k]",
        f"    inputs = {inputs}.reshape(-1, {ins})",
        "    design = torch.einsum(designs[k], inputs, *others).reshape(-1, r * m * s)",
        f"    targets = {targets}.reshape(-1, {outs})",
        "    targets = targets.movedim(k + 1, -1).reshape(-1, n)",
        "    present = cores[k].permute(0, 1, 3, 2).reshape(-1, n)",
    ]
    if surplus_out:
        solve = [
            "    columns = []",
            "    for target, column in zip(targets.T, present.T):",
            "        known = ~target.isnan()  # surplus outputs are asked nothing",
            "        if known.any():",
            "            part = design[known]",
            "            normal = part.T @ part",
            f"            ridge = {ridge} * normal.diagonal().mean()",
            "            normal.diagonal().add_(ridge)",
            "            right = part.T @ target[known] + ridge * column",
            "            column = torch.linalg.solve(normal, right)",
            "        columns.append(column)",
            "    solution = torch.stack(columns, 1)",
        ]
    else:
        solve = [
            "    normal = design.T @ design",
            f"    ridge = {ridge} * normal.diagonal().mean()",
            "    normal.diagonal().add_(ridge)",
            "    right = design.T @ targets + ridge * present",
            "    solution = torch.linalg.solve(normal, right)",
        ]
    return [*setup, *solve, "    return solution.reshape(r, m, s, n).permute(0, 1, 3, 2)"]


_MOVE = '''def move(k, to):
    """Make core k orthogonal; what is left of it goes into its neighbour."""
    r, m, n, s = cores[k].shape
    if to > k:
        q, rest = torch.linalg.qr(cores[k].reshape(r * m * n, s))
        cores[k] = q.reshape(r, m, n, s)
        cores[to] = torch.tensordot(rest, cores[to], 1)
    else:
        q, rest = torch.linalg.qr(cores[k].reshape(r, m * n * s).T)
        cores[k] = q.T.reshape(r, m, n, s)
        cores[to] = torch.tensordot(cores[to], rest.T, 1)
'''.splitlines()
