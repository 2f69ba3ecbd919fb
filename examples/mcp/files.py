"""What `run.py filesystem` sets up: files of two tenants, a policy about them, and a directory that knows more."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

HERE: Final = Path(__file__).resolve().parent
POLICY: Final = HERE.parent.parent / "policies" / "filesystem" / "filesystem.authz"
USUAL: Final = "/srv/files"
"""Where the policy expects the files."""
_FIRST: Final = {
    "acme/home/alice/notes.md": "Buy milk.\n",
    "acme/home/alice/.env": "KEY=not-for-tools\n",
    "acme/home/bob/diary.md": "Dear diary.\n",
    "acme/shared/plan.md": "Three products.\n",
    "acme/secrets/db.txt": "not-for-tools\n",
    "globex/home/carol/todo.md": "Call Alice.\n",
    "globex/shared/report.md": "Globex met on Tuesday.\n",
}


class Prepared(NamedTuple):
    """Where everything is."""

    files: Path
    policies: Path


def prepare(folder: Path) -> Prepared:
    """Write the files and the policy into a folder."""
    files, policies = folder.resolve() / "files", folder / "policies"
    for name, text in _FIRST.items():
        (files / name).parent.mkdir(parents=True, exist_ok=True)
        (files / name).write_text(text, encoding="utf-8")
    policies.mkdir()
    # What the policy compares in lower case is compared with a folder in lower case.
    text = POLICY.read_text(encoding="utf-8")
    text = text.replace(f'lower(args.path) under "{USUAL}', f'lower(args.path) under "{str(files).lower()}')
    (policies / POLICY.name).write_text(text.replace(USUAL, str(files)), encoding="utf-8")
    return Prepared(files, policies)
