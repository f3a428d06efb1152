"""What can go wrong in a dispatcher beyond an attempt that fails.

DispatcherError
├── ProviderUnknown     no provider is known by the configured name
└── RetriesInvalid      the retry policies cannot be read
"""


class DispatcherError(Exception):
    """Base of the errors of this package."""


class ProviderUnknown(DispatcherError):
    """No provider is known by the configured name."""


class RetriesInvalid(DispatcherError):
    """The retry policies cannot be read."""
