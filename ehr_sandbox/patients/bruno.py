"""Patient B, Bruno Synthetic, 45, never smoked: an incidental solid nodule of 4 mm that needs no routine follow-up.

CT 60 days ago for a cough, stored as JPEG 2000 lossless.
"""

from datetime import time

from pydicom.uid import JPEG2000Lossless

from ehr_sandbox.demo_study import DemoCalendar, DemoCt, DemoPerson
from ehr_sandbox.patients import codings
from ehr_sandbox.patients.chart import Chart
from ehr_sandbox.patients.elements import Json
from ehr_sandbox.patients.findings import incidental_nodule
from ehr_sandbox.phantom import ChestPhantom, Nodule
from ehr_sandbox.phantom_torso import Habitus

BRUNO = DemoPerson(
    key="demo-b",
    mrn="DEMO-1002",
    family="Synthetic",
    given="Bruno",
    sex="M",
    age=45,
    birthday=(8, 2),
    height_m=1.81,
    weight_kg=84,
)
_REASON = "Cough for 8 weeks"

CURRENT = DemoCt(
    key="demo-b-ct-current",
    person=BRUNO,
    days_ago=60,
    clock=time(14, 40),
    accession="DEMO-1002-1",
    description="CT CHEST WITHOUT CONTRAST",
    procedure=codings.CHEST_CT,
    reason=_REASON,
    phantom=ChestPhantom(
        seed=23,
        noise_seed=201,
        nodule=Nodule(x=-72.0, y=-48.0, z=-50.0, diameter_mm=4.0),
        habitus=Habitus(fat_mm=11.0, breasts=False),
        width=1.05,
        depth=1.04,
        noise_hu=12.0,
    ),
    transfer_syntax=JPEG2000Lossless,
)
_TEXT = """CT OF THE CHEST WITHOUT CONTRAST

Findings: Solid nodule of 4 mm in the right middle lobe. No further nodules, no consolidation, airways patent.
No enlarged lymph nodes, no effusion.

Impression: Incidental solid nodule of 4 mm in a patient at low risk. No explanation of the cough.
Recommendation: no routine follow-up.
"""


def bruno_resources(calendar: DemoCalendar, current: DemoCt) -> list[Json]:
    """His chart, with the examination as it was made (a test may have shortened it)."""
    chart = Chart(person=BRUNO, calendar=calendar)
    nodule = incidental_nodule(chart, current, codings.RIGHT_MIDDLE_LOBE, codings.LOW_RISK)
    return [
        chart.patient(),
        chart.encounter("Cough"),
        chart.smoking_status(codings.NEVER_SMOKED, "Never smoked"),
        chart.order(current),
        nodule,
        chart.report(
            current,
            text=_TEXT,
            conclusion="Incidental solid nodule of 4 mm in the right middle lobe, low risk. No routine follow-up.",
            results=[nodule],
        ),
    ]
