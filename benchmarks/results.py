"""RESULTS.md: one section for each script, each written anew by its own script alone, with the machine it ran on."""

from __future__ import annotations

import platform
import re
from pathlib import Path

import torch

from ttcore.machine import processors

RESULTS = Path(__file__).with_name("RESULTS.md")
_MARK = "<!-- {name} -->"


def machine(device: torch.device | None = None) -> str:
    """The machine in words."""
    if device is not None and device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}, Python {platform.python_version()}"
    found = re.search(r"model name\s*:\s*(.*)", _read("/proc/cpuinfo"))
    model = found[1].strip() if found else platform.processor() or platform.machine()
    flags = re.search(r"flags\s*:\s*(.*)", _read("/proc/cpuinfo"))
    vectors = next((name for name in ("avx512f", "avx2") if flags and name in flags[1].split()), "")
    memory = re.search(r"MemTotal:\s*(\d+)", _read("/proc/meminfo"))
    parts = [f"{processors()} processors ({model}{', ' + vectors.upper() if vectors else ''})"]
    if memory:
        parts.append(f"{int(memory[1]) / 2**20:.0f} GiB")
    return ", ".join([*parts, f"torch {torch.__version__}", f"Python {platform.python_version()}"])


def write_section(name: str, title: str, text: str, device: torch.device | None = None) -> None:
    """Put a section into RESULTS.md, in place of the one of the same name or at the end; and print it."""
    section = f"## {title}\n\n{text.strip()}\n\nMeasured on: {machine(device)}.\n"
    print(section, flush=True)
    mark = _MARK.format(name=name)
    parts = re.split(r"(<!-- \S+ -->)\n", RESULTS.read_text(encoding="utf-8"))
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    sections[mark] = section
    body = "".join(f"{key}\n{value.rstrip()}\n\n" for key, value in sections.items())
    RESULTS.write_text(parts[0] + body.rstrip() + "\n", encoding="utf-8")


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""
