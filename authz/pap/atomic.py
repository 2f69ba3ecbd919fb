"""Replace a file's text at once, so that no reader ever sees half of it."""

# The care taken here needs descriptors, which pathlib does not give.
# ruff: noqa: PTH105, PTH108, PTH116, PTH118, PTH119, PTH120, PTH123
from __future__ import annotations

import contextlib
import os
import stat

from authz.errors import LoadError


def replace_text(path: str, text: str) -> None:
    """Write the text beside the file and move it into place; keeps the file's mode.

    A symbolic link stays one: what it points to is replaced. Raises `LoadError` when the text
    cannot be written; the old file is then as it was.
    """
    real = os.path.realpath(path)
    # A hidden name: a reader that meets the half-written text passes it over (L1).
    beside = os.path.join(os.path.dirname(real), f".{os.path.basename(real)}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _mode(real))
    except OSError as error:
        raise _failed(path, error) from None
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(file.fileno(), _mode(real))
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, real)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        if isinstance(error, OSError):
            raise _failed(path, error) from None
        raise


def _mode(path: str) -> int:
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def _failed(path: str, error: OSError) -> LoadError:
    problem = error.strerror or str(error)
    return LoadError(f"`{path}` cannot be written: {problem[:1].lower()}{problem[1:]}")
