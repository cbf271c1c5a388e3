"""Patient E, Elsa Synthetic, 54: a pulmonary embolism in a report of last night, and nothing says that anybody was told.

She came to the emergency department the evening before. Chest radiograph in bed at 22:40, which nobody has reported; CT
pulmonary angiogram in the first hour of the demo day (UTC+1), signed at 00:00 UTC: less than 24 hours old all day.
"""

from datetime import time

from pydicom.uid import ExplicitVRLittleEndian

from ehr_sandbox.demo_radiograph import DemoRadiograph
from ehr_sandbox.demo_study import SOFT_TISSUE, DemoCalendar, DemoCtScan, DemoDisplay, DemoDose, DemoPerson
from ehr_sandbox.patients import codings
from ehr_sandbox.patients.chart import Chart
from ehr_sandbox.patients.elements import Json
from ehr_sandbox.patients.findings import actionable_finding
from ehr_sandbox.phantom import AngiogramPhantom, Embolus
from ehr_sandbox.phantom_grid import VolumeGrid
from ehr_sandbox.phantom_radiograph import ChestRadiographPhantom
from ehr_sandbox.phantom_torso import Habitus

ELSA = DemoPerson(
    key="demo-e",
    mrn="DEMO-1005",
    family="Synthetic",
    given="Elsa",
    sex="F",
    age=54,
    birthday=(9, 30),
    height_m=1.68,
    weight_kg=74,
)
_REASON = "Sudden shortness of breath, pulmonary embolism?"

CURRENT = DemoCtScan(
    key="demo-e-ct-current",
    person=ELSA,
    days_ago=0,
    clock=time(0, 10),
    minutes_to_report=50,
    accession="DEMO-1005-1",
    description="CT PULMONARY ANGIOGRAM",
    procedure=codings.PULMONARY_ANGIOGRAM,
    reason=_REASON,
    phantom=AngiogramPhantom(
        seed=53,
        noise_seed=501,
        grid=VolumeGrid(slices=56, first_z=70.0),
        habitus=Habitus(fat_mm=14.0, breasts=True),
        noise_hu=16.0,
        embolus=Embolus(
            course=((-8.0, -9.0, -12.5, 4.0), (-24.0, -5.5, -14.0, 5.2), (-38.0, 0.5, -17.0, 5.0), (-45.0, 7.0, -26.0, 4.4))
        ),
    ),
    transfer_syntax=ExplicitVRLittleEndian,
    dose=DemoDose(kvp=100, tube_current_ma=260, exposure_mas=130, ctdi_vol_mgy=5.2),
    contrast=True,
    windows=(DemoDisplay(name="PULMONARY ARTERIES", centre=150, width=700), SOFT_TISSUE),
)
UNREAD = DemoRadiograph(
    key="demo-e-dx-current",
    person=ELSA,
    days_ago=1,
    clock=time(22, 40),
    accession="DEMO-1005-2",
    description="CHEST RADIOGRAPH IN BED",
    procedure=codings.CHEST_XRAY_IN_BED,
    reason=_REASON,
    phantom=ChestRadiographPhantom(chest=CURRENT.phantom, noise_seed=502),
    transfer_syntax=ExplicitVRLittleEndian,
)
_TEXT = """CT PULMONARY ANGIOGRAM

Findings: Filling defect in the right main pulmonary artery that extends into the interlobar artery. Left pulmonary arteries
filled. Right ventricle not enlarged. No effusion, no consolidation.

Impression: Acute pulmonary embolism on the right.
"""


def elsa_resources(calendar: DemoCalendar, current: DemoCtScan, unread: DemoRadiograph) -> list[Json]:
    """Her chart, with the examinations as they were made (a test may have shortened them)."""
    chart = Chart(person=ELSA, calendar=calendar)
    codes = (codings.PULMONARY_EMBOLISM, codings.ACTIONABLE_IN_MINUTES)
    embolism = actionable_finding(chart, current, *codes, site=codings.RIGHT_PULMONARY_ARTERY)
    return [
        chart.patient(),
        chart.encounter("Shortness of breath", codings.EMERGENCY, days_ago=1),
        *(chart.in_visit(chart.order(one, days_before=0)) for one in (unread, current)),
        embolism,
        chart.in_visit(
            chart.report(
                current,
                text=_TEXT,
                conclusion="Acute pulmonary embolism in the right main and interlobar pulmonary artery.",
                results=[embolism],
                conclusion_codes=codes,
            )
        ),
    ]
