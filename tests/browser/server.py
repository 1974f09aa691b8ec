"""The app as a user starts it, on a free port of this machine alone."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent.parent
START_SECONDS = 60.0
END_SECONDS = 10.0


class Server:
    """A running `streamlit run app.py`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.log = log

    def url(self, path: str = "") -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    def workers(self) -> list[int]:
        """The process ids of its training processes."""
        return [pid for pid in children(self.process.pid) if "ttcore.worker" in command_line(pid)]

    def wait_until_up(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"the app ended instead of starting: {self.log.read_text()}"
            with contextlib.suppress(OSError), urllib.request.urlopen(self.url("_stcore/health"), timeout=2):
                return
            time.sleep(0.1)
        raise AssertionError(f"the app did not answer within {START_SECONDS:.0f} s")


@contextlib.contextmanager
def running_app(log: Path) -> Iterator[Server]:
    """Start the app; end it by its process id, and see that its worker goes with it and that nothing went wrong."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless", "true"]
    command += ["--server.address", "127.0.0.1", "--server.port", str(port)]
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=PROJECT, stdout=out, stderr=subprocess.STDOUT)
    server = Server(process, port, log)
    try:
        server.wait_until_up()
        yield server
        assert process.poll() is None, f"the app has ended by itself: {log.read_text()}"
    finally:
        workers = server.workers()
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    wait_until_gone(workers)
    assert "Traceback" not in log.read_text(), log.read_text()


def wait_until_gone(pids: list[int], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while alive := [pid for pid in pids if "ttcore.worker" in command_line(pid)]:
        assert time.monotonic() < deadline, f"processes {alive} outlive their server"
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if stat.read_text().rpartition(")")[2].split()[1] == str(pid):
                found.append(int(stat.parent.name))
    return found


def command_line(pid: int) -> str:
    """Nothing for a process that has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""
