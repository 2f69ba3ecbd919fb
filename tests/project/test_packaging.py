"""The wheel is what users get: build it, install it where nothing else is, and let it decide."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
POLICY = """\
tool "read_*" on "note" {
  require scope "notes:read"
  allow "own" when resource.owner == subject.id
}
"""
FLAGS = ["--subject", "alice", "--tool", "read_note", "--resource", "note:n1", "--attr", "owner=alice"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel as a release would."""
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(target)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    (built,) = target.glob("*.whl")
    return built


def test_the_wheel_holds_the_package_its_data_and_its_licence_and_nothing_else(wheel: Path) -> None:
    """Issue 2, Tests: data files and `py.typed` come along, tests and scripts stay out."""
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"authz", "authz-0.1.0.dist-info"}
    assert {"authz/py.typed", "authz/lang/grammar.lark", "authz/v1/decision_pb2.pyi"} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if "test_" in name or name.endswith((".pyc", ".orig"))]


def test_the_wheel_says_what_it_needs(wheel: Path) -> None:
    """Style, Tools: floors, no caps, and nothing that only development needs."""
    metadata = zipfile.ZipFile(wheel).read("authz-0.1.0.dist-info/METADATA").decode()
    assert "\nRequires-Python: >=3.11\n" in metadata
    assert "\nLicense-Expression: Apache-2.0\n" in metadata
    needs = re.findall(r"^Requires-Dist: (.*)$", metadata, flags=re.MULTILINE)
    assert needs
    assert not [need for need in needs if re.search("<|==|~=|pytest|mypy|ruff|tools", need.partition(";")[0])]


def test_the_wheel_decides_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    """Issue 2, Tests: the built wheel installed in an empty environment, both commands, one Check."""
    environment = tmp_path / "empty"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    programs = environment / "bin"
    install: list[str | Path] = [programs / "pip", "install", "-qq", "--disable-pip-version-check", wheel]
    subprocess.run(install, check=True, cwd=tmp_path)
    policy = tmp_path / "policies"
    policy.mkdir()
    (policy / "notes.authz").write_text(POLICY)

    evaluate: list[str | Path] = [programs / "authz-eval", "check", "--format", "json"]
    allowed = run(*evaluate, policy, *FLAGS, "--scope", "notes:read", cwd=tmp_path)
    assert (allowed.returncode, json.loads(allowed.stdout)["decision"]) == (0, "DECISION_ALLOW")
    denied = run(*evaluate, policy, *FLAGS, cwd=tmp_path)
    assert (denied.returncode, json.loads(denied.stdout)["missing_scopes"]) == (3, ["notes:read"])

    serve: list[str | Path] = [programs / "authz-server", "--policies", policy, "--listen", "127.0.0.1:0"]
    server = subprocess.Popen(serve, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    try:
        asked = run(*evaluate, "--server", address(server), *FLAGS, "--scope", "notes:read", cwd=tmp_path)
        assert (asked.returncode, json.loads(asked.stdout)["rules"]) == (0, ["notes:own"])
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=30) == 0
    finally:
        server.kill()
        server.communicate()


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run an installed command, out of reach of this tree."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(command, cwd=cwd, env=clean, check=False, capture_output=True, text=True, timeout=60)


def address(server: subprocess.Popen[str]) -> str:
    """Wait until the server's log says where it listens."""
    assert server.stderr is not None
    return next(found[0] for line in server.stderr if (found := re.search(r"127\.0\.0\.1:[1-9][0-9]*", line)))
