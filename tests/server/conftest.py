"""What the tests of the server share: a policy, and both transports for every test that starts a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.server.support import POLICY, Carrier

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from authz.server.config import Transport

SERVERS: Final = frozenset(
    {
        "test_decision_log",
        "test_drain",
        "test_enforcement_service",
        "test_following",
        "test_policy_service",
        "test_process",
        "test_reload",
        "test_service",
        "test_tokens",
        "test_transport",
        "test_whole",
    }
)
"""The modules whose tests start servers that either transport can carry."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of those modules once with each transport."""
    if metafunc.module.__name__.rpartition(".")[2] in SERVERS:
        metafunc.parametrize("transport", ["grpcio", "native"], indirect=True, scope="module")


@pytest.fixture(autouse=True, scope="module")
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    """Return what carries the calls. Issue 6: all service and hostile tests run on both."""
    Carrier.chosen = getattr(request, "param", "auto")
    yield Carrier.chosen
    Carrier.chosen = "auto"


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    """Return a directory with a policy."""
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "a.authz").write_text(POLICY)
    return folder
