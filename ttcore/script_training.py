"""The training of a run as lines of a script: by autograd and torch.optim. No torch here.

They take the tensors x and y (the training samples), `layer` and its `cores`, and keep the training loss before each
update in `losses`. Orders, rates and ends are those of ttcore.trainer and of the methods that it calls.
"""

from __future__ import annotations

from dataclasses import dataclass

from ttcore.config import RunConfig, TrainConfig
from ttcore.planning import LBFGS_HISTORY
from ttcore.script_text import WIDTH, Block, indented, wrapped

LOSSES = {"regression": "functional.mse_loss", "classification": "functional.cross_entropy"}
# Between two looks at the accuracy, as ttcore.trainer takes them.
_LOOK_EVERY = 25


@dataclass(frozen=True)
class Names:
    """The rate and the seed as they stand in the script, and how wide the lines may become."""

    rate: str
    seed: str
    width: int = WIDTH

    @classmethod
    def of(cls, train: TrainConfig) -> Names:
        return cls(repr(train.lr), str(train.seed))


def training_blocks(config: RunConfig, names: Names) -> list[Block]:
    """For every method but alternating least squares; `target_lines` come before them."""
    if config.train.optimizer == "lbfgs":
        return _lbfgs(config, names)
    return [_by_gradient(config, names)]


def loop(steps: int, body: Block) -> Block:
    """The steps; they have a number where it is used."""
    numbered = any("step %" in line or "(step" in line for line in body)
    return [f"for {'step' if numbered else '_'} in range({steps}):", *indented(body)]


def target_lines(config: RunConfig) -> Block:
    """The score that is enough, if there is one."""
    if config.train.target is None:
        return []
    lines = [f"target = {config.train.target!r}  # the training {config.data.scoring.score_title} that is enough"]
    return lines if config.data.task_kind == "classification" else [*lines, "spread = y_train.var()"]


def met_lines(config: RunConfig) -> Block:
    """The end that the target makes, looked for when and how ttcore.trainer does it."""
    if config.train.target is None:
        return []
    classes = config.data.task_kind == "classification"
    if not classes and not config.is_batched:
        return ["if 1 - losses[-1] / spread >= target:", "    break"]
    when = "place == 0" if config.is_batched else f"step % {_LOOK_EVERY} == 0"
    score = "(layer(x).argmax(1) == y).double().mean()"
    if not classes:
        score = "1 - functional.mse_loss(layer(x), y).item() / spread"
    look = ["with torch.no_grad():", f"    score = {score}", "if score >= target:", "    break"]
    return [f"if {when}:", *indented(look)]


def _by_gradient(config: RunConfig, names: Names) -> Block:
    train = config.train
    samples = "layer(x[rows]), y[rows]" if config.is_batched else "layer(x), y"
    body = [
        *(_rows(config, names.seed) if config.is_batched else []),
        f"loss = {LOSSES[config.data.task_kind]}({samples})",
        "losses.append(loss.item())",
        *met_lines(config),
        "optimizer.zero_grad()",
        "loss.backward()",
        *_shrinking(train),
        "optimizer.step()",
    ]
    lines = _optimizer(train, names)
    if train.schedule == "decay":
        falling = f"lambda step: min(1, ({train.steps} - step) / {train.steps * train.decay_fraction:.17g})"
        head = "scheduler = torch.optim.lr_scheduler.LambdaLR("
        lines += wrapped(head, ["optimizer", falling], ")", names.width)
        body += ["scheduler.step()"]
    return [*lines, "losses = []  # before each update", *loop(train.steps, body)]


def _optimizer(train: TrainConfig, names: Names) -> Block:
    match train.optimizer:
        case "adam" if train.weight_decay:
            call, arguments = "AdamW", [f"lr={names.rate}", f"weight_decay={train.weight_decay!r}"]
        case "adam":
            call, arguments = "Adam", [f"lr={names.rate}"]
        case "sgd":
            call, arguments = "SGD", [f"lr={names.rate}", f"momentum={train.momentum!r}"]
        case _:
            call, arguments = "LBFGS", _SEARCH
    return wrapped(f"optimizer = torch.optim.{call}(", ["cores", *arguments], ")", names.width)


_SEARCH = [
    *("lr=1", "max_iter=1", "max_eval=25", "tolerance_grad=0", "tolerance_change=0"),
    *(f"history_size={LBFGS_HISTORY}", 'line_search_fn="strong_wolfe"'),
]


def _shrinking(train: TrainConfig) -> Block:
    if train.optimizer != "sgd" or not train.weight_decay:
        return []
    return [
        "# Weight decay apart from the gradient, as AdamW does it.",
        f'kept = 1 - optimizer.param_groups[0]["lr"] * {train.weight_decay!r}',
        "with torch.no_grad():",
        "    for core in cores:",
        "        core *= kept",
    ]


def _rows(config: RunConfig, seed: str) -> Block:
    """The samples of a step."""
    samples, size = config.data.train_samples, config.batch
    return [
        f"epoch, place = divmod(step, {samples // size})",
        "if place == 0:",
        f"    order = np.random.default_rng([{seed}, epoch]).permutation({samples})",
        f"rows = torch.from_numpy(order[place * {size} : (place + 1) * {size}])",
    ]


def _lbfgs(config: RunConfig, names: Names) -> list[Block]:
    closure = [
        "def closure():",
        "    optimizer.zero_grad()",
        f"    loss = {LOSSES[config.data.task_kind]}(layer(x), y)",
        "    loss.backward()",
        "    return loss",
    ]
    if config.train.target is None:
        step = ["losses.append(optimizer.step(closure).item())"]
    else:
        step = ["losses.append(closure().item())", *met_lines(config), "optimizer.step(closure)"]
    body = [
        "before = [core.detach().clone() for core in cores]",
        *step,
        "if all(map(torch.equal, before, cores)):",
        "    break  # no step leads to a lower loss any more",
    ]
    head = [*_optimizer(config.train, names), "losses = []  # before each update"]
    return [head, closure, loop(config.train.steps, body)]
