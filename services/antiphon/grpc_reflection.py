"""gRPC reflection for our gRPC servers: what a service takes and answers, for tools such as grpcurl.

It tells no more than the protos, which anybody may read, and stands behind the same door as the service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpc_reflection.v1alpha import reflection

if TYPE_CHECKING:
    import grpc


def tell_of(service: str, server: grpc.aio.Server) -> None:
    """Before it starts. service: its full name, whose descriptor is loaded."""
    reflection.enable_server_reflection((service, reflection.SERVICE_NAME), server)
