"""The gateway that most security tests begin with, and what tests of patients' numbers begin with."""

from __future__ import annotations

import pytest

from tests.gateway_worlds import running, world
from tests.security.archive_index import Index, PatientRecord, a_study, identifier
from tests.security.gateway_actors import World
from tests.security.gateway_stubs import PRIOR_A, STUDY_A, STUDY_B

__all__ = ["running", "world"]


@pytest.fixture
def index(world: World) -> Index:
    """Two studies of A and one of B."""
    made = Index(world.pacs)
    made.holds(a_study(STUDY_A, "MRN-A"), a_study(PRIOR_A, "MRN-A", modality="MR"), a_study(STUDY_B, "MRN-B"))
    return made


@pytest.fixture
def record(world: World) -> PatientRecord:
    """Patient A with one number."""
    return PatientRecord(world.north, [identifier("MRN-A")])
