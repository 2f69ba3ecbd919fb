"""Let a package offer names of its modules without importing them before somebody asks."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def names_of(package: str, homes: Mapping[str, tuple[str, ...]], extra: str = "") -> Callable[[str], object]:
    """Return the `__getattr__` of a package whose names are at home in these modules.

    `extra` is what has to be installed for them, beside authz itself; who has not is told so.
    """

    def load(name: str) -> object:
        for module, names in homes.items():
            if name in names:
                try:
                    return getattr(import_module(module), name)
                except ModuleNotFoundError as error:
                    if not extra or (error.name or "").startswith("authz."):
                        raise
                    told = f"`{package}` needs `{error.name}`: pip install 'authz[{extra}]'"
                    raise ModuleNotFoundError(told, name=error.name) from None
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return load
