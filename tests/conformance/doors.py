"""The doors that answer conformance cases: engine, reference evaluator, command line and gRPC.

Every door is a function from a case to an `Answer`, a mapping with the keys of a case's `expect`.
What a door cannot say (the reference gives no message) it leaves out, and it is not compared.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from authz.errors import AuthzError, InvalidRequestError, PolicyError
from authz.json_form import read_json, request_from_json
from authz.lang.ast import without_spans
from authz.lang.diagnostics import in_order
from authz.lang.formatter import format_policy
from authz.lang.parser import parse_policy
from authz.lang.source import SUFFIX, TEST_SUFFIX, Source
from authz.lang.validator import validate
from authz.pap.loader import load, load_tests, read_sources
from authz.pap.testing import run_tests
from authz.pdp.compiler import compile_policy
from tests.conformance.cases import Case, Policy
from tests.conformance.processes import Ended, Processes
from tests.reference import reference_decide

if TYPE_CHECKING:
    import grpc

    from authz.lang.ast import PolicyFile
    from authz.lang.diagnostics import Diagnostic
    from authz.model import Request
    from authz.pdp.program import Program
    from authz.server.app import Server

Data: TypeAlias = Any
"""What YAML and JSON hold."""
Answer: TypeAlias = Mapping[str, Any]
Door: TypeAlias = Callable[[Case], Answer]

_SCRATCH: Final = tempfile.TemporaryDirectory(prefix="authz-conformance-")
_FINDINGS: Final = frozenset({"errors", "errors_at_least", "marked", "error_on"})


# --- Policies on disk -----------------------------------------------------------------------


@cache
def folder(policy: Policy) -> Path:
    """Write a policy's files once and return their folder."""
    root = Path(_SCRATCH.name) / hashlib.sha256(policy.key.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    root.mkdir()
    for name, content in policy.files:
        _write(root / name, content, policy)
    if policy.lock:
        (root / "authz.sum").write_text(_manifest(root), encoding="utf-8")
    for name, text in policy.after:
        if text is None:
            (root / name).unlink()
        else:
            (root / name).write_text(text, encoding="utf-8", newline="")
    return root


def where(policy: Policy) -> Path:
    """Return what is given to the loader."""
    return folder(policy) / policy.path


def _write(path: Path, content: Data, policy: Policy) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    match content:
        case str():
            text = formatted(Source(path.name, content)) if policy.formatted else content
            path.write_text(text, encoding="utf-8", newline="")
        case {"hex": digits}:
            path.write_bytes(bytes.fromhex(digits))
        case {"link": target}:
            path.symlink_to(target)
        case {"outside": files}:
            other = Path(tempfile.mkdtemp(dir=_SCRATCH.name))
            for name, text in files.items():
                (other / name).write_text(text, encoding="utf-8")
            path.symlink_to(other)
        case {"fifo": True}:
            os.mkfifo(path)
        case {"folder": True}:
            path.mkdir()
        case _:
            raise ValueError(f"{path.name}: what is this file?")


def _manifest(root: Path) -> str:
    """Write what L7 says, independently of `authz-eval lock`."""
    names = [path.relative_to(root).as_posix() for path in root.rglob(f"*{SUFFIX}") if path.is_file()]
    policies = sorted((name for name in names if not name.endswith(TEST_SUFFIX)), key=str.encode)
    return "".join(f"{hashlib.sha256((root / name).read_bytes()).hexdigest()}  {name}\n" for name in policies)


def formatted(source: Source) -> str:
    """Return the canonical text of a file that parses."""
    return format_policy(source, parse_policy(source)[0])


# --- Engine and reference: in process -------------------------------------------------------


@cache
def _sources(policy: Policy) -> tuple[Source, ...]:
    if policy.on_disk or policy.formatted:
        return read_sources(where(policy))
    return tuple(Source(name, text) for name, text in policy.files)


@cache
def _trees(policy: Policy) -> tuple[tuple[Source, PolicyFile], ...]:
    return tuple((source, parse_policy(source)[0]) for source in _sources(policy))


@cache
def program(policy: Policy) -> Program:
    """Compile a policy; raises PolicyError with every finding."""
    if policy.on_disk or policy.formatted:
        return load(where(policy)).program
    findings: list[Diagnostic] = []
    files = []
    for source in _sources(policy):
        tree, problems = parse_policy(source)
        findings += problems
        files.append((source, tree))
    try:
        checked = validate(files)
    except PolicyError as error:
        raise PolicyError(in_order((*findings, *error.diagnostics))) from None
    if findings:
        raise PolicyError(in_order(findings))
    return compile_policy(checked)


def engine(case: Case) -> Answer:
    """Parse, validate, compile and decide, in this process."""
    policy, expect = case.policy, case.expect
    if "refused" in expect:
        return _refusal(policy)
    if _FINDINGS & expect.keys():
        try:
            program(policy)
        except PolicyError as error:
            return {"findings": _findings(error.diagnostics)}
        return {"findings": []}
    if "warnings" in expect:
        return {"warnings": _findings(load(where(policy)).warnings)}
    if "canonical" in expect:
        return {"canonical": _survives(Source("policy.authz", policy.files[0][1]))}
    if "same_as" in expect or "not_same_as" in expect:
        return _compared(case)
    if "tests" in expect or "bad_tests" in expect:
        return _tested(policy)
    try:
        request = _request(case)
    except InvalidRequestError as error:
        return {"invalid": error.field}
    decision = program(policy).decide(request)
    answer = _plain_decision(decision) | {"message": decision.message}
    assert program(policy).explain(request).decision == decision, "explain decides otherwise"
    return answer


def reference(case: Case) -> Answer:
    """Ask the slow, obvious evaluator."""
    policy = case.policy
    return _plain_decision(reference_decide(_trees(policy), _request(case)))


def _request(case: Case) -> Request:
    value = read_json(case.request_text) if case.request_text is not None else case.request
    return request_from_json(value, now=case.time)


def _plain_decision(decision: Data) -> dict[str, Any]:
    return {
        "decision": decision.effect.name,
        "reason": decision.reason.name,
        "rules": list(decision.rules),
        "required_scopes": list(decision.required_scopes),
        "missing_scopes": list(decision.missing_scopes),
        "obligations": [{"name": o.name, "parameters": _plain(o.parameters)} for o in decision.obligations],
    }


def _plain(value: Data) -> Data:
    """Return a value as JSON would bring it back, integral floats as integers."""
    match value:
        case Mapping():
            return {name: _plain(member) for name, member in value.items()}
        case list() | tuple() | frozenset():
            return [_plain(item) for item in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


def _findings(diagnostics: Iterable[Diagnostic]) -> list[dict[str, Any]]:
    found = []
    for one in diagnostics:
        line, column = one.source.place(one.span.start)
        place = {"file": one.source.name, "line": line, "column": column}
        found.append(place | {"code": one.code, "help": one.help, "related": len(one.related), "message": one.message})
    return found


def _refusal(policy: Policy) -> Answer:
    try:
        load(where(policy))
    except PolicyError as error:
        return {"refused": "\n".join(map(str, error.diagnostics))}
    except AuthzError as error:
        return {"refused": str(error)}
    return {"refused": None}


def _survives(source: Source) -> str:
    tree, problems = parse_policy(source)
    assert not problems, problems
    text = format_policy(source, tree)
    again = Source(source.name, text)
    second, problems = parse_policy(again)
    if problems or without_spans(second) != without_spans(tree):
        return f"another tree: {text}"
    if sorted(comment.text.rstrip() for comment in second.comments) != sorted(c.text.rstrip() for c in tree.comments):
        return f"other comments: {text}"
    return "same" if format_policy(again, second) == text else f"formatting again changes it: {text}"


def _compared(case: Case) -> Answer:
    key = "same_as" if "same_as" in case.expect else "not_same_as"
    both = (case.policy, _another(case.expect[key]))
    texts = [formatted(Source(*policy.files[0])) for policy in both]
    return {"texts": texts, "revisions": [program(policy).revision for policy in both]}


def _another(given: str | Mapping[str, str]) -> Policy:
    return Policy((("policy.authz", given),) if isinstance(given, str) else tuple(given.items()))


def _tested(policy: Policy) -> Answer:
    try:
        report = run_tests(load(where(policy)).program, load_tests(where(policy)))
    except PolicyError as error:
        return {"bad_tests": _findings(error.diagnostics)}
    return {"tests": {result.name: result.passed for result in report.results}}


# --- Command line: one process for each policy -----------------------------------------------


PROCESSES: Final = Processes()


@cache
def _authz_eval(*arguments: str, stdin: str = "") -> Ended:
    return PROCESSES.run(*arguments, stdin=stdin)


class CommandLine:
    """Asks all questions of a policy and a time in one process, in JSON lines."""

    def __init__(self, cases: Sequence[Case]) -> None:
        """Sort the cases into batches."""
        self._batches: dict[tuple[str, str], list[Case]] = {}
        for case in cases:
            if case.request is not None or case.request_text is not None:
                self._batches.setdefault((case.policy.key, case.now), []).append(case)
        self._answers: dict[str, Answer] = {}

    def __call__(self, case: Case) -> Answer:
        """Answer one case; its whole batch is asked with the first."""
        expect = case.expect
        at = str(where(case.policy))
        if _FINDINGS & expect.keys():
            ended = _authz_eval("validate", at, "--format", "json")
            return {"findings": _found(ended.stdout or ended.stderr, at) if ended.returncode == 4 else []}
        if "warnings" in expect:
            ended = _authz_eval("lint", at, "--format", "json")
            return {"warnings": _found(ended.stdout, at)}
        if "refused" in expect:
            ended = _authz_eval("validate", at)
            return {"refused": ended.stdout + ended.stderr if ended.returncode in (1, 4) else None}
        if "canonical" in expect:
            return {"canonical": self._survives(at)}
        if "same_as" in expect or "not_same_as" in expect:
            return self._compared(case)
        if "tests" in expect or "bad_tests" in expect:
            return self._tested(at)
        if case.id not in self._answers:
            self._ask(self._batches[case.policy.key, case.now], at, case.now)
        return self._answers[case.id]

    def _ask(self, batch: Sequence[Case], at: str, now: str) -> None:
        questions = [case.request_text or json.dumps(case.request) for case in batch]
        ended = _authz_eval(
            "check", at, "--lines", "--request", "-", "--now", now, "--format", "json", stdin="\n".join(questions)
        )
        lines = ended.stdout.splitlines()
        if len(lines) != len(batch):
            unanswered = {"unanswered": f"{len(lines)} answers to {len(batch)} questions\n{ended.stderr}"}
            self._answers |= dict.fromkeys((case.id for case in batch), unanswered)
            return
        answers = [_read_answer(json.loads(line)) for line in lines]
        worst = (
            2 if any("invalid" in a for a in answers) else 3 if any(a["decision"] != "ALLOW" for a in answers) else 0
        )
        code = {} if ended.returncode == worst else {"unanswered": f"exit code {ended.returncode}, not {worst}"}
        self._answers |= {case.id: {**answer, **code} for case, answer in zip(batch, answers, strict=True)}

    @staticmethod
    def _survives(at: str) -> str:
        path = Path(at) / "policy.authz"
        once = _authz_eval("fmt", str(path))
        if once.returncode:
            return once.stderr
        again = _authz_eval("fmt", "-", stdin=once.stdout)
        return "same" if again.stdout == once.stdout else f"formatting again changes it: {again.stdout}"

    @staticmethod
    def _compared(case: Case) -> Answer:
        key = "same_as" if "same_as" in case.expect else "not_same_as"
        both = (case.policy, _another(case.expect[key]))
        places = [where(policy) for policy in both]
        texts = [_authz_eval("fmt", str(where(policy) / policy.files[0][0])).stdout for policy in both]
        valid = [_authz_eval("validate", str(place), "--format", "json") for place in places]
        return {"texts": texts, "revisions": [json.loads(ended.stdout)["revision"] for ended in valid]}

    @staticmethod
    def _tested(at: str) -> Answer:
        ended = _authz_eval("test", at, "--format", "json")
        if ended.returncode == 4:
            return {"bad_tests": _found(ended.stdout or ended.stderr, at)}
        results = json.loads(ended.stdout)["results"]
        assert ended.returncode == (0 if all(result["passed"] for result in results) else 5)
        return {"tests": {result["name"]: result["passed"] for result in results}}


def _found(text: str, at: str) -> list[dict[str, Any]]:
    """Return the diagnostics of JSON output, with the paths that rules' names begin with."""
    found = []
    for one in json.loads(text)["diagnostics"]:
        name = one["file"].removeprefix(at).lstrip("/") or Path(at).name
        found.append({**one, "file": name, "help": one["help"], "related": len(one["related"])})
    return found


def _read_answer(answer: Mapping[str, Any]) -> Answer:
    """Read the JSON form of CheckResponse, or an error in its place."""
    if "error" in answer:
        return {"invalid": answer["error"]["field"]}
    obligations = [
        {"name": o["name"], "parameters": _plain(o.get("parameters", {}))} for o in answer.get("obligations", [])
    ]
    return {
        "decision": answer["decision"].removeprefix("DECISION_"),
        "reason": answer["reason"].removeprefix("REASON_"),
        "rules": answer.get("rules", []),
        "required_scopes": answer.get("required_scopes", []),
        "missing_scopes": answer.get("missing_scopes", []),
        "obligations": obligations,
        "message": answer.get("message", ""),
    }


# --- gRPC: a server in this process, asked over loopback --------------------------------------


class Grpc:
    """One server, asked through a real channel; each policy's program is swapped in whole."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._started = False

    def __call__(self, case: Case) -> Answer:
        """Send one CheckRequest and read the answer, or the status, back."""
        import grpc
        from google.protobuf import json_format

        from authz.v1 import decision_pb2

        if not self._started:
            self._start()
        self._server.engine.swap(program(case.policy))
        self._now = case.time
        message = json_format.ParseDict(case.request, decision_pb2.CheckRequest())
        try:
            response = self._check(message, timeout=60)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
                return {"unanswered": f"{error.code()}: {error.details()}"}
            return {"invalid": error.details() or ""}
        assert response.policy_revision == program(case.policy).revision
        return _read_answer(json_format.MessageToDict(response, preserving_proto_field_name=True))

    def _start(self) -> None:
        import grpc
        import structlog

        from authz.server.app import Server
        from authz.server.config import Config, parse_address
        from authz.v1 import decision_pb2_grpc

        empty = Path(tempfile.mkdtemp(dir=_SCRATCH.name))
        config = Config(empty, parse_address("127.0.0.1:0"), grace=0.0)
        logger = structlog.wrap_logger(
            structlog.ReturnLogger(), wrapper_class=structlog.make_filtering_bound_logger("critical")
        )
        self._server: Server = Server(config, logger, clock=lambda: self._now)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._server.start(), self._loop).result(30)
        self._channel: grpc.Channel = grpc.insecure_channel(self._server.address)
        self._check = decision_pb2_grpc.DecisionServiceStub(self._channel).Check
        self._started = True

    def close(self) -> None:
        """End the channel and the server."""
        if self._started:
            self._channel.close()
            asyncio.run_coroutine_threadsafe(self._server.stop(), self._loop).result(30)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(30)
            self._loop.close()
            self._started = False


# --- Which door can answer what ---------------------------------------------------------------


_ASKS: Final = "decision"


def takes(door: str, case: Case) -> bool:
    """Say whether a door answers this kind of question."""
    if case.doors is not None and door not in case.doors:
        return False
    if _ASKS in case.expect:
        return True
    if "invalid" in case.expect:
        return door != "reference"
    return door in {"engine", "cli"}


# --- Comparing --------------------------------------------------------------------------------


def differences(case: Case, answer: Answer) -> list[str]:
    """Return what of the expectation the answer does not meet."""
    wrong: list[str] = [answer["unanswered"]] if "unanswered" in answer else []
    for key, wanted in case.expect.items():
        problem = _COMPARED.get(key, _same)(key, wanted, answer)
        if problem:
            wrong.append(problem)
    return wrong


def _same(key: str, wanted: Data, answer: Answer) -> str:
    if key not in answer:
        return "" if answer.keys() >= {"decision"} and key == "message" else f"{key}: no such answer in {dict(answer)}"
    if key == "obligations":
        wanted = [{"name": one["name"], "parameters": _plain(one.get("parameters", {}))} for one in wanted]
    return "" if _exact(wanted) == _exact(answer[key]) else f"{key}: {answer[key]!r}, not {wanted!r} in {dict(answer)}"


def _exact(value: Data) -> str:
    return json.dumps(value, sort_keys=True)  # tells `1` from `true`


def _message(_: str, wanted: Data, answer: Answer) -> str:
    texts = [wanted] if isinstance(wanted, str) else wanted
    if "message" not in answer:
        return ""
    absent = [text for text in texts if text not in answer["message"]]
    return f"message {answer['message']!r} lacks {absent}" if absent else ""


def _invalid(_: str, wanted: str, answer: Answer) -> str:
    found = answer.get("invalid")
    return "" if found is not None and found.startswith(wanted) else f"not refused at `{wanted}`: {dict(answer)}"


def _fits(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    return all(
        value in found[key] if key in {"help", "message"} else found[key] == value for key, value in wanted.items()
    )


def _errors(_: str, wanted: Sequence[Mapping[str, Any]], answer: Answer) -> str:
    found = answer["findings"]
    fits = len(found) == len(wanted) and all(_fits(w, f) for w, f in zip(wanted, found, strict=True))
    return "" if fits else f"findings {found}, not {wanted}"


def _errors_at_least(_: str, wanted: Sequence[Mapping[str, Any]], answer: Answer) -> str:
    found = answer["findings"]
    return "" if all(any(_fits(w, f) for f in found) for w in wanted) else f"findings {found}, not {wanted}"


def _marked(_: str, wanted: Sequence[tuple[int, str]], answer: Answer) -> str:
    found = [(one["line"], one["code"]) for one in answer["findings"]]
    lines = {line for line, _ in wanted}
    wrong = [f"no finding on line {line}" for line in sorted(lines - {line for line, _ in found})]
    wrong += [f"a finding on line {line}" for line in sorted({line for line, _ in found} - lines)]
    wrong += [f"no `{code}` on line {line}" for line, code in wanted if code and (line, code) not in found]
    return f"{wrong}: {answer['findings']}" if wrong else ""


def _error_on(_: str, line: int, answer: Answer) -> str:
    return "" if any(one["line"] == line for one in answer["findings"]) else f"no finding on line {line}"


def _errors_only_on(_: str, lines: Sequence[int], answer: Answer) -> str:
    others = [one for one in answer["findings"] if one["line"] not in lines]
    return f"findings on other lines: {others}" if others else ""


def _related(_: str, __: object, answer: Answer) -> str:
    alone = [one for one in answer["findings"] if not one["related"]]
    return f"findings without a second place: {alone}" if alone else ""


def _warnings(_: str, wanted: Sequence[Mapping[str, Any]], answer: Answer) -> str:
    found = answer["warnings"]
    missing = [w for w in wanted if not any(_fits(w, f) for f in found)]
    return f"warnings {found} lack {missing}" if missing or (found and not wanted) else ""


def _bad_tests(_: str, wanted: Sequence[Mapping[str, Any]], answer: Answer) -> str:
    if "bad_tests" not in answer:
        return f"the tests were run: {dict(answer)}"
    return _errors(_, wanted, {"findings": answer["bad_tests"]})


def _refused(_: str, wanted: Sequence[str], answer: Answer) -> str:
    text = answer["refused"]
    if text is None:
        return "the policy was loaded"
    return "" if all(part in text for part in wanted) else f"{text!r} does not name {wanted}"


def _same_as(key: str, wanted: str | Mapping[str, str], answer: Answer) -> str:
    (one, other), (first, second) = answer["texts"], answer["revisions"]
    if not (len(first) == 64 and set(first) <= set("0123456789abcdef")):
        return f"`{first}` is no digest"
    if key == "same_as":
        return "" if one == other and first == second else f"two texts: {one!r} {other!r}, {first} {second}"
    moved = not isinstance(wanted, str)  # the same text at another path
    return "" if (one == other) is moved and first != second else f"the same text or revision: {one!r}, {first}"


_COMPARED: Final[Mapping[str, Callable[[str, Any, Answer], str]]] = {
    "message": _message,
    "invalid": _invalid,
    "errors": _errors,
    "errors_at_least": _errors_at_least,
    "marked": _marked,
    "error_on": _error_on,
    "errors_only_on": _errors_only_on,
    "related": _related,
    "warnings": _warnings,
    "refused": _refused,
    "same_as": _same_as,
    "not_same_as": _same_as,
    "bad_tests": _bad_tests,
}
