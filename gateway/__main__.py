"""``python -m gateway``: run the gateway until SIGTERM."""

from gateway.app import run
from gateway.settings import GatewaySettings
from ops.runtime.service import run_service

if __name__ == "__main__":
    run_service("gateway", GatewaySettings, run)
