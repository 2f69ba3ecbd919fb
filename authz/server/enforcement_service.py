"""Answer what enforcement points ask beside decisions: what to send, and which policy to decide by.

Describing tools means looking through rules, so it happens in a thread, one question's at a time:
decisions go on beside it, and what was found is kept until the policy changes.
"""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import grpc

from authz.pdp.reads import ToolReads, joined
from authz.server.calls import fail
from authz.wire import enforcement as wire
from authz.wire.errors import status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from structlog.typing import FilteringBoundLogger

    from authz.pdp.engine import Engine
    from authz.pdp.program import Program
    from authz.server.config import Config
    from authz.server.gate import Context
    from authz.v1.enforcement_pb2 import ToolDescription

SERVICE: Final = "authz.v1.EnforcementService"
SIGN_OF_LIFE_S: Final = 5.0
"""Seconds between two messages of a stream at most; the contract says 10."""
_MOST_KEPT: Final = 10_000
"""Descriptions of one policy that are kept; those who ask choose the names."""
_LONGEST_KEPT_NAME: Final = 256
_PARTS: Final = {
    "arguments.": "arguments",
    "context.": "context",
    "resource.attributes.": "resource",
    "subject_attributes.": "subject",
    "client.attributes.": "client",
}
"""How the paths of `--log-attribute` begin, and the part of a request that each leads into."""


class EnforcementService:
    """The two methods, and the end of the streams."""

    def __init__(
        self,
        engine: Engine,
        logger: FilteringBoundLogger,
        *,
        share: bool,
        besides: ToolReads = ToolReads(known=False),  # noqa: B008  # frozen
        interval: float = SIGN_OF_LIFE_S,
    ) -> None:
        """Describe what this engine decides by, and with `share` give it away.

        `besides` is what the server itself reads of every request; `interval` is in seconds.
        """
        self._engine = engine
        self._logger = logger
        self._share = share
        self._besides = besides
        self._interval = interval
        self._known: _Descriptions | None = None
        self._thread = ThreadPoolExecutor(1, "authz-describe")
        self._packed: tuple[str, bytes] | None = None
        self._draining = False
        self._wake: set[Callable[[], None]] = set()

    def handlers(self) -> Mapping[str, grpc.RpcMethodHandler[Any, Any]]:
        """Return the handlers by method name. They take and give bytes: `wire` does the parsing."""
        return {
            "DescribeTools": grpc.unary_unary_rpc_method_handler(self.describe),
            "FollowPolicy": grpc.unary_stream_rpc_method_handler(self.follow),
        }

    async def describe(self, data: bytes, context: Context) -> bytes:
        """Say what the policy reads for some tools, all by the program that is active now."""
        try:
            tools = wire.read_describe(data)
            known = self._descriptions(self._engine.program)
            found = known.kept(tools)
            if found is None:
                found = await asyncio.get_running_loop().run_in_executor(self._thread, known.find, tools)
            return wire.describe_response(known.revision, found).SerializeToString()
        except Exception as error:  # noqa: BLE001  # the outermost handler: nothing may reach gRPC, which would tell all
            return await fail(context, "DescribeTools", error, status, self._logger)

    def _descriptions(self, program: Program) -> _Descriptions:
        if self._known is None or self._known.program is not program:
            self._known = _Descriptions(program, self._besides)
        return self._known

    async def follow(self, data: bytes, context: Context) -> None:
        """Send the policy now and after each change, and signs of life in between, until somebody goes."""
        try:
            wire.read_follow(data)
            if not self._share:
                await context.abort(
                    grpc.StatusCode.PERMISSION_DENIED,
                    "this server does not share its policy: it was started without `--share-policy`",
                )
            await self._tell(context)
        except Exception as error:  # noqa: BLE001  # as in describe
            await fail(context, "FollowPolicy", error, status, self._logger)

    async def _tell(self, context: Context) -> None:
        loop, changed = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and this stream with it
                loop.call_soon_threadsafe(changed.set)

        end = self._engine.subscribe(wake)
        self._wake.add(wake)
        try:
            sent = ""
            while not self._draining:
                changed.clear()  # before reading: a swap that comes now is told in the next round
                program = self._engine.program
                await context.write(self._policy(program) if program.revision != sent else _sign_of_life(sent))
                sent = program.revision
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), self._interval)
        finally:
            self._wake.discard(wake)
            end()

    def _policy(self, program: Program) -> bytes:
        """Return the message that brings a policy; it is written once for all who follow."""
        if self._packed is None or self._packed[0] != program.revision:
            sources = [source for source, _ in program.policy.files]
            message = wire.follow_response(program.revision, sources)
            self._packed = program.revision, message.SerializeToString()
        return self._packed[1]

    def drain(self) -> None:
        """Let those who follow go, so that the server can end."""
        self._draining = True
        for wake in tuple(self._wake):
            wake()


class _Descriptions:
    """What one program reads, tool by tool, as messages."""

    def __init__(self, program: Program, besides: ToolReads) -> None:
        self.program = program
        self.revision = program.revision
        self._besides = besides
        self._found: dict[str, ToolDescription] = {}

    def kept(self, tools: Sequence[str]) -> list[ToolDescription] | None:
        """Return the descriptions, None unless all are there already."""
        found = [self._found.get(tool) for tool in tools]
        complete = [one for one in found if one is not None]
        return complete if len(complete) == len(found) else None

    def find(self, tools: Sequence[str]) -> list[ToolDescription]:
        """Return the descriptions, and keep those of known tools. Called in the thread that describes."""
        found: list[ToolDescription] = []
        for tool in tools:
            one = self._found.get(tool) or self._describe(tool)
            if one.known and len(tool) <= _LONGEST_KEPT_NAME:
                if len(self._found) >= _MOST_KEPT:
                    self._found.clear()
                self._found[tool] = one
            found.append(one)
        return found

    def _describe(self, tool: str) -> ToolDescription:
        found = joined(self.program.reads.of(tool), self._besides)
        return wire.description(wire.Description(tool, found, self.program.entry_scopes(tool)))


def _sign_of_life(revision: str) -> bytes:
    return wire.follow_response(revision).SerializeToString()


def besides(config: Config) -> ToolReads:
    """Return what a server reads of every request, whatever the policy: what it records, and counts failures by."""
    paths: dict[str, list[tuple[str, ...]]] = {part: [] for part in _PARTS.values()}
    for attribute in config.decision_log.attributes if config.decision_log is not None else ():
        for beginning, part in _PARTS.items():
            if attribute.startswith(beginning):
                paths[part].append(tuple(attribute.removeprefix(beginning).split(".")))
    if config.tokens is not None:
        paths["context"].append(("ip",))
    return ToolReads(known=False, **{part: tuple(found) for part, found in paths.items()})
