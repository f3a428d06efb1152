"""The Piccolo application that brings the ledger to its newest schema."""
