"""What every service stands on: connections, readiness, logs, metrics, heartbeat, drain."""
