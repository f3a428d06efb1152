"""The operator console: what the engineer on call looks at."""
