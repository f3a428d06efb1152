"""The connection to Redis, which holds what replicas share and nothing that must last."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from contracts.settings import MeshSettings

AWAY = (RedisError, OSError, TimeoutError)


@asynccontextmanager
async def open_redis(settings: MeshSettings) -> AsyncIterator[Redis]:
    """Open a client that connects when first used and fails fast: every use has a fallback."""
    client: Redis = Redis.from_url(
        str(settings.redis_url),
        socket_connect_timeout=0.5,
        socket_timeout=0.5,
        retry=Retry(NoBackoff(), 0),
        client_name="tocsin",
    )
    try:
        yield client
    finally:
        await client.aclose()
