"""Patient C, Clara Synthetic, 58, smokes: an incidental solid nodule of 7 mm that nobody followed up.

CT 240 days ago after a fall, stored as JPEG-LS lossless: the CT of months 6 to 12 is due and not ordered.
5 days ago a chest radiograph was ordered for a cough; it has no date yet.
"""

from datetime import time

from pydicom.uid import JPEGLSLossless

from ehr_sandbox.demo_study import DemoCalendar, DemoCt, DemoPerson
from ehr_sandbox.patients import codings
from ehr_sandbox.patients.chart import Chart
from ehr_sandbox.patients.elements import Json
from ehr_sandbox.patients.findings import incidental_nodule
from ehr_sandbox.phantom import ChestPhantom, Nodule
from ehr_sandbox.phantom_torso import Habitus

CLARA = DemoPerson(
    key="demo-c",
    mrn="DEMO-1003",
    family="Synthetic",
    given="Clara",
    sex="F",
    age=58,
    birthday=(11, 27),
    height_m=1.62,
    weight_kg=60,
)
_REASON = "Fall on the left side, rib fracture?"

CURRENT = DemoCt(
    key="demo-c-ct-current",
    person=CLARA,
    days_ago=240,
    clock=time(17, 25),
    accession="DEMO-1003-1",
    description="CT CHEST WITHOUT CONTRAST",
    procedure=codings.CHEST_CT,
    reason=_REASON,
    phantom=ChestPhantom(
        seed=37,
        noise_seed=301,
        nodule=Nodule(x=70.0, y=-26.0, z=30.0, diameter_mm=7.0),
        habitus=Habitus(fat_mm=10.0, breasts=True),
        width=0.95,
        depth=0.94,
        noise_hu=13.0,
    ),
    transfer_syntax=JPEGLSLossless,
)
_TEXT = """CT OF THE CHEST WITHOUT CONTRAST

Findings: No rib fracture, no pneumothorax, no effusion. Incidental solid nodule in the left upper lobe, 7.5 x 6.5 mm, mean
diameter 7 mm. No further nodules. No enlarged lymph nodes.

Impression: No consequence of the fall. Solitary solid nodule of 7 mm in the left upper lobe of a smoker.
"""


def clara_resources(calendar: DemoCalendar, current: DemoCt) -> list[Json]:
    """Her chart, with the examination as it was made (a test may have shortened it)."""
    chart = Chart(person=CLARA, calendar=calendar)
    nodule = incidental_nodule(chart, current, codings.LEFT_UPPER_LOBE, codings.HIGH_RISK)
    return [
        chart.patient(),
        chart.encounter("Repeat prescription"),
        chart.smoking_status(codings.DAILY_SMOKER, "20 cigarettes a day, 35 pack-years"),
        chart.order(current, days_before=0),
        nodule,
        chart.open_order("xr-order", codings.CHEST_XRAY, "Cough for three weeks", days_ago=5),
        chart.report(
            current,
            text=_TEXT,
            conclusion="No consequence of the fall. Incidental solitary solid nodule of 7 mm in the left upper lobe.",
            results=[nodule],
        ),
    ]
