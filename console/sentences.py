"""What the console says about its own connection, in one sentence."""

from console import formats
from console.events import LinkCondition
from console.model.views import LinkView


def trouble_of(link: LinkView) -> str:
    """Say what is wrong with the numbers shown; empty when nothing is."""
    trying = ""
    if link.condition is LinkCondition.RETRYING:
        wait = link.retry_in_seconds
        when = f"next in {wait:.0f} s" if wait >= 1 else "trying"
        trying = f"{link.reason or 'connection lost'}, attempt {link.attempt}, {when}"
    if link.stale:
        age = formats.age(link.age_seconds)
        return f"STALE {age}: last known numbers; {trying or 'the bus is silent'}"
    if trying:
        return f"No connection: {trying}"
    return link.problem[:1].upper() + link.problem[1:]
