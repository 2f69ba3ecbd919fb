"""Records as the server's decision log holds them, for tests of what reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from authz.audit.records import Contents, Decided, decision_record
from authz.pap.decoding import ReadFile
from authz.pap.loader import load_files
from authz.pap.replay import Line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from authz.model import Request
    from authz.pap.loader import LoadedPolicy
    from authz.pdp.program import Program

WITH_REQUESTS: Final = Contents(requests=True)
TIME: Final = 1_767_225_600_000_000_000


def loaded(files: Mapping[str, str]) -> LoadedPolicy:
    """Load a policy from the texts of its files."""
    return load_files([ReadFile(name, name, text.encode()) for name, text in files.items()])


def record(
    program: Program, request: Request, seq: int = 1, *, contents: Contents = WITH_REQUESTS, subject: str = ""
) -> str:
    """Return the line of a decision, as the log keeps it; `subject` is a pseudonym."""
    decided = Decided(request, program.decide(request), TIME + seq * 1_000_000_000, 10, f"d{seq}")
    body = decision_record(decided, contents, (lambda *_: subject) if subject else None)
    return f'{{"seq":{seq},{body[1:]}'


def log(program: Program, requests: Iterable[Request]) -> list[Line]:
    """Return the lines of a log, as a file of JSON lines would be read."""
    return [Line(seq, f"{record(program, request, seq)}\n".encode()) for seq, request in enumerate(requests, 1)]
