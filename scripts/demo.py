"""Start `authz-server` with the example policies, ask it questions as an MCP server would, and show the answers."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import grpc
import httpx2
from google.protobuf import json_format
from grpc_health.v1 import health_pb2, health_pb2_grpc

from authz.v1 import decision_pb2 as v1
from authz.v1 import decision_pb2_grpc as v1_grpc

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT: Final = Path(__file__).resolve().parent.parent
USUAL_PORT: Final = 8181
USUAL_ISSUER_PORT: Final = 9000
RESOURCE: Final = "https://documents.example/mcp"
CLIENT: Final = ("reports", "not-a-secret-for-development-only")
ISSUER: Final = f"""\
resources = ["{RESOURCE}"]
[clients.reports]
secret = "not-a-secret-for-development-only"
grants = ["client_credentials"]
scopes = ["docs:read"]
roles = ["viewer"]
tenant = "acme"
"""
TOKENS: Final = f"""\
[[issuer]]
issuer = "{{issuer}}"
audiences = ["{RESOURCE}"]
algorithms = ["RS256"]
discovery = true
insecure_loopback = true
roles = "roles"
tenant = "tenant"
"""
PATIENCE: Final = 30.0
"""Seconds that the server may take to load its policies."""
COLOUR: Final = sys.stdout.isatty() and "NO_COLOR" not in os.environ


@dataclass(frozen=True, slots=True)
class Question:
    """A request, in the JSON form of CheckRequest, and what it is about."""

    title: str
    request: dict[str, object]


def document(owner: str, tenant: str, **attributes: object) -> dict[str, object]:
    """Return a document as the document server would describe it."""
    usual = {"visibility": "private", "classification": "normal", "shared": [], "partners": [], "hold": False}
    return {"type": "document", "id": "plan", "tenant": tenant, "attributes": {"owner": owner, **usual, **attributes}}


ALICE: Final = {"subject": "alice", "tenant": "acme", "roles": ["viewer"], "scopes": ["docs:read"]}
PLAN: Final = document("alice", "acme")
OFFICE: Final = {"ip": "10.1.2.3"}


@dataclass(frozen=True, slots=True)
class Login:
    """When somebody logged in, and whether with a second factor."""

    mfa: bool
    at: datetime = field(default_factory=lambda: datetime.now(UTC) - timedelta(minutes=2))

    def context(self) -> dict[str, object]:
        """Return the context of a call made with this login."""
        return {**OFFICE, "mfa": self.mfa, "auth_time": self.at.isoformat()}


def questions() -> Sequence[Question]:
    """Return what is asked: one question for each kind of answer a newcomer should see."""
    delete = {**ALICE, "tool": "delete_document", "resource": PLAN}
    writer = {"scopes": ["docs:write"]}
    return (
        Question("Anybody asks for the time, without a login", {"anonymous": True, "tool": "get_server_time"}),
        Question(
            "Alice reads her own document",
            {**ALICE, "tool": "read_document", "resource": PLAN, "context": OFFICE},
        ),
        Question(
            "Bob, of another company, reads it too",
            {**ALICE, "subject": "bob", "tenant": "globex", "tool": "read_document", "resource": PLAN},
        ),
        Question(
            "Alice deletes it with a token for reading",
            {**delete, "context": Login(mfa=True).context()},
        ),
        Question(
            "She gets the scope, but logged in without a second factor",
            {**delete, **writer, "context": Login(mfa=False).context()},
        ),
        Question("She tries again; nobody tells authz how she logged in", {**delete, **writer, "context": OFFICE}),
        Question(
            "An agent tries to leave Alice's folder on the file server",
            {
                **ALICE,
                "scopes": ["files:read"],
                "tool": "read_text_file",
                "arguments": {"path": "/srv/files/acme/home/alice/../bob/diary.md"},
            },
        ),
    )


def main() -> int:
    """Serve, ask, show; then wait for Ctrl-C unless asked only once."""
    parser = argparse.ArgumentParser(prog="scripts/run", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the questions instead of serving on")
    once = parser.parse_args().once
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C, and takes the server along
    try:
        with ExitStack() as stack:
            place = Path(stack.enter_context(TemporaryDirectory(prefix="authz-")))
            issuer = stack.enter_context(issuing(place))
            server, address = stack.enter_context(served(place))
            ask(address, [*questions(), with_token(issuer)])
            show_log(place / "authz.db")
            if once:
                return 0
            show(f"The server goes on at {address} until Ctrl-C. Ask it from another terminal:\n")
            show(f"  .venv/bin/authz-eval check --server {address} --anonymous --tool get_server_time")
            show(f"  .venv/bin/authz-eval log tail --follow --store {place}/authz.db\n")
            return server.wait()
    except KeyboardInterrupt:
        return 0
    except DemoError as error:
        print(f"authz: {error}", file=sys.stderr)
        return 1
    except grpc.RpcError as error:
        print(f"authz: the server did not answer: {error.code().name}: {error.details()}", file=sys.stderr)
        return 1


class DemoError(Exception):
    """Raised when the server does not start; the text is for the person."""


@contextmanager
def issuing(place: Path) -> Iterator[str]:
    """Run an issuer of tokens while the block runs, as an organisation has one; yield its URL."""
    port = free_port(USUAL_ISSUER_PORT)
    issuer = f"http://127.0.0.1:{port}"
    (place / "issuer.toml").write_text(ISSUER, encoding="utf-8")
    (place / "tokens.toml").write_text(TOKENS.format(issuer=issuer), encoding="utf-8")
    command = [program("authz-server"), "dev-issuer", "--config", str(place / "issuer.toml")]
    quiet = subprocess.DEVNULL
    listen = ["--listen", f"127.0.0.1:{port}"]
    process = subprocess.Popen([*command, *listen], process_group=0, stdout=quiet, stderr=quiet)
    try:
        yield issuer
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(KeyboardInterrupt):
            process.wait()


def with_token(issuer: str) -> Question:
    """Return a question that brings a token instead of naming the caller. Raises DemoError when there is none."""
    title = "A program brings the token that its organisation's issuer gave it; nobody names the caller"
    form = {"grant_type": "client_credentials", "scope": "docs:read", "resource": RESOURCE}
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with suppress(httpx2.ConnectError):
            found = httpx2.get(f"{issuer}/.well-known/oauth-authorization-server", trust_env=False).json()
            answer = httpx2.post(found["token_endpoint"], data=form, auth=CLIENT, trust_env=False)
            return Question(
                title, {"tool": "list_documents", "token": answer.raise_for_status().json()["access_token"]}
            )
        time.sleep(0.1)
    raise DemoError("the issuer of tokens does not answer")


@contextmanager
def served(place: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run the server while the block runs; yield its process and address."""
    address = f"127.0.0.1:{free_port(USUAL_PORT)}"
    command = [program("authz-server"), "--policies", "policies", "--listen", address, "--log-level", "warning"]
    command += ["--store", str(place / "authz.db"), "--tokens", str(place / "tokens.toml")]
    show(f"Starting the server on {address} with the example policies in policies/ and a store in {place}\n")
    # A group of its own: Ctrl-C reaches this program alone, which then ends the server in good order.
    server = subprocess.Popen(command, cwd=ROOT, process_group=0)
    try:
        wait_until_serving(server, address)
        yield server, address
    finally:
        server.send_signal(signal.SIGTERM)
        with suppress(KeyboardInterrupt):
            server.wait()


def program(name: str) -> str:
    """Return the path of one of the project's own commands."""
    return str(Path(sysconfig.get_path("scripts")) / name)


def show_log(store: Path) -> None:
    """Show the last records of the decision log, and that nobody has changed one."""
    show("Each answer stands in the decision log:\n")
    for command in (["log", "query", "--limit", "3"], ["log", "verify"]):
        show(f"$ authz-eval {' '.join(command)}")
        ended = subprocess.run(
            [program("authz-eval"), *command, "--store", str(store)], capture_output=True, text=True, check=False
        )
        show(ended.stdout + ended.stderr)


def free_port(usual: int) -> int:
    """Return the usual port when it is free, else any."""
    for port in (usual, 0):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise DemoError("no free port on 127.0.0.1")


def wait_until_serving(server: subprocess.Popen[bytes], address: str) -> None:
    """Ask for the server's health until it serves. Raises DemoError when it ends or stays silent."""
    deadline = time.monotonic() + PATIENCE
    with grpc.insecure_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        while time.monotonic() < deadline:
            if server.poll() is not None:
                raise DemoError(f"the server ended with exit code {server.returncode} before it answered")
            with suppress(grpc.RpcError):
                answer = health.Check(health_pb2.HealthCheckRequest(), timeout=1, wait_for_ready=True)
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
    raise DemoError(f"the server did not answer within {PATIENCE:.0f} seconds")


def ask(address: str, asked: Sequence[Question]) -> None:
    """Ask one question after another and show each with its answer."""
    with grpc.insecure_channel(address) as channel:
        service = v1_grpc.DecisionServiceStub(channel)
        for number, question in enumerate(asked, start=1):
            request = json_format.ParseDict(question.request, v1.CheckRequest())
            answer = service.Check(request, timeout=5)
            show(f"{number}. {question.title}.")
            show(f"   {summary(request)}")
            show("\n".join(f"   {line}" for line in rendered(answer)) + "\n")


def summary(request: v1.CheckRequest) -> str:
    """Return the request in one line."""
    who = "anonymous" if request.anonymous else f"{request.subject}@{request.tenant}"
    if request.token:
        who = f"a token of {len(request.token)} characters"
    what = f" on {request.resource.type}:{request.resource.id}" if request.HasField("resource") else ""
    given = f" {values(request.arguments)}" if request.HasField("arguments") else ""
    held = f" with {', '.join(request.scopes)}" if request.scopes else ""
    return f"{who}{held} calls {request.tool}{what}{given}"


def rendered(answer: v1.CheckResponse) -> Iterator[str]:
    """Yield the lines that say what was decided and why."""
    allowed = answer.decision == v1.DECISION_ALLOW
    reason = v1.Reason.Name(answer.reason).removeprefix("REASON_")
    yield paint("ALLOW", "32") if allowed else f"{paint('DENY', '31')} {reason}: {answer.message}"
    if answer.rules:
        yield f"  by {', '.join(answer.rules)}"
    if answer.missing_scopes:
        yield f"  would be allowed with the scope {', '.join(answer.missing_scopes)}"
    for obligation in answer.obligations:
        yield f"  the caller must {obligation.name} {values(obligation.parameters)}".rstrip()


def values(struct: Any) -> str:  # noqa: ANN401 (a protobuf Struct, whose type differs between stubs)
    """Return the parameters of an obligation in one line."""
    return ", ".join(f"{name}: {value}" for name, value in sorted(json_format.MessageToDict(struct).items()))


def paint(text: str, code: str) -> str:
    """Colour a word on a terminal."""
    return f"\x1b[{code}m{text}\x1b[0m" if COLOUR else text


def show(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
