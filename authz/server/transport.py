"""The gRPC server of the decision listener: its bounds, and what it serves beside the gate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import grpc
from google.protobuf.internal import api_implementation
from grpc_health.v1 import health_pb2_grpc

from authz.server import enforcement_service, health
from authz.server.config import ConfigError

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from authz.server.config import Config
    from authz.server.gate import Gate

_SPARE: Final = 100  # calls beside the decisions: health checks, reflection, and refusals on their way out


def decision_server(config: Config, gate: Gate, status: health.Health) -> grpc.aio.Server:
    """Return a server that does not listen yet."""
    server = grpc.aio.server(
        options=(
            ("grpc.so_reuseport", 0),  # else a port in use would be shared silently with whoever has it
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
