"""Releases what is due, reconciles the ledger with the bus, writes dead letters, keeps partitions."""
