"""What the console says about its own connection, in one sentence."""

from console import formats
from console.events import LinkCondition
from console.model.views import LinkView


def emptiness(link: LinkView, rows: str, none_exist: str, reduced: str) -> str:
    """Say why a list of ``rows`` is empty; ``reduced`` is what hides them, if anything does."""
    if reduced:
        return f"No {rows} {reduced}; esc shows all."
    if link.age_seconds is not None:
        return none_exist
    if link.condition is LinkCondition.RETRYING:
        return f"No news yet: {link.reason or 'no connection'}. r tries again now."
    return "Listening for the first news."


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
