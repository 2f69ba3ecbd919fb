"""The flags that describe a request, and the JSON form that they come to.

Flags and files share one path: flags become the JSON form of CheckRequest, and both are read by
`authz.json_form`, so neither can say what the other cannot.
"""

from __future__ import annotations

import functools
import json
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    Command: TypeAlias = Callable[..., Any]

_JSON: Final = re.compile(r'[-0-9\[{"]|(?:true|false|null)\Z')


class RequestFlags(NamedTuple):
    """The flags of one request, as typed."""

    subject: str | None = None
    anonymous: bool = False
    scope: tuple[str, ...] = ()
    role: tuple[str, ...] = ()
    tenant: str | None = None
    tool: str | None = None
    resource: str | None = None
    resource_tenant: str | None = None
    attr: tuple[str, ...] = ()
    arg: tuple[str, ...] = ()
    context: tuple[str, ...] = ()
    subject_attr: tuple[str, ...] = ()
    client: str | None = None
    unknown: tuple[str, ...] = ()

    def given(self) -> tuple[str, ...]:
        """Return the names of the flags that were typed."""
        given = self._asdict().items()
        return tuple("--" + name.replace("_", "-") for name, value in given if value not in (None, (), False))

    def to_json(self) -> dict[str, object]:
        """Return the JSON form of the request; raises `click.UsageError` for a flag it cannot read."""
        request: dict[str, object] = {
            "subject": self.subject,
            "anonymous": self.anonymous or None,
            "scopes": list(self.scope),
            "roles": list(self.role),
            "tenant": self.tenant,
            "tool": self.tool,
            "resource": self._resource(),
            "arguments": _pairs("--arg", self.arg),
            "context": _pairs("--context", self.context),
            "subject_attributes": _pairs("--subject-attr", self.subject_attr),
            "client": {"id": self.client} if self.client else None,
            "unknown": [f"PART_{part.upper()}" for part in self.unknown],
        }
        return {name: value for name, value in request.items() if value not in (None, [], {})}

    def _resource(self) -> dict[str, object] | None:
        if self.resource is None:
            lost = [name for name in self.given() if name in ("--resource-tenant", "--attr")]
            if lost:
                raise click.UsageError(f"`{lost[0]}` needs `--resource`")
            return None
        kind, colon, id_ = self.resource.partition(":")
        if not colon or not kind:
            raise click.UsageError(f"`--resource` must be TYPE:ID, not `{self.resource}`")
        own = None if "resource" in self.unknown else self.tenant  # nothing but its type may be known then
        tenant = own if self.resource_tenant is None else self.resource_tenant
        resource: dict[str, object] = {"type": kind, "id": id_, "attributes": _pairs("--attr", self.attr)}
        return {**resource, "tenant": tenant} if tenant else resource


def _pairs(flag: str, pairs: tuple[str, ...]) -> dict[str, object]:
    values: dict[str, object] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise click.UsageError(f"`{flag}` must be NAME=VALUE, not `{pair}`")
        if name in values:
            raise click.UsageError(f"`{flag}` names `{name}` twice")
        values[name] = read_value(text)
    return values


def read_value(text: str) -> object:
    """Return what a flag's value means: JSON where it is JSON, else the text itself.

    So `5` is a number, `true` a boolean, `["a"]` a list and `alice` a string; the string that
    consists of the digit is `"5"`, in JSON's quotes.
    """
    from authz.errors import InvalidRequestError  # noqa: PLC0415  # start-up: most calls give no values
    from authz.json_form import read_json  # noqa: PLC0415

    if not _JSON.match(text):
        return text
    try:
        return read_json(text)
    except InvalidRequestError as error:
        if _is_json(text):  # JSON that L60 refuses is no string
            raise click.UsageError(f"`{text[:40]}`: {error.problem}") from None
        return text


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


_CALLER: Final = (
    click.option("--subject", metavar="ID", help="Who calls."),
    click.option("--anonymous", is_flag=True, help="Nobody in particular calls."),
    click.option("--scope", multiple=True, metavar="SCOPE", help="A scope the caller holds; may be repeated."),
    click.option("--role", multiple=True, metavar="ROLE", help="A role the caller carries; may be repeated."),
    click.option("--tenant", metavar="TENANT", help="The caller's tenant."),
    click.option("--client", metavar="ID", help="The OAuth client or agent that acts for the caller."),
    click.option("--subject-attr", multiple=True, metavar="NAME=VALUE", help="An attribute of the caller."),
    click.option("--context", multiple=True, metavar="NAME=VALUE", help="An attribute of the context."),
    click.option("--resource", metavar="TYPE:ID", help="What the call touches."),
    click.option("--resource-tenant", metavar="TENANT", help="The resource's tenant.  [default: the caller's]"),
    click.option("--attr", multiple=True, metavar="NAME=VALUE", help="An attribute of the resource."),
)
_CALL: Final = (
    click.option("--tool", metavar="NAME", help="The tool that is called."),
    click.option("--arg", multiple=True, metavar="NAME=VALUE", help="An argument of the call."),
    click.option(
        "--unknown",
        multiple=True,
        type=click.Choice(["arguments", "resource", "context"]),
        help="What is not known yet: ask whether every, no or some such call is allowed; may be repeated.",
    ),
)
VALUES_NOTE: Final = (
    'A VALUE is JSON where it is JSON (`5`, `true`, `["a"]`, `"5"` for the string), else the text itself.'
)


def request_flags(*, call: bool) -> Callable[[Command], Command]:
    """Give a command the flags of a request, as one `flags` argument; `call` adds the tool's own."""
    options = (*_CALLER, *_CALL) if call else _CALLER

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_flags(**given: Any) -> Any:  # noqa: ANN401  # click passes what the command asks for
            flags = RequestFlags(**{name: given.pop(name) for name in RequestFlags._fields if name in given})
            return command(flags=flags, **given)

        for option in reversed(options):
            with_flags = option(with_flags)
        return with_flags

    return decorate


now_option = click.option("--now", metavar="TIME", help="The time of the decision, RFC 3339.  [default: the clock]")
stored_option = click.option(
    "--store", metavar="FILE", help="Complete the request from the directory in this store; it is only read."
)
format_option = click.option(
    "--format", "format_", type=click.Choice(["human", "json"]), default="human", help="How to print."
)
policies_argument = click.argument("policies", type=click.Path())
