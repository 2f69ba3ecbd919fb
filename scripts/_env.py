"""Prepare `.venv` with exactly the versions in uv.lock: with uv where it is installed, with pip else.

Runs on the standard library of any Python from 3.11. Does nothing when neither pyproject.toml nor
uv.lock changed since the last time, and never removes what was added to the environment by hand.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = str(VENV / "bin" / "python")
STAMP = VENV / "authz-stamp.json"


def main() -> int:
    """Bring the environment up to date, one process at a time."""
    lock = os.open(ROOT, os.O_RDONLY)  # two scripts started together must not install into each other
    fcntl.flock(lock, fcntl.LOCK_EX)
    wanted = {"root": str(ROOT), "digest": digest()}
    found = read_stamp()
    if found == wanted and works():
        return 0
    moved = found is not None and found.get("root") != wanted["root"]  # its programs name the old place
    if VENV.exists() and (moved or not works()):
        say("the environment in .venv does not work here: making it anew")
        shutil.rmtree(VENV)
    try:
        if not install_with_uv():
            install_with_pip()
    except subprocess.CalledProcessError as error:
        say(f"could not prepare .venv: `{Path(error.cmd[0]).name} …` failed with exit code {error.returncode}")
        return 1
    STAMP.write_text(json.dumps(wanted), encoding="utf-8")
    return 0


def say(text: str) -> None:
    """Tell the person what happens, beside the answer."""
    print(f"authz: {text}", file=sys.stderr, flush=True)


def digest() -> str:
    """Return what must change for the environment to be out of date."""
    parts = (ROOT / name for name in ("pyproject.toml", "uv.lock", "scripts/_env.py"))
    return hashlib.sha256(b"\0".join(part.read_bytes() for part in parts)).hexdigest()


def read_stamp() -> dict[str, str] | None:
    """Return what the last run left, or None."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return stamp if isinstance(stamp, dict) else None


def works() -> bool:
    """Say whether the environment's Python starts and is new enough."""
    probe = [PYTHON, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
    try:
        return subprocess.run(probe, check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def install_with_uv() -> bool:
    """Let uv do it; say False where there is none, or one too old to read the lock file."""
    uv = shutil.which("uv")
    if uv is None or subprocess.run([uv, "--version"], check=False, capture_output=True).returncode:
        return False
    say(f"installing the locked packages into .venv with uv ({sys.version.split()[0]})")
    python = PYTHON if Path(PYTHON).exists() else sys.executable
    command = [uv, "sync", "--frozen", "--inexact", "--quiet", "--no-python-downloads", "--python", python]
    environment = {k: v for k, v in os.environ.items() if k not in {"VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT"}}
    if subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 0:
        return True
    say("uv could not do it: trying pip")
    return False


def install_with_pip() -> None:
    """Do what `uv sync` does with what every Python has: venv and pip, at the locked versions."""
    say(f"installing the locked packages into .venv with pip ({sys.version.split()[0]}); the first time takes a minute")
    pip = [PYTHON, "-m", "pip"]
    if not Path(PYTHON).exists() or subprocess.run([*pip, "--version"], check=False, capture_output=True).returncode:
        make = subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=False, capture_output=True, text=True)
        if make.returncode:
            say(f"{sys.executable} cannot make environments; on Debian and Ubuntu, `apt install python3-venv` helps")
            make.check_returncode()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    install = [*pip, "--disable-pip-version-check", "install", "-qq"]  # errors only
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as constraints:
        constraints.writelines(f"{line}\n" for line in locked_versions())
        constraints.flush()
        subprocess.run([*install, "--constraint", constraints.name, *wanted], check=True)
    subprocess.run([*install, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)], check=True)


def locked_versions() -> list[str]:
    """Return `name==version` for each package of uv.lock, this project aside."""
    lock = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
    return [f"{p['name']}=={p['version']}" for p in lock["package"] if "registry" in p["source"]]


if __name__ == "__main__":
    sys.exit(main())
