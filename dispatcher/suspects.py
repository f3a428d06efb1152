"""How many notifications that lost their dispatcher are sent at once.

One of those that were being sent when a dispatcher ended may have ended it; the others were
only there. The more dispatchers a notification has lost, the fewer like it are sent together
by one process: the guilty one is soon alone, and takes nobody with it when it ends the next
dispatcher. One that was only there loses three at most, and never reaches the bound.
"""

from collections.abc import Iterable

from contracts.lifecycle import LOST_LEASES_AT_MOST

_ROOM = 64
#: What one takes of the room that has lost 1, 2, … dispatchers: 64, 8, then 1 at once.
WEIGHTS = (1, 8, *[_ROOM] * (LOST_LEASES_AT_MOST - 3))


def room(lost_leases: Iterable[int]) -> int:
    """Return what is left of the room beside those under way that have lost so many."""
    return max(
        0,
        _ROOM
        - sum(WEIGHTS[min(lost, len(WEIGHTS)) - 1] for lost in lost_leases if lost),
    )
