"""A run as a short script of its own: NumPy, torch and scikit-learn alone, and the numbers of the run. No torch here.

The data are drawn, split and scaled as ttcore.datasets does it; the layer is one torch.einsum with letters for its
shape; the start is that of ttcore.ttmatrix, and the training that of ttcore.trainer, by autograd and torch.optim.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from ttcore.config import BY_GRADIENT, DataConfig, RunConfig, TrainConfig
from ttcore.parse import show_modes
from ttcore.planning import ROWS
from ttcore.script_als import alternating_blocks
from ttcore.script_data import TABLE_FILE, DataLines, data_lines
from ttcore.script_text import (
    WIDTH,
    Block,
    core_subscripts,
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

METHODS = {
    "adam": "Adam",
    "sgd": "SGD with momentum",
    "lbfgs": "L-BFGS",
    "als": "alternating least squares",
}


def einsum_of(shape: TTShape, samples: int = 1) -> str:
    """The subscripts of a layer: samples b, input modes i, j, .., output modes I, J, .., ranks between the cores.

    "bij,kiIl,ljJm->bIJ" stands for samples (b, m_1, m_2) and two cores. Where that takes fewer products for so many
    samples, the cores come first and the samples last.
    Raises InputError for more cores than an einsum has letters for.
    """
    inputs, outputs, _ = letters(shape.num_cores)
    cores = core_subscripts(shape.num_cores)
    operands = [*cores, f"b{inputs}"] if weight_first([shape], samples) else [f"b{inputs}", *cores]
    return f"{','.join(operands)}->b{outputs}"


def script_of(config: RunConfig) -> str:
    """The script. It keeps the training losses before each update in `losses`, and prints what it has reached.

    That of a prepared table reads script_data.TABLE_FILE, whose content is script_data.table_npz.
    Raises InputError for more cores than an einsum has letters for.
    """
    train = config.train
    alternating = train.optimizer == "als"
    training = alternating_blocks(config) if alternating else training_blocks(config, Names.of(train))
    training[0] = ["# The training.", *target_lines(config), *training[0]]
    blocks = [
        *opening(_about(config), config.data, train, data_lines(config.data)),
        *_layer(config),
        *training,
        ["# What it has reached, beside the full model.", *full_model_lines(config.data), *_report(config)],
    ]
    return "\n".join([*joined(blocks), ""])


def opening(
    about: Block, data: DataConfig, train: TrainConfig, lines: DataLines, standard: Sequence[str] = ()
) -> list[Block]:
    """All before the layer: what it is, imports, device, data; standard: imports of Python's own modules."""
    classes = data.task_kind == "classification"
    imports = [*lines.imports, *(["from sklearn.linear_model import LogisticRegression"] if classes else [])]
    device = '"cuda" if torch.cuda.is_available() else "cpu"' if train.device == "auto" else f'"{train.device}"'
    # Least squares are solved in double precision, whatever the cores are kept in.
    dtype = "float64" if train.optimizer == "als" else train.dtype
    machine = [
        f"device = {device}",
        f"dtype = torch.{dtype}",
        *([f"torch.set_num_threads({train.threads})"] if train.threads else []),
        *(["torch.backends.cuda.matmul.allow_tf32 = True"] if train.tf32 and train.device != "cpu" else []),
    ]
    needs = "numpy, torch and scikit-learn" + (f", and {TABLE_FILE} beside it" if data.source == "table" else "")
    constants = [f"y = {'torch.tensor(y_train, device=device)' if classes else 'tensor(y_train)'}"]
    if classes:
        counts = "np.bincount(y_train)"
        if data.source == "table":
            # Others have some of each class on both sides.
            counts = f"np.maximum(np.bincount(y_train, minlength={data.out_features}), 0.5)"
        constants += [
            "# Added to the outputs: the logarithm of each class's share.",
            f"offset = tensor(np.log({counts} / len(y_train)))",
        ]
    return [
        [f'"""{about[0]}', *about[1:], f"Needs {needs}.", '"""'],
        *([[*standard]] if standard else []),
        ["import numpy as np", "import torch", *sorted(imports), "from torch.nn import functional"],
        machine,
        ["# The data.", *lines.lines],
        ["def tensor(array):", "    return torch.tensor(array, dtype=dtype, device=device)"],
        ["x = tensor(x_train)", *constants],
    ]


def _about(config: RunConfig) -> Block:
    shape = config.shape
    ranks = f", ranks {show_modes(shape.ranks)}" if shape.ranks else ""
    return [
        f"A tensor-train layer, {shape.in_features} -> {shape.out_features}, by {METHODS[config.train.optimizer]}.",
        "",
        f"Modes {show_modes(shape.in_modes)} -> {show_modes(shape.out_modes)}{ranks}.",
    ]


def _layer(config: RunConfig) -> list[Block]:
    shape = config.shape
    surplus = shape.padded_in_features - shape.in_features
    operands = operands_text("x", weight_first([shape], config.batch))
    call = wrapped("y = torch.einsum(", [f'"{einsum_of(shape, config.batch)}"', *operands], ")", WIDTH - 4)
    cut = f"[:, :{shape.out_features}]" if shape.padded_out_features > shape.out_features else ""
    offset = " + offset" if config.data.task_kind == "classification" else ""
    layer = [
        "def layer(x):",
        *([f"    x = functional.pad(x, (0, {surplus}))"] if surplus else []),
        f"    x = x.reshape(-1, {', '.join(map(str, shape.in_modes))})",
        *indented(call),
        f"    return y.reshape(-1, {shape.padded_out_features}){cut}{offset}",
    ]
    ranks = f" / ({' * '.join(map(str, shape.ranks))})" if shape.ranks else ""
    start = [
        "# The layer: core k is (rank, input mode, output mode, rank).",
        *wrapped("shapes = [", [tuple_text(core) for core in shape.core_shapes], "]"),
        *start_lines(config.data, config.train, str(config.train.seed), ranks, str(2 * shape.num_cores)),
    ]
    return [start, layer]


def start_lines(data: DataConfig, train: TrainConfig, seed: str, by_ranks: str, root: str) -> Block:
    """The cores of a start, of `shapes`.

    seed, by_ranks (a division by the product of the ranks) and root (twice the number of cores): as they stand in the
    script.
    """
    if train.init == "unit":
        scaled = ["cores = [core / torch.linalg.vector_norm(core) for core in cores]"]
    else:
        fans = f"{data.in_features} + {data.out_features}" if train.init == "glorot" else f"{data.in_features}"
        variance = f"2 / ({fans})" if train.init == "glorot" else f"2 / {fans}"
        scaled = [
            f"# The variance of the dense weight is {variance}.",
            f"deviation = ({variance}{by_ranks}) ** (1 / {root})",
            "cores = [deviation * core for core in cores]",
        ]
    gradient = "" if train.optimizer == "als" else ".requires_grad_()"
    return [
        f"rng = torch.Generator().manual_seed({seed})",
        "cores = [torch.randn(shape, generator=rng, dtype=torch.float64) for shape in shapes]",
        *scaled,
        f"cores = [core.to(device, dtype){gradient} for core in cores]",
    ]


def full_model_lines(data: DataConfig) -> Block:
    if data.task_kind == "regression":
        return ["weight = np.linalg.lstsq(x_train, y_train, rcond=None)[0]"]
    return [
        "# The page chooses C by cross-validation on the training samples.",
        "full = LogisticRegression(C=1.0, max_iter=1000).fit(x_train, y_train)",
    ]


def outputs_text(data: DataConfig) -> str:
    """The layer's outputs for `inputs`, a part's samples; in pieces where they are many."""
    pieces = ceil(max(data.train_samples, data.test_samples) / ROWS)
    if pieces == 1:
        return "layer(tensor(inputs))"
    return f"torch.cat([layer(tensor(part)) for part in np.array_split(inputs, {pieces})])"


def _report(config: RunConfig) -> Block:
    data = config.data
    outputs = f"    outputs = {outputs_text(data)}.double().cpu()"
    if data.task_kind == "regression":
        body = [
            "with torch.no_grad():",
            f"{outputs}.numpy()",
            "loss = ((outputs - targets) ** 2).mean()",
            "full = ((inputs @ weight - targets) ** 2).mean()",
            "r2, full_r2 = 1 - loss / targets.var(), 1 - full / targets.var()",
            'print(f"{name}: loss {loss:.7g}, R² {r2:.6f}; full model R² {full_r2:.6f}")',
        ]
    else:
        body = [
            "with torch.no_grad():",
            outputs,
            "loss = functional.cross_entropy(outputs, torch.tensor(targets))",
            "accuracy = (outputs.argmax(1).numpy() == targets).mean()",
            "full_accuracy = full.score(inputs, targets)",
            'print(f"{name}: loss {loss:.7g}, accuracy {accuracy:.6f}", end="; ")',
            'print(f"full model accuracy {full_accuracy:.6f}")',
        ]
    return [
        *(['print(f"{len(losses)} losses, the last {losses[-1]:.7g}")'] if _may_end_early(config.train) else []),
        'parts = [("train", x_train, y_train), ("test", x_test, y_test)]',
        "for name, inputs, targets in parts:",
        *indented(body),
        f"count, dense = sum(core.numel() for core in cores), {data.in_features} * {data.out_features}",
        'print(f"{count:,} parameters for {dense:,}: compression {dense / count:.4g}")',
    ]


def _may_end_early(train: TrainConfig) -> bool:
    return train.target is not None or train.optimizer not in BY_GRADIENT
