"""A sweep as a short script of its own: what the script of a run does, for every entry of the grid. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ttcore.config import Optimizer, RunConfig
from ttcore.errors import InputError
from ttcore.script import METHODS, full_model_lines, opening, outputs_text, start_lines
from ttcore.script_data import data_lines
from ttcore.script_text import (
    WIDTH,
    Block,
    indented,
    joined,
    letters,
    operands_text,
    tuple_text,
    weight_first,
    wrapped,
)
from ttcore.script_training import Names, target_lines, training_blocks
from ttcore.shapes import TTShape
from ttcore.sweep_config import SweepConfig


def sweep_script_of(config: SweepConfig) -> str:
    """The script. It prints a row for each layer and way to train it: the median scores over the seeds.

    Runs by alternating least squares are left out, and the script says so.
    Raises InputError where nothing else is asked for, and for more cores than an einsum has letters for.
    """
    methods = [method for method in config.optimizers if method != "als"]
    if not methods:
        raise InputError(
            "a sweep by alternating least squares has no short script; choose Adam as well, or take the script of a "
            "single run",
            "optimizers",
        )
    runs = [_run(config, method) for method in methods]
    # Of each factorization at the highest rank.
    first = config.seeds[0], config.rates[0], methods[0]
    shapes = [config.run(factorization, config.ranks[-1], *first).shape for factorization in config.factorizations]
    for shape in shapes:
        letters(shape.num_cores)
    data = config.data
    blocks = [
        *opening(_about(config, methods), data, runs[0].train, data_lines(data), _STANDARD),
        *([target] if (target := target_lines(runs[0])) else []),
        _subscripts(shapes, runs[0].batch),
        _ranks(),
        _train(config, runs, shapes),
        _grid(config, methods),
        ["# What the full model reaches.", *full_model_lines(data), *_full_report(config)],
    ]
    return "\n".join([*joined(blocks), ""])


_STANDARD = ("from itertools import product", "from math import prod")


def _run(config: SweepConfig, method: Optimizer) -> RunConfig:
    return config.run(config.factorizations[0], config.ranks[0], config.seeds[0], config.rates[0], method)


def _about(config: SweepConfig, methods: Sequence[Optimizer]) -> Block:
    data = config.data
    left_out = ["The runs by alternating least squares are left out."] if "als" in config.optimizers else []
    return [
        f"A sweep of tensor-train layers, {data.in_features} -> {data.out_features}.",
        "",
        f"Trained by {', '.join(METHODS[method] for method in methods)}.",
        *left_out,
    ]


def _subscripts(shapes: Sequence[TTShape], samples: int) -> Block:
    operands = operands_text('f"b{inputs}"', weight_first(shapes, samples))
    return [
        "def subscripts(d):",
        '    """Samples b, inputs i, j, .., outputs I, J, .., ranks between the cores."""',
        '    inputs = "ijklmnopqrstuvwx"[:d]',
        '    letters = "qrstuvwxyzacdefghQRSTUVWXYZABCDEFGH"',
        "    ranks = [letter for letter in letters if letter.lower() not in inputs]",
        '    cores = [f"{ranks[k]}{i}{i.upper()}{ranks[k + 1]}" for k, i in enumerate(inputs)]',
        f"    operands = [{', '.join(operands)}]",
        '    return ",".join(operands) + f"->b{inputs.upper()}"',
    ]


def _ranks() -> Block:
    return [
        "def all_ranks(in_modes, out_modes, rank):",
        '    """One rank for every bond, lowered to what the modes can use."""',
        "    sizes = [m * n for m, n in zip(in_modes, out_modes)]",
        "    bonds = range(len(sizes) + 1)",
        "    return tuple(min(rank, prod(sizes[:k]), prod(sizes[k:])) for k in bonds)",
    ]


def _train(config: SweepConfig, runs: Sequence[RunConfig], shapes: Sequence[TTShape]) -> Block:
    """The function that trains a layer."""
    data = config.data
    padded = any(shape.padded_in_features > shape.in_features for shape in shapes)
    cut = any(shape.padded_out_features > shape.out_features for shape in shapes)
    operands = operands_text("x", weight_first(shapes, runs[0].batch))
    offset = " + offset" if data.task_kind == "classification" else ""
    layer = [
        "def layer(x):",
        *([f"    x = functional.pad(x, (0, prod(in_modes) - {data.in_features}))"] if padded else []),
        "    x = x.reshape(-1, *in_modes)",
        f"    y = torch.einsum(equation, {', '.join(operands)})",
        f"    return y.reshape(len(x), -1){f'[:, :{data.out_features}]' if cut else ''}{offset}",
    ]
    start = [
        "equation = subscripts(len(in_modes))",
        "shapes = zip(ranks, in_modes, out_modes, ranks[1:])",
        *start_lines(data, runs[0].train, "seed", " / prod(ranks)", "(2 * len(in_modes))"),
    ]
    body = joined([start, layer, *_methods(runs), _scores(config)], around_functions=1)
    return [
        f"def train(in_modes, out_modes, ranks, seed, rate{', method' if len(runs) > 1 else ''}):",
        '    """The number of parameters, the training and the test score."""',
        *indented(body),
    ]


def _methods(runs: Sequence[RunConfig]) -> list[Block]:
    if len(runs) == 1:
        return training_blocks(runs[0], Names("rate", "seed", WIDTH - 4))
    lines: Block = []
    for place, run in enumerate(runs):
        branch = (
            "else:" if place == len(runs) - 1 else f'{"elif" if place else "if"} method == "{run.train.optimizer}":'
        )
        blocks = training_blocks(run, Names("rate", "seed", WIDTH - 8))
        lines += [branch, *indented(joined(blocks, around_functions=1))]
    return [lines]


def _scores(config: SweepConfig) -> Block:
    data = config.data
    outputs = f"        outputs = {outputs_text(data)}.double().cpu().numpy()"
    score = "1 - ((outputs - targets) ** 2).mean() / targets.var()"
    if data.task_kind == "classification":
        score = "(outputs.argmax(1) == targets).mean()"
    return [
        "scores = []",
        "for inputs, targets in ((x_train, y_train), (x_test, y_test)):",
        "    with torch.no_grad():",
        outputs,
        f"    scores.append({score})",
        "return sum(core.numel() for core in cores), *scores",
    ]


def _grid(config: SweepConfig, methods: Sequence[Optimizer]) -> Block:
    layers = [f"({tuple_text(each.in_modes)}, {tuple_text(each.out_modes)})" for each in config.factorizations]
    score = config.data.scoring.score_title
    several = len(methods) > 1
    rates = "rates"
    if "lbfgs" in methods:
        rates = 'rates[:1] if method == "lbfgs" else rates' if several else "rates[:1]"
    grid = "for (in_modes, out_modes), method in product(layers, methods):"
    arguments = "in_modes, out_modes, bonds, seed, rate" + (", method" if several else "")
    return [
        "# The grid; scores are medians over the seeds.",
        *wrapped("layers = [", layers, "]"),
        *_sequence("ranks", config.ranks),
        *_sequence("seeds", config.seeds),
        *_sequence("rates", config.rates),
        *(wrapped("methods = [", [f'"{method}"' for method in methods], "]") if several else []),
        f'print("parameters, train {score}, test {score}, modes, ranks")',
        grid if several else "for in_modes, out_modes in layers:",
        "    # Ranks above the useful ones are the same layer.",
        "    useful = dict.fromkeys(all_ranks(in_modes, out_modes, rank) for rank in ranks)",
        f"    for rate, bonds in product({rates}, useful):",
        f"        runs = [train({arguments}) for seed in seeds]",
        "        count, *scores = np.median(runs, axis=0)",
        '        row = f"{count:10,.0f} {scores[0]:10.6f} {scores[1]:10.6f}"',
        f'        print(f"{{row}}  {{in_modes}} -> {{out_modes}}, {{bonds[1:-1]}}, {_way(methods)}")',
    ]


def _way(methods: Sequence[Optimizer]) -> str:
    """How a layer is trained, as a row tells it."""
    return (
        "{method}, {rate}" if len(methods) > 1 else METHODS[methods[0]] + ("" if methods[0] == "lbfgs" else ", {rate}")
    )


def _sequence(name: str, values: Sequence[int] | Sequence[float]) -> Block:
    """As a range where it is one."""
    steps = {after - before for before, after in pairwise(values)}
    if len(values) > 2 and len(steps) == 1 and all(isinstance(value, int) for value in values):
        step = steps.pop()
        by = f", {step}" if step != 1 else ""
        return [f"{name} = range({values[0]}, {values[-1] + 1}{by})"]
    return wrapped(f"{name} = [", [repr(value) for value in values], "]")


def _full_report(config: SweepConfig) -> Block:
    data = config.data
    score = data.scoring.score_title
    if data.task_kind == "classification":
        lines = ["    score = full.score(inputs, targets)"]
    else:
        lines = ["    score = 1 - ((inputs @ weight - targets) ** 2).mean() / targets.var()"]
    return [
        'parts = [("train", x_train, y_train), ("test", x_test, y_test)]',
        "for name, inputs, targets in parts:",
        *lines,
        f'    print(f"full model, {{name}}: {score} {{score:.4f}}")',
    ]
