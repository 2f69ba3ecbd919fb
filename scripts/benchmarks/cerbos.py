"""Cerbos: the policy W2 in its language, its settings, and the few of its messages that are needed.

The messages are cerbos.request.v1.CheckResourcesRequest and cerbos.response.v1.CheckResourcesResponse, with those of
their fields that a benchmark uses; the numbers are Cerbos's.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2

from scripts.benchmarks.workloads import w2_rules

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from scripts.benchmarks.workloads import Question

METHOD: Final = "/cerbos.svc.v1.CerbosService/CheckResources"
MOST_RESOURCES: Final = 50
"""What one request may ask about, as Cerbos is set out of the box."""
_ALLOW: Final = 1
_PACKAGE: Final = "benchmark.cerbos"
_MESSAGES: Final[dict[str, dict[str, tuple[int, str]]]] = {
    "Principal": {"id": (1, "string"), "roles": (3, "string*"), "attr": (4, "Attr*")},
    "Resource": {"kind": (1, "string"), "id": (3, "string"), "attr": (4, "Attr*")},
    "Attr": {"key": (1, "string"), "value": (2, ".google.protobuf.Value")},
    "Entry": {"actions": (1, "string*"), "resource": (2, "Resource")},
    "Request": {"request_id": (1, "string"), "principal": (3, "Principal"), "resources": (4, "Entry*")},
    "Effect": {"key": (1, "string"), "value": (2, "int32")},
    "Result": {"actions": (2, "Effect*")},
    "Response": {"results": (2, "Result*")},
}
"""Each field's number and type, `*` for many. A map is its entries on the wire."""


def config(folder: Path, http: int, grpc: int, audit: Path | None) -> str:
    """Return the settings: policies from a folder, and where decisions are written down, if anywhere."""
    log = {"enabled": True, "backend": "file", "accessLogsEnabled": False, "decisionLogsEnabled": True}
    settings = {
        "server": {"httpListenAddr": f"127.0.0.1:{http}", "grpcListenAddr": f"127.0.0.1:{grpc}"},
        "storage": {"driver": "disk", "disk": {"directory": str(folder), "watchForChanges": False}},
        "audit": {**log, "file": {"path": str(audit)}} if audit else {"enabled": False},
        "telemetry": {"disabled": True},
    }
    return json.dumps(settings)  # which is YAML, too


def w2_policies() -> Iterator[tuple[str, str]]:
    """Return W2: names and texts of files."""
    owner = {
        "name": "owner",
        "parentRoles": ["*"],
        "condition": {"match": {"expr": "R.attr.owner == P.id"}},
    }
    yield "owner.yaml", _policy(derivedRoles={"name": "owners", "definitions": [owner]})
    rules = [
        {
            "actions": [one.tool],
            "effect": "EFFECT_ALLOW",
            "roles": [one.role],
            "condition": {"match": {"expr": _condition(one.scope)}},
        }
        for one in w2_rules()
    ]
    owned = [{**{k: v for k, v in rule.items() if k != "roles"}, "derivedRoles": ["owner"]} for rule in rules]
    body = {"resource": "document", "version": "default", "importDerivedRoles": ["owners"], "rules": [*rules, *owned]}
    yield "document.yaml", _policy(resourcePolicy=body)


def many_policies(count: int) -> Iterator[tuple[str, str]]:
    """Return so many policies of one rule each, each on its own kind of resource."""
    for number in range(count):
        rule = {
            "actions": ["read"],
            "effect": "EFFECT_ALLOW",
            "roles": [f"role_{number % 20}"],
            "condition": {"match": {"expr": f"{_condition(f'scope_{number % 10}')} || R.attr.owner == P.id"}},
        }
        body = {"resource": f"kind_{number}", "version": "default", "rules": [rule]}
        yield f"kind_{number}.yaml", _policy(resourcePolicy=body)


def request(questions: Sequence[Question]) -> bytes:
    """Return one message that asks all of them, which must be the same caller's."""
    caller = questions[0]
    asked = _MADE["Request"](request_id="1")
    asked.principal.id = caller.subject
    asked.principal.roles.extend(caller.roles)
    _put(asked.principal.attr, tenant=caller.tenant, scopes=list(caller.scopes))
    for question in questions:
        entry = asked.resources.add(actions=[question.tool])
        entry.resource.kind, entry.resource.id = question.type, question.id
        _put(entry.resource.attr, owner=question.owner, tenant=question.of_tenant)
    return bytes(asked.SerializeToString())


def allowed(answer: bytes) -> list[bool]:
    """Return what an answer says to each question."""
    found = _MADE["Response"].FromString(answer)
    return [[one.value == _ALLOW for one in result.actions] == [True] for result in found.results]


def _condition(scope: str) -> str:
    return f'"{scope}" in P.attr.scopes && R.attr.tenant == P.attr.tenant'


def _policy(**body: dict[str, Any]) -> str:
    return json.dumps({"apiVersion": "api.cerbos.dev/v1", **body})


def _put(attributes: Any, **values: Any) -> None:  # noqa: ANN401  # a repeated field, and what JSON has
    for name, value in values.items():
        entry = attributes.add(key=name)
        if isinstance(value, list):
            entry.value.list_value.extend(value)
        else:
            entry.value.string_value = value


def _made() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="benchmark/cerbos.proto", package=_PACKAGE, syntax="proto3")
    file.dependency.append(struct_pb2.DESCRIPTOR.name)
    field_type = descriptor_pb2.FieldDescriptorProto
    for message, fields in _MESSAGES.items():
        described = file.message_type.add(name=message)
        for name, (number, kind) in fields.items():
            many, plain = kind.endswith("*"), kind.rstrip("*")
            one = described.field.add(name=name, number=number)
            one.label = field_type.LABEL_REPEATED if many else field_type.LABEL_OPTIONAL
            if plain in {"string", "int32"}:
                one.type = field_type.TYPE_STRING if plain == "string" else field_type.TYPE_INT32
            else:
                one.type = field_type.TYPE_MESSAGE
                one.type_name = plain if plain.startswith(".") else f".{_PACKAGE}.{plain}"
    pool = descriptor_pool.Default()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES
    }


_MADE: Final = _made()
