"""How many messages a channel has room for now, and of which lanes."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from contracts.channels import Priority
from dispatcher.slots import Slots

URGENT = Priority.HIGH


class Demand(NamedTuple):
    """What may be asked for, tokens permitting."""

    wanted: dict[Priority, int]  #: lanes with work, and how deep they are
    standing: Sequence[Priority]  #: lanes without, which should have a pull stand open
    size: int  #: messages in all
    urgent: int  #: of them
    awaited: int  #: free slots at which to ask for more; 0 is at none
    has_room: bool  #: for the work there is


def demand(
    waiting: Mapping[Priority, int],
    empty: Sequence[Priority],
    outstanding: int,
    slots: Slots,
    group_at_most: int,
) -> Demand:
    """Fill the free slots once there are enough to be worth a pull.

    A few urgent messages do not wait for that, and have room of their own. Many share the
    room with the others, which would otherwise have none.
    """
    most = max(group_at_most - outstanding, 1)
    room = min(slots.room() - outstanding, most)
    depth = sum(waiting.values())
    worth = min(depth, slots.worth_a_pull, most)
    urgent = waiting.get(URGENT, 1 if URGENT in empty else 0)
    if 0 < worth <= room:
        size = min(room, len(empty) + depth)
        return Demand(dict(waiting), empty, size, min(urgent, size), 0, True)
    is_few = urgent <= slots.worth_a_pull
    own = min(most, slots.room(urgent=True) - outstanding)
    urgent = max(0, min(urgent, own)) if is_few else 0
    standing = [p for p in empty if p is URGENT or room > 0]
    lesser = sum(p is not URGENT for p in standing)
    awaited = outstanding + worth if room < worth else 0
    if empty and room < 1:
        awaited = outstanding + 1
    return Demand(
        {p: d for p, d in waiting.items() if p is URGENT and is_few},
        standing,
        urgent + max(0, min(lesser, room - urgent)),
        urgent,
        awaited,
        False,
    )
