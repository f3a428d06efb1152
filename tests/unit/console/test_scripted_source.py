import pytest

from tests.unit.console.conformance import Mesh, SourceConformance, scripted_mesh


class TestScriptedSource(SourceConformance):
    @pytest.fixture
    def mesh(self) -> Mesh:
        return scripted_mesh()
