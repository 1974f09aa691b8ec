"""What every test has: a store of prepared tables of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from ttcore.machine import TABLE_FOLDER_VARIABLE

# A third of what hypothesis usually tries, so that the whole suite stays quick; laws that need more say so.
settings.register_profile("quick", max_examples=30)
settings.load_profile("quick")


@pytest.fixture(scope="session", autouse=True)
def store_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Neither the user's tables are touched, nor those of another test process; servers and workers inherit it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TABLE_FOLDER_VARIABLE, str(tmp_path_factory.mktemp("tables")))
        yield
