"""Carry the calls of the decision listener by grpcio: everything, with or without TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import grpc
from google.protobuf.internal import api_implementation
from grpc_health.v1 import health_pb2_grpc

from authz.server import enforcement_service, health
from authz.server.config import ConfigError
from authz.server.listening import listen

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from authz.server.config import Config
    from authz.server.gate import Gate

_SPARE: Final = 100  # calls beside the decisions: health checks, reflection, and refusals on their way out


class Grpcio:
    """A gRPC server behind the gate (`authz.server.transport.Transport`)."""

    name: Final = "grpcio"

    def __init__(
        self,
        config: Config,
        gate: Gate,
        status: health.Health,
        encryption: grpc.ServerCredentials | None = None,
        *,
        reuse_port: bool = False,
    ) -> None:
        """Serve what the gate lets through, and health; `encryption` is what a port encrypts with."""
        self._listen = config.listen
        self._gate = gate
        self._encryption = encryption
        self._reuse_port = reuse_port
        self._server = decision_server(config, gate, status, reuse_port=reuse_port)

    async def start(self) -> str:
        """Listen, and return the address. Raises `ListenError`."""
        server, encryption = self._server, self._encryption

        def bind(target: str) -> int:
            if encryption is not None:
                return server.add_secure_port(target, encryption)
            return server.add_insecure_port(target)

        address = listen(bind, self._listen, reuse_port=self._reuse_port)
        await server.start()
        return address

    @property
    def under_way(self) -> int:
        """Return how many calls have arrived and not ended."""
        return self._gate.under_way

    @property
    def activity(self) -> int:
        """Return a number that grows with every call."""
        return self._gate.activity

    async def stop(self, grace: float | None) -> None:
        """Take no more calls, and end those under way after `grace` seconds."""
        await self._server.stop(grace)


def decision_server(config: Config, gate: Gate, status: health.Health, *, reuse_port: bool = False) -> grpc.aio.Server:
    """Return a server that does not listen yet."""
    server = grpc.aio.server(
        options=(
            # Unasked for, a port in use would be shared silently with whoever has it.
            ("grpc.so_reuseport", int(reuse_port)),
            ("grpc.max_receive_message_length", config.max_message),
        ),
        maximum_concurrent_rpcs=config.max_concurrent + _SPARE,
    )
    server.add_generic_rpc_handlers((gate,))
    health_pb2_grpc.add_HealthServicer_to_server(status, server)
    if config.reflection:
        from grpc_reflection.v1alpha import reflection  # noqa: PLC0415  # most servers run without it

        # Reflection finds their descriptors in the pool.
        from authz.v1 import decision_pb2, enforcement_pb2  # noqa: F401, PLC0415

        services = (health.SERVICE, enforcement_service.SERVICE, "grpc.health.v1.Health", reflection.SERVICE_NAME)
        reflection.enable_server_reflection(services, server)
    return server


def credentials(config: Config, logger: FilteringBoundLogger) -> grpc.ServerCredentials | None:
    """Return what the listener encrypts with, None for nothing. Raises `ConfigError`."""
    if config.tls is None:
        return None
    from authz.server import tls  # noqa: PLC0415  # few servers need it

    return tls.credentials(config.tls, logger)


def require_upb() -> None:
    """Refuse to start on a protobuf without its C implementation.

    The others are slower and bound neither depth nor time in the same way.
    """
    found = api_implementation.Type()
    if found != "upb":
        raise ConfigError(f"protobuf runs on its `{found}` implementation; authz-server needs `upb`")
