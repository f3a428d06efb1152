"""The HTTP door: REST routes and the group-commit intake (Quart)."""
