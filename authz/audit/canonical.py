"""Write a question down in its canonical form, whose hash is the digest that a record holds.

The form is JSON on one line: names sorted, what is a set sorted and without doubles, what is empty left
out. It is `request_to_json` as text, byte for byte; making that object and walking through it again took
half of what a record costs.
"""

from __future__ import annotations

import json
from hashlib import sha256
from json.encoder import encode_basestring_ascii as quoted
from typing import TYPE_CHECKING, Final

from authz.json_form.requests import part_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from authz.model import Client, Request, Resource, ToolInfo

__all__ = ["MAX_TEXT", "cut", "digest", "encoder", "quoted"]

MAX_TEXT: Final = 1_024
"""Characters of one string in a record."""


def encoder(*, sort_keys: bool) -> Callable[[object], str]:
    """Return what writes one line of JSON. No value can refer to itself: a request is checked.

    `json` would make the part that is written in C anew for each value, which takes as long as using it.
    """
    slow = json.JSONEncoder(
        separators=(",", ":"), check_circular=False, allow_nan=False, sort_keys=sort_keys, default=dict
    )
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:  # an interpreter without it
        return slow.encode
    write = make(None, slow.default, quoted, None, ":", ",", sort_keys, False, False)
    return lambda value: "".join(write(value, 0))


_sorted: Final = encoder(sort_keys=True)


def cut(text: str) -> str:
    """Return a text that is no longer than a record's strings may be; `…` stands for what was cut off."""
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def digest(request: Request, name: str) -> tuple[str, str, str, str, str]:
    """Return the digest of a question, SHA-256 in hex, and what its record takes over from what was hashed.

    `name` stands for the subject. Taken over are the members `subject`, `tenant`, `tool` and `resource`, each
    with a comma after it, or nothing.
    """
    subject = f'"subject":{quoted(name)},' if name else ""
    tenant = f'"tenant":{quoted(request.tenant)},' if request.tenant else ""
    tool = f'"tool":{quoted(request.tool)},'
    recorded = ""
    text = '{"anonymous":true,' if request.anonymous else "{"
    if request.arguments:
        text += f'"arguments":{_sorted(request.arguments)},'
    if request.client is not None:
        text += f'"client":{_client(request.client)},'
    if request.context:
        text += f'"context":{_sorted(request.context)},'
    if request.resource is not None:
        asked, recorded = _resource(request.resource)
        text += asked
    if request.roles:
        text += f'"roles":{_set(request.roles)},'
    if request.scopes:
        text += f'"scopes":{_set(request.scopes)},'
    text += subject
    if request.subject_attributes:
        text += f'"subject_attributes":{_sorted(request.subject_attributes)},'
    text += tenant + tool
    if request.tool_info is not None:
        text += f'"tool_info":{_tool_info(request.tool_info)},'
    if request.unknown:
        text += f'"unknown":{_set([part_name(part) for part in request.unknown])},'
    return sha256(f"{text[:-1]}}}".encode()).hexdigest(), subject, tenant, tool, recorded


def _set(texts: Sequence[str]) -> str:
    if len(texts) == 1:
        return f"[{quoted(texts[0])}]"
    return f"[{','.join(map(quoted, sorted(set(texts))))}]"


def _resource(resource: Resource) -> tuple[str, str]:
    """Return the member `resource` as it is hashed, and as it is recorded: type, id and tenant."""
    type_ = f'"type":{quoted(resource.type)},' if resource.type else ""
    id_ = f'"id":{quoted(resource.id)},' if resource.id else ""
    tenant = f'"tenant":{quoted(resource.tenant)},' if resource.tenant else ""
    text = f'"ancestors":{_set(resource.ancestors)},' if resource.ancestors else ""
    if resource.attributes:
        text += f'"attributes":{_sorted(resource.attributes)},'
    text += f"{id_}{tenant}{type_}"
    if len(resource.id) > MAX_TEXT:
        id_ = f'"id":{quoted(cut(resource.id))},'
    recorded = f"{type_}{id_}{tenant}"
    return f'"resource":{{{text[:-1]}}},', f'"resource":{{{recorded[:-1]}}},' if recorded else ""


def _client(client: Client) -> str:
    members = f',"attributes":{_sorted(client.attributes)}' if client.attributes else ""
    if client.id:
        members += f',"id":{quoted(client.id)}'
    return f"{{{members[1:]}}}"


def _tool_info(info: ToolInfo) -> str:
    members = ""
    for name in ("destructive", "idempotent", "open_world", "read_only"):
        if (hint := getattr(info, name)) is not None:
            members += f',"{name}":{_sorted(hint)}'
    if info.server:
        members += f',"server":{quoted(info.server)}'
    if info.tags:
        members += f',"tags":{_set(info.tags)}'
    return f"{{{members[1:]}}}"
