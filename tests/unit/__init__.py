"""No server, no network, no waiting."""
