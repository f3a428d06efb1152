"""What can go wrong in a dispatcher beyond an attempt that fails.

DispatcherError
├── ProviderUnknown        no provider is known by the configured name
├── ProviderUnavailable    a library that the provider stands on is not installed
├── ProviderMisconfigured  a setting of the provider is missing or wrong
├── RetriesInvalid         the retry policies cannot be read
└── RoutesInvalid          the routes cannot be read, or name a provider that cannot be opened
"""


class DispatcherError(Exception):
    """Base of the errors of this package."""


class ProviderUnknown(DispatcherError):
    """No provider is known by the configured name."""


class ProviderUnavailable(DispatcherError):
    """A library that the provider stands on is not installed."""


class ProviderMisconfigured(DispatcherError):
    """A setting of the provider is missing or wrong; the words name its variable."""


class RetriesInvalid(DispatcherError):
    """The retry policies cannot be read."""


class RoutesInvalid(DispatcherError):
    """The routes cannot be read, or name a provider that cannot be opened."""
