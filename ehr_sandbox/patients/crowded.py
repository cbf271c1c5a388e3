"""A patient with very many studies and a report on each, for trying long lists: `imaging-cds demo --crowded 1000`.

Each study is one small image, stored in the archive as any other; what is written here are the patient and the reports.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import time, timedelta

from pydicom.uid import ExplicitVRLittleEndian

from ehr_sandbox.demo_radiograph import DemoRadiograph
from ehr_sandbox.demo_study import SOFT_TISSUE, DemoCalendar, DemoCtScan, DemoExamination, DemoPerson
from ehr_sandbox.patients import codings
from ehr_sandbox.patients.chart import Chart, accession
from ehr_sandbox.patients.elements import Json, concept, study_of, transaction
from ehr_sandbox.patients.hospital import ORGANIZATION, RADIOLOGIST
from ehr_sandbox.phantom import ChestPhantom, Nodule
from ehr_sandbox.phantom_belly import AbdomenPhantom
from ehr_sandbox.phantom_grid import VolumeGrid
from ehr_sandbox.phantom_radiograph import ChestRadiographPhantom, RadiographView
from ehr_sandbox.settings import LARGEST_CROWD

CROWDED_KEY = "demo-crowded"
LARGEST = LARGEST_CROWD
"""More studies than anybody has."""
ZOE = DemoPerson(
    key=CROWDED_KEY,
    mrn="DEMO-1999",
    family="Crowded",
    given="Zoe",
    sex="F",
    age=76,
    birthday=(2, 1),
    height_m=1.63,
    weight_kg=66,
)
_A_BUNDLE = 400
_DAYS_BETWEEN = 4
_REASON = "Control"
_EDGE_PIXELS, _PIXEL_MM = 72, 5.0


def _slice_at(z: float) -> VolumeGrid:
    first = -(_EDGE_PIXELS - 1) / 2 * _PIXEL_MM
    return VolumeGrid(
        columns=_EDGE_PIXELS, rows=_EDGE_PIXELS, slices=1, pixel_spacing=_PIXEL_MM, first_x=first, first_y=first, first_z=z
    )


_CHEST = ChestPhantom(seed=71, noise_seed=701, grid=_slice_at(-20.0), nodule=Nodule(x=-72.0, y=-48.0, z=-90.0, diameter_mm=4.0))
_FRONTAL = ChestRadiographPhantom(
    chest=_CHEST, noise_seed=702, levels=32, columns_sampled=64, depths=24, rows=_EDGE_PIXELS, columns=86
)
_NEWEST_DAYS_AGO = 2
_KINDS: tuple[DemoExamination, ...] = (
    DemoCtScan(
        key="ct-chest",
        person=ZOE,
        days_ago=0,
        clock=time(),
        accession="",
        description="CT CHEST",
        procedure=codings.CHEST_CT,
        reason=_REASON,
        phantom=_CHEST,
        transfer_syntax=ExplicitVRLittleEndian,
    ),
    DemoRadiograph(
        key="dx-upright",
        person=ZOE,
        days_ago=0,
        clock=time(),
        accession="",
        description="CHEST RADIOGRAPH PA",
        procedure=codings.CHEST_XRAY,
        reason=_REASON,
        phantom=_FRONTAL,
        views=(RadiographView.FROM_THE_BACK,),
        transfer_syntax=ExplicitVRLittleEndian,
    ),
    DemoCtScan(
        key="ct-abdomen",
        person=ZOE,
        days_ago=0,
        clock=time(),
        accession="",
        description="CT ABDOMEN AND PELVIS",
        procedure=codings.ABDOMEN_PELVIS_CT,
        reason=_REASON,
        phantom=AbdomenPhantom(seed=72, noise_seed=703, grid=_slice_at(-200.0)),
        region=codings.ABDOMEN_AND_PELVIS,
        body_part="ABDOMENPELVIS",
        contrast=True,
        windows=(SOFT_TISSUE,),
        transfer_syntax=ExplicitVRLittleEndian,
    ),
    DemoRadiograph(
        key="dx-in-bed",
        person=ZOE,
        days_ago=0,
        clock=time(),
        accession="",
        description="CHEST RADIOGRAPH IN BED",
        procedure=codings.CHEST_XRAY_IN_BED,
        reason=_REASON,
        phantom=_FRONTAL,
        transfer_syntax=ExplicitVRLittleEndian,
    ),
)
"""The sorts of examination that keep coming back; when and under which number is each one's own."""


def crowd(studies: int) -> tuple[DemoExamination, ...]:
    """So many examinations, one every four days back from the demo day. ValueError for a number that cannot be meant."""
    if not 0 < studies <= LARGEST:
        raise ValueError(f"{studies} studies: between 1 and {LARGEST} are possible")
    return tuple(_examination(number) for number in range(studies))


def crowd_charts(calendar: DemoCalendar, fhir_base: str) -> Iterator[Json]:
    """The transaction Bundle with the patient."""
    yield transaction([Chart(person=ZOE, calendar=calendar).patient()], fhir_base)


def crowd_reports(examinations: Sequence[DemoExamination], calendar: DemoCalendar, fhir_base: str) -> Iterator[Json]:
    """Transaction Bundles with a report on each, for when the studies have come from the archive."""
    chart = Chart(person=ZOE, calendar=calendar)
    reports = [_report(chart, number, one) for number, one in enumerate(examinations, 1)]
    for start in range(0, len(reports), _A_BUNDLE):
        yield transaction(reports[start : start + _A_BUNDLE], fhir_base)


def _examination(number: int) -> DemoExamination:
    """Their clock goes round, so that no two begin at the same minute of the day for long."""
    return replace(
        _KINDS[number % len(_KINDS)],
        key=f"{CROWDED_KEY}-{number + 1:05d}",
        days_ago=_NEWEST_DAYS_AGO + number * _DAYS_BETWEEN,
        clock=time(8 + number % 9, number * 7 % 60),
        accession=f"{ZOE.mrn}-{number + 1}",
    )


def _report(chart: Chart, number: int, examination: DemoExamination) -> Json:
    started = chart.calendar.at(examination.days_ago, examination.clock)
    return {
        "resourceType": "DiagnosticReport",
        "id": f"{examination.key}-report",
        "identifier": [accession(examination)],
        "status": "final",
        "category": [concept(codings.RADIOLOGY)],
        "code": concept(examination.procedure),
        "subject": chart.subject,
        "effectiveDateTime": started.isoformat(),
        "issued": (started + timedelta(minutes=examination.minutes_to_report)).isoformat(),
        "performer": [ORGANIZATION],
        "resultsInterpreter": [RADIOLOGIST],
        "imagingStudy": [study_of(examination)],
        "conclusion": f"Examination {number}: no change.",
    }
