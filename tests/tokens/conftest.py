"""What the tests of tokens share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.tokens.servers import authority

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of one certificate authority: reading those of the system takes longer than most tests here."""
    return authority(tmp_path_factory.mktemp("authority")).file
