"""What holds for the project as a whole: its dependencies, its lock file, its scripts, its pages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK: dict[str, Any] = tomllib.loads((ROOT / "uv.lock").read_text())
SCRIPTS = ["scripts/run", "scripts/test", "scripts/check", "scripts/gen", ".ci/run"]
PAGES = sorted(path.relative_to(ROOT) for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def requirements() -> dict[str, str]:
    """Return the floor of every direct dependency, by name."""
    lines = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]]
    return dict(line.split(">=") for line in lines)


def numbers(version: str) -> tuple[int, ...]:
    """Return a version's leading numbers, to compare."""
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def test_every_dependency_has_its_reason_and_nothing_else_has() -> None:
    """Style, Tools: each dependency has a sentence in docs/dependencies.md saying why it and not another."""
    reasons = re.findall(r"^\| `([^`]+)` \| (.+) \|$", (ROOT / "docs/dependencies.md").read_text(), re.MULTILINE)
    assert {name for name, _ in reasons} == set(requirements())
    assert all(reason.endswith(".") for _, reason in reasons)


def test_the_lock_file_meets_every_floor() -> None:
    """Style, Tools: what is tested is what the floors promise, or newer."""
    locked = {package["name"]: package["version"] for package in LOCK["package"]}
    below = {n: f for n, f in requirements().items() if numbers(locked[n]) < numbers(f)}
    assert below == {}


def test_the_lock_file_names_the_public_registry_only() -> None:
    """Issue 2, Project: the lock file works for a stranger, so it names no mirror and no local path."""
    assert {next(iter(p["source"])) for p in LOCK["package"]} == {"registry", "editable"}
    hosts = set(re.findall(r"\w+://[^/\"]+", (ROOT / "uv.lock").read_text()))
    assert hosts == {"https://pypi.org", "https://files.pythonhosted.org"}


def test_the_floors_are_those_of_the_generated_code() -> None:
    """Issue 2, Service: generated code refuses an older grpcio or protobuf, so neither may be installed."""
    generated = {path.name: path.read_text() for path in (ROOT / "authz/v1").glob("*_pb2*.py")}
    grpc = {v for text in generated.values() for v in re.findall(r"GRPC_GENERATED_VERSION = '(.+)'", text)}
    protobuf = {v for text in generated.values() for v in re.findall(r"Protobuf Python Version: (.+)", text)}
    floors = requirements()
    assert {floors["grpcio"]} == grpc
    assert {floors["protobuf"]} == protobuf


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_can_be_run_and_parsed(script: str) -> None:
    """Issue 2, Project: each script works on a fresh clone."""
    assert os.access(ROOT / script, os.X_OK)
    subprocess.run(["bash", "-n", ROOT / script], check=True)
    assert "set -euo pipefail" in (ROOT / script).read_text()


def test_a_script_says_so_when_there_is_no_python(tmp_path: Path) -> None:
    """Issue 2, Project: one clear line where Python is missing or too old."""
    old = tmp_path / "python3.9"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    command = [str(ROOT / "scripts/test"), "--version"]
    ended = subprocess.run(
        command, env={**os.environ, "AUTHZ_PYTHON": str(old)}, cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("authz: no Python 3.11 or newer found")
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.slow
def test_a_fresh_copy_prepares_its_environment_with_uv_once(tmp_path: Path) -> None:
    """Issue 2, Project: uv where present; nothing to do the second time; CI covers the way with pip."""
    copy = tmp_path / "a copy"
    for name in ("pyproject.toml", "uv.lock", "README.md", "LICENSE", "scripts/_env", "scripts/_env.py"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((ROOT / name).read_bytes())
    (copy / "authz").mkdir()
    (copy / "authz/__init__.py").touch()
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.symlink_to(Path(sys.executable).parent / "uv")
    use = 'set -euo pipefail; . "$0"; python -c "import authz, pytest; print(authz.__file__)"'
    environment = {**os.environ, "PATH": f"{uv.parent}:{os.environ['PATH']}", "AUTHZ_PYTHON": sys.executable}
    ends = [
        subprocess.run(
            ["bash", "-c", use, copy / "scripts/_env"],
            env=environment, cwd=tmp_path, check=True, capture_output=True, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    assert [end.stdout for end in ends] == [f"{copy}/authz/__init__.py\n"] * 2
    assert "with uv" in ends[0].stderr
    assert ends[1].stderr == ""


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    """Style, Documents: a page must not promise what is not there."""
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / page).read_text())
    missing = [t for t in targets if "://" not in t and not (ROOT / page.parent / t).exists()]
    assert missing == []
