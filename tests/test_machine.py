"""What the machine has free, read from a made-up system."""

from pathlib import Path

import pytest

from ttcore import machine


def test_this_machine_has_something() -> None:
    assert machine.processors() >= 1
    assert machine.free_memory() > 0


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"memory.max": "1000\n", "memory.current": "600\n", "memory.stat": "anon 1\ninactive_file 250\n"}, 650),
        ({"memory.max": "1000\n", "memory.current": "1600\n", "memory.stat": "anon 1\n"}, 0),
        ({"memory.max": "max\n", "memory.current": "600\n", "memory.stat": ""}, None),
        ({}, None),
    ],
)
def test_a_container_s_limit_counts(
    files: dict[str, str], expected: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(machine, "_CONTROL_GROUP", tmp_path)
    monkeypatch.setattr(machine, "_available", lambda: 10_000)
    assert machine.free_memory() == (10_000 if expected is None else expected)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (512, "512 bytes"), (1536, "1.5 KiB"), (3 * 2**30, "3.0 GiB"), (2**50, "1,024.0 TiB")],
)
def test_bytes_are_shown_as_a_person_reads_them(count: int, text: str) -> None:
    assert machine.show_bytes(count) == text
