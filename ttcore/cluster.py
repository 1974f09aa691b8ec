"""A Dask cluster as an executor of sweeps. Importing this loads neither torch nor dask; `connect` loads dask.

A scheduler and its workers are trusted: what goes to and fro is pickled, and whoever can send a pickle can run code
here. So the scheduler's address comes from the server's configuration or the command line alone, never from a page, an
address in a browser or a file that somebody sent.
"""

from __future__ import annotations

import hashlib
import logging
import re
import socket
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, InvalidStateError
from contextlib import suppress
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ttcore import tasks
from ttcore.checks import shown
from ttcore.control import Control
from ttcore.errors import InputError
from ttcore.results import RunResult

_ADDRESS = re.compile(r"(?:tcp://)?(?P<host>[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>\d{1,5})/?")
_START = "start one with `dask scheduler`, or correct the address"
_LOST = "the connection to the Dask scheduler is lost; see whether it still runs"
# A worker looks this often whether its chunk is still wanted, and a client whether it is still connected. Seconds.
_LOOK_EVERY = 0.2
# What these say about a connection that fails is said in the error; what they say later, in the futures.
_NOISY = ("distributed", "distributed.client", "distributed.comm", "distributed.core", "tornado.application", "asyncio")


class Cluster:
    """A connection to a Dask cluster.

    executor: takes the functions of ttcore.tasks, and any other that the workers can import. Cancelling the future of
        a chunk ends it on its worker within a moment.
    width: how many chunks to give it at once: two for every worker thread, so that none waits for the next one.
    threads: the worker threads, each of which trains one chunk at a time.
    description: "2 workers at tcp://10.0.0.5:8786".
    """

    def __init__(self, client: Any, address: str, workers: int, threads: int) -> None:
        self._client = client
        self.threads = threads
        self.width = max(2, 2 * threads)
        self.description = f"{workers} {'worker' if workers == 1 else 'workers'} at {address}"
        self.executor: Executor = _ClusterExecutor(client)

    def close(self) -> None:
        """End the connection; chunks that are not done are cancelled. The cluster goes on."""
        self.executor.shutdown(wait=False, cancel_futures=True)
        _close(self._client)


def connect(address: str, seconds: float = 4.0) -> Cluster:
    """Connect to the Dask scheduler at an address such as tcp://10.0.0.5:8786.

    seconds: how long it may take to answer, its workers included.
    Raises InputError for the field "scheduler": for what is no address, without the package distributed, where no
    scheduler answers in time, where it has no workers, and for workers with other versions of ttcore or torch.
    """
    deadline = time.monotonic() + seconds
    address = _checked(address)
    if find_spec("distributed") is None:
        raise InputError(
            "a Dask cluster needs the package distributed, which is not installed; install it with "
            "`pip install -r requirements-cluster.txt`",
            "scheduler",
        )
    attempt = _Attempt(address, deadline)
    threading.Thread(target=attempt.run, name="ttcore-connect", daemon=True).start()
    return attempt.wait()


class _Attempt:
    """One connection in the making. A thread of its own makes it, since not all of it can be given a time limit."""

    def __init__(self, address: str, deadline: float) -> None:
        self._address = address
        self._deadline = deadline
        self._lock = threading.Lock()
        self._answer: Future[Cluster] = Future()
        self._late = False
        # What to say if there is no answer in time.
        self._unanswered = _unanswered(address, "something listens there, and says nothing that a scheduler would say")

    def wait(self) -> Cluster:
        with suppress(TimeoutError):
            return self._answer.result(max(0.1, self._deadline - time.monotonic()))
        with self._lock:
            if self._answer.done():
                return self._answer.result()
            self._late = True
        raise self._unanswered

    def run(self) -> None:
        client = None
        try:
            self._knock()
            client = self._client()
            cluster = self._checked_cluster(client)
        except Exception as error:
            if client is not None:
                _close(client)
            self._settle(error if isinstance(error, InputError) else self._unanswered)
        else:
            if not self._settle(cluster):
                _close(client)

    def _settle(self, answer: Cluster | InputError) -> bool:
        """Whether somebody still waits for it."""
        with self._lock:
            if self._late:
                return False
            if isinstance(answer, InputError):
                self._answer.set_exception(answer)
            else:
                self._answer.set_result(answer)
            return True

    def _left(self) -> float:
        return max(0.1, self._deadline - time.monotonic())

    def _knock(self) -> None:
        """Whether anything listens there, before the second that it takes to load dask."""
        host, port = _host_and_port(self._address)
        try:
            socket.create_connection((host, port), timeout=self._left()).close()
        except OSError as error:
            raise _unanswered(self._address, (error.strerror or str(error) or "no answer").lower()) from None

    def _client(self) -> Any:
        from distributed import Client

        _quiet()
        with warnings.catch_warnings():
            # Of versions that differ, those that matter are checked below.
            warnings.simplefilter("ignore")
            return Client(self._address, timeout=self._left(), set_as_default=False, name="ttcore")

    def _checked_cluster(self, client: Any) -> Cluster:
        threads = client.nthreads()
        if not threads:
            raise InputError(
                f"the Dask scheduler at {self._address} has no workers yet; start some with "
                f"`dask worker {self._address}`, the project's folder on their PYTHONPATH",
                "scheduler",
            )
        self._unanswered = InputError(
            f"the Dask scheduler at {self._address} answers, and not all of its {len(threads)} workers do; "
            "restart those that hang",
            "scheduler",
        )
        _check_versions(client.run(versions, on_error="return"))
        return Cluster(client, self._address, len(threads), sum(threads.values()))


def _checked(address: str) -> str:
    """The address in full; raises InputError unless it is one."""
    match = _ADDRESS.fullmatch(address.strip()) if isinstance(address, str) else None
    if not match or not 0 < int(match["port"]) < 2**16:
        raise InputError(
            f"scheduler must be an address such as tcp://127.0.0.1:8786, and {shown(address)} is not", "scheduler"
        )
    return f"tcp://{match['host']}:{int(match['port'])}"


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    return host.strip("[]"), int(port)


def _unanswered(address: str, why: str) -> InputError:
    return InputError(f"no Dask scheduler answers at {address} ({why}); {_START}", "scheduler")


def _quiet() -> None:
    for name in _NOISY:
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.CRITICAL))


def _close(client: Any) -> None:
    # It may find the connection lost or half made, which is what is wanted.
    with suppress(Exception):
        client.close(timeout=1)


# ---- what workers must have -----------------------------------------------------------------------------------------


def versions() -> dict[str, str]:
    """What must be the same here and on a worker for the same numbers; loads no torch."""
    try:
        # The part after "+" says for which devices it was built, which may differ.
        torch = metadata.version("torch").partition("+")[0]
    except metadata.PackageNotFoundError:
        torch = ""
    return {"ttcore": _fingerprint(), "torch": torch}


@cache
def _fingerprint() -> str:
    """The package's code in short: equal only if every module is."""
    code = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        code.update(path.name.encode() + path.read_bytes())
    return code.hexdigest()[:12]


def _check_versions(answers: dict[str, Any]) -> None:
    """Raises InputError for the first worker whose answer is not the one that is given here."""
    here = versions()
    for worker, there in answers.items():
        if isinstance(there, Exception):
            # The worker could not even read what it was asked, which arrives as an exception of its text.
            if "No module named 'ttcore'" in str(there):
                fault = "cannot import ttcore"
            elif "ttcore" in str(there):
                fault = "has another version of ttcore"
            else:
                fault = f"cannot be asked for its versions ({type(there).__name__}: {there})"
        elif there["torch"] != here["torch"]:
            found = f"torch {there['torch']}" if there["torch"] else "no torch"
            raise InputError(
                f"the Dask worker {worker} has {found}, and here it is {here['torch']}; install torch "
                f"{here['torch']} for it and start it again",
                "scheduler",
            )
        elif there["ttcore"] != here["ttcore"]:
            fault = f"has another version of ttcore ({there['ttcore']}, and here it is {here['ttcore']})"
        else:
            continue
        raise InputError(
            f"the Dask worker {worker} {fault}; start the workers with this project's folder on their PYTHONPATH",
            "scheduler",
        )


# ---- chunks on workers ----------------------------------------------------------------------------------------------


class _ClusterExecutor(Executor):
    """The client's own executor, but for chunks: these end when they are cancelled."""

    def __init__(self, client: Any) -> None:
        self._client = client
        # A chunk that is asked for again after it was lost must not be answered with what became of it before.
        self._executor = client.get_executor(pure=False)
        self._lock = threading.Lock()
        self._open: set[Future[Any]] = set()
        self._shut = threading.Event()
        threading.Thread(target=self._watch, name="ttcore-watch", daemon=True).start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self._lost:
            raise ConnectionError(_LOST)
        future = self._executor.submit(train_chunk_here if fn is tasks.train_chunk else fn, *args, **kwargs)
        with self._lock:
            self._open = {one for one in self._open if not one.done()} | {future}
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._shut.set()
        with suppress(Exception):
            self._executor.shutdown(wait=wait and not cancel_futures)

    @property
    def _lost(self) -> bool:
        return self._client.status not in ("running", "connecting")

    def _watch(self) -> None:
        """A client closes by itself once the scheduler is gone, and what it is given meanwhile it never answers."""
        while not self._shut.wait(_LOOK_EVERY):
            if self._lost:
                with self._lock:
                    waiting, self._open = self._open, set()
                for future in waiting:
                    with suppress(InvalidStateError):
                        future.set_exception(ConnectionError(_LOST))


def train_chunk_here(configs: Sequence[Any], threads: int | None = None) -> list[RunResult]:
    """tasks.train_chunk in a thread of a Dask worker, which ends when nobody waits for it any more."""
    from distributed import Reschedule, get_worker

    from ttcore.chunks import train_in_steps

    worker = get_worker()
    key = worker.get_current_task()
    control, done = Control(), threading.Event()

    def look() -> None:
        while not done.wait(_LOOK_EVERY):
            task = worker.state.tasks.get(key)
            if task is None or task.state == "cancelled":
                control.stop()
                return

    threading.Thread(target=look, name="ttcore-look", daemon=True).start()
    try:
        for message in train_in_steps(configs, threads, control=control):
            if "value" in message:
                return message["value"]
    finally:
        done.set()
    # Nobody waits for it, unless it has been asked for again in the meantime.
    raise Reschedule
