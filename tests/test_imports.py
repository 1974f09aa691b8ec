"""Which modules load torch and streamlit; a page that must be quick, or an engine without a screen, depends on it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import ttcore

ROOT = Path(ttcore.__file__).parent.parent
ALL = sorted(f"ttcore.{path.stem}" for path in (ROOT / "ttcore").glob("*.py") if path.stem != "__init__")
WITHOUT_TORCH = [
    f"ttcore.{name}"
    for name in (
        *("shapes", "planning", "config", "events", "engine", "cores", "datasets", "rounding", "rounding_scores"),
        *("jobs", "results", "tasks", "engine_executor", "thread_executor"),
        *("sweep_config", "sweep_plan", "sweep", "frontier", "sweep_export"),
        *("advisor", "sources", "table_store", "intake", "own_data", "comparison", "script", "script_sweep"),
        *("einsum_examples", "einsum_check", "gradient_matrix", "gradient_cores", "gradient_race"),
    )
]


def loaded_by(code: str) -> set[str]:
    """Top-level modules that a fresh process has loaded after this code."""
    program = f"import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


@pytest.mark.parametrize("module", ["ttcore", *WITHOUT_TORCH])
def test_is_quick_to_import(module):
    loaded = loaded_by(f"import {module}")
    assert "ttcore" in loaded
    assert not loaded & {"torch", "streamlit", "sklearn"}


def test_nothing_in_ttcore_loads_streamlit():
    loaded = loaded_by("\n".join(f"import {module}" for module in ALL))
    assert "torch" in loaded
    assert "streamlit" not in loaded


def test_the_check_can_fail():
    # That it sees torch, the test above shows.
    assert "streamlit" in loaded_by("import streamlit")


def test_every_public_name_is_there():
    for name in ttcore.__all__:
        assert getattr(ttcore, name).__class__ is not None
        assert name in dir(ttcore)
    assert set(ttcore.__all__) == set(ttcore._HOMES)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ttcore.nothing


@pytest.mark.parametrize("first", ["run_settings", "sweep_settings", "data_tables", "form", "session"])
def test_shared_page_code_can_be_imported_from_anywhere(first):
    """Whichever of them comes first: a circle shows only from one side."""
    assert "streamlit" in loaded_by(f"import dashboard.{first}")
