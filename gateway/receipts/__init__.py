"""Receipts: what providers tell of notifications they have accepted; each form in a file."""
