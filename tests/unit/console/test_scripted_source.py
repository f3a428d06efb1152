import pytest

from console.events import ServiceReported, StatusReported
from console.source.scripted import ScriptedSource
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

        return Mesh(source, say_state, say_change)
