"""What `tocsin up` runs: the servers, the sandbox provider and the services, as data."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice

from ops.embedded import foundation, ports, probes
from ops.embedded.child import Spec, Stage
from ops.embedded.errors import PortTaken
from ops.embedded.folder import DataFolder
from ops.runtime.modules import importable, python


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Children in the order they start: foundation, then migration, then services."""

    foundation: list[Spec]
    services: list[Spec]
    migration: Spec | None = None
    #: What the ready file says besides the pids.
    addresses: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Size:
    gateways: int = 1
    dispatchers: int = 1
    schedulers: int = 1
    nats_nodes: int = 1
    #: The first gateway's port; 0 means any.
    port: int = 0
    #: Messages a second per channel; 0 means no limit.
    channel_rate: int = 100


def plan(folder: DataFolder, size: Size, inherited: Mapping[str, str]) -> Stack:
    """Choose ports and describe every child; starts nothing.

    Raises WheelMissing, PortTaken when the port that was asked for is in use, or
    FolderUnusable when the folder's bus has another size.
    """
    if size.port and not ports.is_free(size.port):
        raise PortTaken(
            f"port {size.port} is in use{ports.holder(size.port)};"
            " give another with --port, or --port 0 for any"
        )
    servers = foundation.plan(folder, nats_nodes=size.nats_nodes)
    at = servers.addresses
    taken = {size.port, *(port for spec in servers.specs for port in spec.ports)}
    count = 1 + size.gateways + size.dispatchers + size.schedulers
    free = iter(ports.choose(count, besides=taken))

    sandbox_port = next(free)
    gateway_ports = [size.port or next(free), *islice(free, size.gateways - 1)]
    env = {
        # The sandbox sends receipts on demand, under the name of the provider that calls it.
        "TOCSIN_GATEWAY_RECEIPTS": "webhook",
        "TOCSIN_RECEIPTS_WEBHOOK_SECRET": secrets.token_urlsafe(32),
        # A provider of one's own may take the sandbox's place; the servers may not.
        "TOCSIN_WEBHOOK_URL": f"{_url(sandbox_port)}/send",
        "TOCSIN_WEBHOOK_ALLOW_PRIVATE": "true",
        **importable(inherited),
        "PYTHONUNBUFFERED": "1",
        "TOCSIN_POSTGRES_DSN": at.postgres_dsn,
        "TOCSIN_NATS_URL": at.nats_url,
        "TOCSIN_NATS_REPLICAS": str(size.nats_nodes),
        "TOCSIN_REDIS_URL": at.redis_url,
    }
    sandbox = _sandbox(sandbox_port, gateway_ports[0], env)
    gateways = [
        _gateway(number, port, env) for number, port in enumerate(gateway_ports, 1)
    ]
    dispatchers = [
        _dispatcher(number, next(free), size.channel_rate, env)
        for number in range(1, size.dispatchers + 1)
    ]
    schedulers = [
        _scheduler(number, next(free), env) for number in range(1, size.schedulers + 1)
    ]
    services = [*gateways, *dispatchers, *schedulers]
    return Stack(
        foundation=[*servers.specs, sandbox],
        migration=Spec(name="migrate", argv=python("ops", "migrate"), env=env),
        services=services,
        addresses=_addresses(servers, sandbox, gateways, services),
    )


def _addresses(
    servers: foundation.Plan,
    sandbox: Spec,
    gateways: list[Spec],
    services: list[Spec],
) -> dict[str, object]:
    at = servers.addresses
    urls = {spec.name: _url(spec.ports[0]) for spec in [sandbox, *services]}
    return {
        "gateway": urls[gateways[0].name],
        "gateways": [urls[spec.name] for spec in gateways],
        "sandbox": urls["sandbox"],
        "nats": at.nats_url,
        "nats_monitoring": at.nats_monitoring_url,
        "nats_nodes": {node.name: node.monitoring_url for node in servers.nats_nodes},
        "postgres": at.postgres_dsn,
        "redis": at.redis_url,
        "metrics": {name: f"{url}/metrics" for name, url in urls.items()},
    }


def _sandbox(port: int, gateway_port: int, env: Mapping[str, str]) -> Spec:
    own = {
        "TOCSIN_SANDBOX_HOST": ports.HOST,
        "TOCSIN_SANDBOX_PORT": str(port),
        "TOCSIN_SANDBOX_RECEIPTS_URL": f"{_url(gateway_port)}/api/v1/receipts/webhook",
        "TOCSIN_SANDBOX_RECEIPTS_SECRET": env["TOCSIN_RECEIPTS_WEBHOOK_SECRET"],
    }
    return _service("sandbox", "ops.sandbox", port, Stage.PROVIDERS, {**env, **own})


def _gateway(number: int, port: int, env: Mapping[str, str]) -> Spec:
    own = {"TOCSIN_GATEWAY_HOST": ports.HOST, "TOCSIN_GATEWAY_PORT": str(port)}
    return _service(f"gateway-{number}", "gateway", port, Stage.DOORS, {**env, **own})


def _dispatcher(number: int, port: int, rate: int, env: Mapping[str, str]) -> Spec:
    own = {
        "TOCSIN_DISPATCHER_METRICS_PORT": str(port),
        "TOCSIN_DISPATCHER_CHANNEL_RATE": str(rate),
    }
    return _service(
        f"dispatcher-{number}", "dispatcher", port, Stage.WORKERS, {**env, **own}
    )


def _scheduler(number: int, port: int, env: Mapping[str, str]) -> Spec:
    own = {"TOCSIN_SCHEDULER_METRICS_PORT": str(port)}
    return _service(
        f"scheduler-{number}", "scheduler", port, Stage.WORKERS, {**env, **own}
    )


# Shorter than the time each stage has, so that a service ends its drain by itself.
_DRAIN_SECONDS = {Stage.DOORS: 4.0, Stage.WORKERS: 5.5, Stage.PROVIDERS: 0.5}


def _service(
    name: str, module: str, port: int, stage: Stage, env: Mapping[str, str]
) -> Spec:
    drain = str(_DRAIN_SECONDS[stage])
    return Spec(
        name=name,
        argv=python(module),
        stage=stage,
        env={**env, "TOCSIN_INSTANCE": name, "TOCSIN_DRAIN_SECONDS": drain},
        ready=probes.http(f"{_url(port)}/healthz/ready"),
        ports=(port,),
    )


def _url(port: int) -> str:
    return f"http://{ports.HOST}:{port}"
