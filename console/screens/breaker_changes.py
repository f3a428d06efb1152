"""What an operator may order a provider's breaker to do, as changes to confirm."""

from console import formats
from console.changes import Change, Preview
from console.keys import Level
from console.model.views import ProviderHealth, ProviderView
from console.operator import Operator
from console.readings import shares_of
from contracts.controls import BreakerOrder
from contracts.oversight import Action

_ORDERS = {
    BreakerOrder.OPEN: (
        "Hold {name} open",
        "Nothing is sent to {name} until the breaker is reset; now it gets {shares}.",
    ),
    BreakerOrder.PROBE: (
        "Probe {name} now",
        "One notification tries {name}; the breaker closes when that is accepted.",
    ),
    BreakerOrder.RESET: (
        "Reset {name}",
        "The breaker of {name} closes now, and what was counted is forgotten.",
    ),
}

#: What helps most comes first; the dialog offers the other.
_USUAL = {
    ProviderHealth.CLOSED: (BreakerOrder.OPEN, BreakerOrder.RESET),
    ProviderHealth.UNKNOWN: (BreakerOrder.OPEN, BreakerOrder.RESET),
    ProviderHealth.HELD: (BreakerOrder.RESET, None),
    ProviderHealth.OPEN: (BreakerOrder.PROBE, BreakerOrder.RESET),
    ProviderHealth.HALF_OPEN: (BreakerOrder.RESET, BreakerOrder.OPEN),
}


def ordering(provider: ProviderView, operator: Operator) -> Change:
    """Order the breaker to do what its state asks for, or else the other thing."""
    first, other = _USUAL[provider.health]
    alternative = None if other is None else _change(provider, other, operator)
    return _change(provider, first, operator, alternative)


def _change(
    provider: ProviderView,
    order: BreakerOrder,
    operator: Operator,
    alternative: Change | None = None,
) -> Change:
    name = provider.name
    title, effect = _ORDERS[order]
    words = effect.format(name=name, shares=shares_of(provider) or "nothing")
    preview = Preview(effect=words, typed=name, samples=_lately(provider))

    async def look() -> Preview:
        return preview

    return Change(
        action=Action.BREAKER_ORDERED,
        title=title.format(name=name),
        target=name,
        level=Level.MANY,
        effect=words,
        act=lambda choices: operator.order_breaker(name, order, choices.reason),
        preview=look,
        wider=alternative,
    )


def _lately(provider: ProviderView) -> tuple[str, ...]:
    said = [f"breaker {provider.health}"]
    if provider.sends:
        said.append(f"{provider.failures:,} of {provider.sends:,} failed lately")
    if provider.failing is None:
        said.append("nothing sent in the last minute")
    else:
        said.append(f"{formats.share(provider.failing)} of the last minute failed")
    return (", ".join(said),)
