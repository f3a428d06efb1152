"""Real NATS, Postgres and Valkey from wheels, and the supervisor that runs a stack on them."""

from ops.embedded.foundation import Servers, servers

__all__ = ["Servers", "servers"]
