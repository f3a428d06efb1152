"""Pulls lanes, paces, claims, sends through providers, and settles outcomes in groups."""
