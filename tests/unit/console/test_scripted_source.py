from itertools import count

import pytest

from console.events import BreakerHeard, ServiceReported, StatusReported
from console.source.scripted import ScriptedSource
from contracts.breakers import BreakerState
from contracts.mesh import ServiceState
from contracts.messages import StatusChanged
from tests.unit.console.conformance import Mesh, SourceConformance
from tests.unit.console.world import CONNECTED


class TestScriptedSource(SourceConformance):
    @pytest.fixture
    def mesh(self) -> Mesh:
        source = ScriptedSource([CONNECTED])

        async def say_state(state: ServiceState) -> None:
            source.tell(ServiceReported(state=state))

        async def say_change(change: StatusChanged) -> None:
            source.tell(StatusReported(change=change))

        revisions = count(1)

        async def agree(provider: str, state: BreakerState) -> None:
            source.tell(
                BreakerHeard(provider=provider, state=state, revision=next(revisions))
            )

        return Mesh(source, say_state, say_change, agree)
