"""The sweeps of a server: who started which, where they are done, and the latest of them to look at again. No torch."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from ttcore import machine
from ttcore.cluster import connect
from ttcore.engine import Engine
from ttcore.engine_executor import EngineExecutor
from ttcore.errors import InputError
from ttcore.sweep import Sweep, with_threads
from ttcore.sweep_config import SweepConfig
from ttcore.sweep_plan import SweepPlan, plan_sweep

# The latest are kept; of older ones those that still go on.
KEPT = 24


@dataclass(frozen=True)
class HeldSweep:
    """A sweep and what its server knows of it."""

    id: str
    owner: str
    number: int
    # "this machine", or the cluster.
    where: str
    sweep: Sweep
    close: Callable[[], None]


class Sweeps:
    """Starts sweeps on an engine or a cluster; all methods are safe to call from any thread.

    threads: CPU threads of every run where a sweep leaves them open.
    scheduler: the address of a Dask scheduler, from the server's configuration; empty without one.
    """

    def __init__(self, engine: Engine, threads: int, scheduler: str = "") -> None:
        self.scheduler = scheduler
        self._engine = engine
        self._threads = threads
        self._lock = threading.Lock()
        self._held: dict[str, HeldSweep] = {}
        self._started = 0

    def start(self, config: SweepConfig, owner: str, *, plan: SweepPlan | None = None, on_cluster: bool = False) -> str:
        """Begin a sweep and return its id. Raises InputError within seconds for a cluster that is not to be had."""
        config = with_threads(config, self._threads)
        if plan is None or plan.runs[0].train.threads != config.train.threads:
            plan = plan_sweep(config, machine.free_memory())
        executor: Executor
        if on_cluster:
            if not self.scheduler:
                raise InputError("this server knows no Dask scheduler; start it with TTCORE_SCHEDULER=tcp://…")
            cluster = connect(self.scheduler)
            executor, width, where, close = cluster.executor, cluster.width, cluster.description, cluster.close
        else:
            executor, width, where = EngineExecutor(self._engine), 1, "this machine"
            close = _nothing
        sweep = Sweep(config, executor, plan=plan, width=width)
        with self._lock:
            self._started += 1
            held = HeldSweep(secrets.token_urlsafe(8), owner, self._started, where, sweep, close)
            self._held[held.id] = held
            self._forget_oldest()
        sweep.start()
        if on_cluster:
            threading.Thread(target=self._close_when_done, args=(held,), daemon=True).start()
        return held.id

    def get(self, sweep_id: str) -> HeldSweep | None:
        """A sweep, or None if there is none of that id (any more)."""
        with self._lock:
            return self._held.get(sweep_id)

    def of(self, owner: str) -> list[HeldSweep]:
        """All sweeps of an owner, newest first."""
        with self._lock:
            return [held for held in reversed(self._held.values()) if held.owner == owner]

    def close(self) -> None:
        """Stop all of them."""
        with self._lock:
            held = list(self._held.values())
        for one in held:
            one.sweep.stop()
            one.close()

    def _close_when_done(self, held: HeldSweep) -> None:
        held.sweep.wait()
        held.close()

    def _forget_oldest(self) -> None:
        for held in list(self._held.values())[:-KEPT]:
            if not held.sweep.snapshot().active:
                del self._held[held.id]


def _nothing() -> None:
    pass
