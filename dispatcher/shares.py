"""Divides what may be fetched among the lanes of one channel."""

from collections.abc import Mapping

from contracts.channels import Priority

#: Of the tokens of a channel while all three lanes wait. What a lane does not need goes to
#: the most urgent one that does.
SHARES: Mapping[Priority, float] = {
    Priority.HIGH: 0.80,
    Priority.NORMAL: 0.15,
    Priority.LOW: 0.05,
}


class Divider:
    """Remembers what each lane is owed, so that shares hold for single tokens too."""

    def __init__(self, shares: Mapping[Priority, float] = SHARES) -> None:
        self._shares = shares
        self._owed = dict.fromkeys(Priority, 0.0)

    def divide(
        self, tokens: int, wanted: Mapping[Priority, int]
    ) -> dict[Priority, int]:
        """Return how many each lane gets: never more than it wants, never more in all.

        Less urgent lanes take what they are owed first, which is all that keeps them
        moving; the rest goes by urgency.
        """
        waiting = [priority for priority in Priority if wanted.get(priority, 0) > 0]
        given = dict.fromkeys(Priority, 0)
        total = sum(self._shares[priority] for priority in waiting)
        left = tokens
        for priority in reversed(waiting[1:]):
            owed = self._owed[priority] + tokens * self._shares[priority] / total
            given[priority] = min(int(owed + 1e-9), wanted[priority], left)
            left -= given[priority]
            # A lane that had too little work is owed no more than one token later.
            self._owed[priority] = min(owed - given[priority], 1.0)
        for priority in waiting:
            more = min(left, wanted[priority] - given[priority])
            given[priority] += more
            left -= more
        for priority in Priority:
            if priority not in waiting:
                self._owed[priority] = 0.0
        return given
