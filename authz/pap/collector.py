"""A pause of the cyclic garbage collector while a policy is read and compiled.

Loading makes millions of small, acyclic values and drops few; looking for cycles among them again
and again takes a quarter of the time (10 000 rules: 4.1 s with it, 3.2 s without).
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def paused() -> Iterator[None]:
    """Keep the collector from running inside; leave it as it was found."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
