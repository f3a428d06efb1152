"""Faults on purpose: a mesh under load whose processes are killed and frozen, then audited."""
