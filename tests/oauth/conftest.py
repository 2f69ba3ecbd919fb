"""A development issuer for each test, and its clock."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.oauth.support import Browser, Clock, issuing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from authz.oauth.dev_issuer.http import DevIssuer


@pytest.fixture
def clock() -> Clock:
    """Return the issuer's clock."""
    return Clock(time.time())


@pytest.fixture
def served(clock: Clock) -> Iterator[tuple[DevIssuer, Browser]]:
    """Serve a development issuer."""
    with issuing(clock) as both:
        yield both


@pytest.fixture
def issuer(served: tuple[DevIssuer, Browser]) -> DevIssuer:
    """Return the development issuer."""
    return served[0]


@pytest.fixture
def browser(served: tuple[DevIssuer, Browser]) -> Browser:
    """Return a browser before it."""
    return served[1]
