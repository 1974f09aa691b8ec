"""What this machine has free: memory and processors. No torch."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

# Used where the system does not tell.
_UNKNOWN_MEMORY = 4 * 2**30
TABLE_FOLDER_VARIABLE = "TTCORE_TABLES"
_CONTROL_GROUP = Path("/sys/fs/cgroup")


def processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_memory() -> int:
    """Bytes of main memory that can be taken without swapping, a container's limit included."""
    free = _available()
    limit = _container_limit()
    return free if limit is None else min(free, limit)


def table_folder() -> Path:
    """Where prepared tables and data on disk are kept: TTCORE_TABLES, or a folder for this user's temporary files."""
    named = os.environ.get(TABLE_FOLDER_VARIABLE)
    if named:
        return Path(named)
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"ttcore-tables-{user}"


def derived_folder(what: str) -> Path:
    """Where something made from other data is kept; `what` says which data and how."""
    return table_folder() / hashlib.sha256(b"derived 1 " + what.encode()).hexdigest()[:32]


def free_disk() -> int:
    """Bytes that can be written where tables are kept."""
    folder = table_folder()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


def _available() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):
        return _UNKNOWN_MEMORY


def _container_limit() -> int | None:
    """What a control group leaves of its limit, or None without one."""
    group = _CONTROL_GROUP
    try:
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
        # Cached files count as used, and make way as soon as memory is asked for.
        fields = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return max(0, limit - used + int(fields.get("inactive_file", 0)))
    except (OSError, ValueError):
        return None


def show_bytes(count: int) -> str:
    """A byte count as a person reads it: 512 bytes, 3.2 MiB, 1.5 GiB."""
    size = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} TiB"
