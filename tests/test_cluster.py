"""Sweeps on a Dask cluster of real processes on this machine, and all the ways in which there is none."""

from __future__ import annotations

import copy
import csv
import io
import logging
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from shlex import split
from typing import Any

import numpy as np
import pytest

import ttcore
from tests.tables import same_arrays, tiny
from ttcore import Engine, InputError, SweepConfig, cluster, tasks
from ttcore.__main__ import main
from ttcore.cluster import Cluster, connect
from ttcore.engine_executor import EngineExecutor
from ttcore.results import RunResult
from ttcore.sweep import Sweep, SweepSnapshot
from ttcore.sweep_config import Factorization
from ttcore.thread_executor import ThreadExecutor

ROOT = Path(ttcore.__file__).parent.parent
PATIENCE = 60.0
# What a person waits for at most before it is clear that there is no cluster.
PROMISED = 5.0
TINY = tiny()
SWEEP = SweepConfig(
    data=TINY.data,
    train=TINY.train,
    factorizations=(Factorization((3, 4), (2, 2)), Factorization((12, 1), (1, 4))),
    ranks=(1, 2, 3, 4),
    seeds=(0, 1, 2),
    optimizers=("adam", "als"),
)
ENDLESS = [tiny(steps=10_000_000).to_json()]


class Processes:
    """A scheduler and workers as programs of their own, on the loopback interface alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[subprocess.Popen[bytes]] = []
        self.logs: list[Path] = []
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        self._start("scheduler", "--port", self.address.rpartition(":")[2])
        until(lambda: listens(self.address))

    def worker(self, *, knows_ttcore: bool = True) -> subprocess.Popen[bytes]:
        return self._start(
            *("worker", self.address, "--nthreads", "1", "--no-nanny", "--local-directory", str(self._folder)),
            knows_ttcore=knows_ttcore,
        )

    def _start(self, *arguments: str, knows_ttcore: bool = True) -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        if knows_ttcore:
            environment["PYTHONPATH"] = str(ROOT)
        self.logs.append(self._folder / f"{len(self.logs)}.log")
        with self.logs[-1].open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *arguments, "--host", "127.0.0.1", "--no-dashboard"],
                cwd=self._folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._started.append(process)
        return process

    def close(self) -> None:
        for process in reversed(self._started):
            process.kill()
            process.wait()


def listens(address: str) -> bool:
    host, port = address.removeprefix("tcp://").split(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def until(what: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE
    while not what() and time.monotonic() < end:
        time.sleep(0.02)
    assert what()


def connected(address: str, workers: int) -> Cluster:
    """A connection to a cluster that has all its workers."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            found = connect(address)
        except InputError as error:
            assert "has no workers yet" in str(error)
            continue
        if found.threads == workers:
            return found
        found.close()
    raise AssertionError("the workers did not come")


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """A scheduler with two workers."""
    started = Processes(tmp_path_factory.mktemp("dask"))
    for _ in range(2):
        started.worker()
    yield started
    started.close()


@pytest.fixture(scope="module")
def two_workers(processes: Processes) -> Iterator[Cluster]:
    found = connected(processes.address, 2)
    yield found
    found.close()


@pytest.fixture(scope="module")
def expected() -> SweepSnapshot:
    """The sweep as a thread of this process does it."""
    return done(SWEEP, ThreadExecutor())


def done(config: SweepConfig, executor: Any, width: int = 1) -> SweepSnapshot:
    sweep = Sweep(config, executor, width=width).start()
    assert sweep.wait(PATIENCE)
    return sweep.snapshot()


def numbers(result: RunResult) -> tuple[Any, ...]:
    return (result.config, result.stop_reason, result.steps, result.train, result.test, result.best, result.best_test)


def assert_same(one: SweepSnapshot, other: SweepSnapshot) -> None:
    assert one.failures == other.failures == {}
    assert one.baselines == other.baselines
    assert sorted(one.results) == sorted(other.results) == list(range(len(one.plan.runs)))
    for place, left in one.results.items():
        right = other.results[place]
        assert numbers(left) == numbers(right)
        assert same_arrays(left.cores, right.cores) and np.array_equal(left.losses, right.losses)


# ---- no cluster -----------------------------------------------------------------------------------------------------


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """Connects and gives the refusal, which comes in time and is all that is said."""

    def ask(address: str) -> str:
        began = time.monotonic()
        with pytest.raises(InputError) as refusal:
            connect(address)
        assert time.monotonic() - began < PROMISED
        assert refusal.value.field == "scheduler"
        assert capfd.readouterr() == ("", "")
        return str(refusal.value)

    return ask


@pytest.mark.parametrize(
    "address", ["", "nonsense", "tcp://127.0.0.1", "http://127.0.0.1:8786", "127.0.0.1:0", "127.0.0.1:65536", "a b:1"]
)
def test_what_is_no_address(address, refused):
    message = refused(address)
    assert repr(address) in message and "tcp://127.0.0.1:8786" in message


def test_nothing_listens(refused):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert f"no Dask scheduler answers at tcp://127.0.0.1:{port} (connection refused)" in refused(f"127.0.0.1:{port}")


def test_a_name_that_nobody_has(refused):
    assert "no Dask scheduler answers at tcp://nowhere.invalid:8786" in refused("tcp://nowhere.invalid:8786")


def test_something_that_never_answers(refused):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "no Dask scheduler answers" in refused(f"tcp://127.0.0.1:{silent.getsockname()[1]}")


def test_something_else_that_answers(refused):
    talks: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                talks.append(server.accept()[0])
                talks[-1].sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            except OSError:
                if server.fileno() < 0:
                    return

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        assert "no Dask scheduler answers" in refused(f"127.0.0.1:{server.getsockname()[1]}")
        server.shutdown(socket.SHUT_RDWR)
    thread.join(PATIENCE)
    for talk in talks:
        talk.close()


def test_without_the_package_it_names_what_to_install(monkeypatch, refused):
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    assert "pip install -r requirements-cluster.txt" in refused("127.0.0.1:8786")
    assert "distributed" in (ROOT / "requirements-cluster.txt").read_text()


def test_importing_it_loads_neither_torch_nor_dask():
    program = "import sys, ttcore.cluster\nprint(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "ttcore.cluster" in out.split()
    assert not {"torch", "distributed", "dask"} & set(out.split())


def test_no_workers_and_workers_without_the_project(tmp_path, refused):
    bare = Processes(tmp_path)
    try:
        assert f"{bare.address} has no workers yet" in refused(bare.address)
        bare.worker(knows_ttcore=False)
        until(lambda: "Registered to" in bare.logs[-1].read_text())
        message = refused(bare.address)
        assert re.search(r"worker tcp://127\.0\.0\.1:\d+ cannot import ttcore", message) and "PYTHONPATH" in message
        [worker] = re.findall(r"worker (\S+) cannot", message)
        assert f"no Dask scheduler answers at {worker}" in refused(worker)
    finally:
        bare.close()


# ---- other versions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "words"),
    [
        ({"ttcore": "0"}, "has another version of ttcore (0, and here it is "),
        ({"torch": "1.13.1"}, "has torch 1.13.1, and here it is "),
        ({"torch": ""}, "has no torch"),
        (Exception("ModuleNotFoundError(\"No module named 'ttcore'\")"), "cannot import ttcore"),
        (Exception("AttributeError(\"... 'versions' on <module 'ttcore.cluster'>\")"), "another version of ttcore"),
        (OSError("gone"), "cannot be asked for its versions (OSError: gone)"),
    ],
)
def test_a_worker_of_another_version_is_named(there, words):
    answers = {"tcp://10.0.0.5:1": cluster.versions(), "tcp://10.0.0.6:1": there}
    if isinstance(there, dict):
        answers["tcp://10.0.0.6:1"] = cluster.versions() | there
    with pytest.raises(InputError) as refusal:
        cluster._check_versions(answers)
    assert str(refusal.value).startswith("the Dask worker tcp://10.0.0.6:1 ") and words in str(refusal.value)
    cluster._check_versions({"tcp://10.0.0.5:1": cluster.versions()})


def test_any_changed_module_is_another_version(monkeypatch, tmp_path):
    def fingerprint() -> str:
        cluster._fingerprint.cache_clear()
        return cluster.versions()["ttcore"]

    monkeypatch.setattr(cluster, "__file__", str(tmp_path / "cluster.py"))
    (tmp_path / "a.py").write_text("x = 1")
    first = fingerprint()
    (tmp_path / "a.py").write_text("x = 2")
    second = fingerprint()
    (tmp_path / "a.py").write_text("x = 1")
    assert first == fingerprint() != second
    monkeypatch.undo()
    cluster._fingerprint.cache_clear()


@pytest.mark.parametrize("again", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy], ids=["pickle", "copy"])
def test_an_input_error_survives_the_way(again):
    error = again(InputError("lr must be a number", "lr"))
    assert type(error) is InputError and (str(error), error.field) == ("lr must be a number", "lr")


# ---- the law --------------------------------------------------------------------------------------------------------


def test_a_cluster_says_what_it_is(two_workers, processes):
    assert two_workers.description == f"2 workers at {processes.address}"
    assert (two_workers.threads, two_workers.width) == (2, 4)
    assert logging.getLogger("distributed.client").level >= logging.CRITICAL


def test_the_same_sweep_is_the_same_on_a_cluster(two_workers, expected):
    assert_same(done(SWEEP, two_workers.executor, two_workers.width), expected)


def test_the_same_sweep_is_the_same_on_an_engine(expected):
    engine = Engine(threads=1)
    try:
        assert_same(done(SWEEP, EngineExecutor(engine)), expected)
    finally:
        engine.close()


def test_the_command_line_gives_the_same_numbers_with_a_scheduler(two_workers, processes, capsys):
    options = split(
        "--preset planted --teacher-in-modes 3,4 --teacher-out-modes 2,2 --teacher-ranks 2 --train-samples 20 "
        "--test-samples 16 --device cpu --steps 20 --ranks 1-3 --seeds 0,1 --optimizers adam,als --low-rank --csv -"
    )

    def rows(*more: str) -> list[dict[str, str]]:
        assert main(["sweep", *options, *more]) == 0
        printed = capsys.readouterr()
        assert (f"on 2 workers at {processes.address}" in printed.err) == bool(more)
        table = list(csv.DictReader(io.StringIO(printed.out)))
        return [{name: value for name, value in row.items() if name != "seconds"} for row in table]

    assert rows("--scheduler", processes.address) == rows()


def test_the_command_line_says_that_there_is_no_scheduler(capsys):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert main(["sweep", "--scheduler", f"127.0.0.1:{port}"]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1
    assert printed.err.startswith(f"error: no Dask scheduler answers at tcp://127.0.0.1:{port}")


# ---- what goes wrong on a cluster -----------------------------------------------------------------------------------


def test_a_refusal_arrives_with_its_field_and_is_not_tried_again(two_workers, monkeypatch):
    asked: list[Any] = []
    submit = two_workers.executor.submit

    def noted(fn: Any, **arguments: Any) -> Any:
        asked.append(fn)
        return submit(fn, **arguments)

    monkeypatch.setattr(two_workers.executor, "submit", noted)
    with pytest.raises(InputError, match="unknown key 'rank'"):
        two_workers.executor.submit(tasks.train_chunk, configs=[{"rank": 1}]).result(PATIENCE)
    with pytest.raises(InputError) as refusal:
        two_workers.executor.submit(tasks.train_chunk, configs=[{"ranks": 0}]).result(PATIENCE)
    assert refusal.value.field == "ranks"
    asked.clear()
    refused = Sweep(SWEEP, two_workers.executor)
    # The configuration would not let it through; what a worker alone can tell, such as a missing GPU, comes this way.
    monkeypatch.setattr(type(refused.plan.runs[0]), "to_json", lambda run: {"rank": 1})
    refused.start()
    assert refused.wait(PATIENCE)
    assert "unknown key 'rank'" in refused.snapshot().failures[0]
    assert asked.count(tasks.train_chunk) == len(refused.plan.chunks)


def test_what_failed_is_done_anew_when_it_is_asked_for_again(two_workers, tmp_path):
    # With a key made of its arguments, the second answer would be the first one's error.
    path = tmp_path / "once"
    with pytest.raises(FileNotFoundError):
        two_workers.executor.submit(os.stat, str(path)).result(PATIENCE)
    path.write_text("now")
    assert two_workers.executor.submit(os.stat, str(path)).result(PATIENCE).st_size == 3


def test_a_cancelled_chunk_frees_its_worker(two_workers):
    endless = [two_workers.executor.submit(tasks.train_chunk, configs=ENDLESS) for _ in range(4)]
    time.sleep(0.5)
    assert not any(future.done() for future in endless)
    cancelled = [future.cancel() for future in endless]
    assert all(cancelled)
    began = time.monotonic()
    assert two_workers.executor.submit(tasks.train_chunk, configs=[TINY.to_json()]).result(PATIENCE)[0].steps == 30
    assert time.monotonic() - began < 3


def test_closing_the_connection_ends_what_it_asked_for(two_workers, processes):
    other = connect(processes.address)
    futures = [other.executor.submit(tasks.train_chunk, configs=ENDLESS) for _ in range(2)]
    time.sleep(0.3)
    other.close()
    assert all(future.cancelled() or future.exception(PATIENCE) for future in futures)
    began = time.monotonic()
    two_workers.executor.submit(tasks.train_chunk, configs=[TINY.to_json()]).result(PATIENCE)
    assert time.monotonic() - began < 3


def several_chunks(steps: int) -> SweepConfig:
    """A sweep of eleven chunks, each of which takes its time."""
    return SweepConfig(data=TINY.data, train=tiny(steps=steps).train, ranks=(1, 2, 3, 4), seeds=tuple(range(40)))


def test_a_killed_worker_loses_nothing(two_workers, processes):
    config = several_chunks(500)
    doomed = processes.worker()
    three = connected(processes.address, 3)
    try:
        sweep = Sweep(config, three.executor, width=three.width).start()
        until(lambda: all(three._client.processing().values()))
        assert sweep.snapshot().active
        os.kill(doomed.pid, signal.SIGKILL)
        assert doomed.wait(PATIENCE) == -signal.SIGKILL
        assert sweep.wait(PATIENCE)
        assert_same(sweep.snapshot(), done(config, ThreadExecutor()))
    finally:
        three.close()


def test_a_lost_scheduler_ends_the_sweep_with_what_is_done(tmp_path):
    alone = Processes(tmp_path)
    try:
        alone.worker()
        lonely = connected(alone.address, 1)
        sweep = Sweep(several_chunks(4000), lonely.executor, width=lonely.width).start()
        until(lambda: sweep.snapshot().results)
        alone.close()
        assert sweep.wait(PATIENCE)
        end = sweep.snapshot()
        assert end.results and end.failures and len(end.results) + len(end.failures) == len(end.plan.runs)
        assert "the connection to the Dask scheduler is lost" in list(end.failures.values())[-1]
        lonely.close()
    finally:
        alone.close()
