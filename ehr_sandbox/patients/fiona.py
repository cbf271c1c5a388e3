"""Patient F, Fiona Synthetic, 52: a BI-RADS 3 that stands only in the words of a report, and a study that nobody can match.

- 402 days ago: screening mammography, BI-RADS 2.
- 45 days ago: diagnostic mammography of both breasts, BI-RADS 3, control in 6 months advised. Nothing is coded.
- In the archive alone: a mammography two years ago whose PatientID has a digit too few. No chart names it.
"""

from datetime import time

from pydicom.uid import ExplicitVRLittleEndian

from ehr_sandbox.demo_mammogram import DemoMammogram
from ehr_sandbox.demo_study import DemoCalendar, DemoPerson
from ehr_sandbox.patients import codings
from ehr_sandbox.patients.chart import Chart
from ehr_sandbox.patients.elements import Json
from ehr_sandbox.phantom_breast import BreastPhantom, Mass

FIONA = DemoPerson(
    key="demo-f",
    mrn="DEMO-1006",
    family="Synthetic",
    given="Fiona",
    sex="F",
    age=52,
    birthday=(2, 8),
    height_m=1.70,
    weight_kg=66,
)
_SCREENING, _LUMP = "Breast cancer screening", "Lump felt in the right breast"

STRAY = DemoMammogram(
    key="demo-f-mg-stray",
    person=FIONA,
    patient_id="DEMO-106",
    days_ago=765,
    clock=time(13, 50),
    accession="DEMO-106-1",
    description="MAMMOGRAPHY SCREENING",
    procedure=codings.SCREENING_MAMMOGRAM,
    reason=_SCREENING,
    phantom=BreastPhantom(seed=61, noise_seed=600),
    transfer_syntax=ExplicitVRLittleEndian,
)
PRIOR = DemoMammogram(
    key="demo-f-mg-prior",
    person=FIONA,
    days_ago=402,
    clock=time(10, 20),
    accession="DEMO-1006-1",
    description="MAMMOGRAPHY SCREENING",
    procedure=codings.SCREENING_MAMMOGRAM,
    reason=_SCREENING,
    phantom=BreastPhantom(seed=61, noise_seed=601),
    transfer_syntax=ExplicitVRLittleEndian,
)
CURRENT = DemoMammogram(
    key="demo-f-mg-current",
    person=FIONA,
    days_ago=45,
    clock=time(15, 5),
    accession="DEMO-1006-2",
    description="MAMMOGRAPHY DIAGNOSTIC",
    procedure=codings.DIAGNOSTIC_MAMMOGRAM,
    reason=_LUMP,
    phantom=BreastPhantom(seed=61, noise_seed=602, mass=Mass(depth_mm=48.0, height_mm=24.0, diameter_mm=9.0)),
    transfer_syntax=ExplicitVRLittleEndian,
)

_PRIOR_TEXT = """MAMMOGRAPHY OF BOTH BREASTS (screening)

Findings: Scattered fibroglandular tissue. No mass, no suspicious calcifications.

Impression: BI-RADS 2, benign, both breasts. Routine screening.
"""
_CURRENT_TEXT = """MAMMOGRAPHY OF BOTH BREASTS (diagnostic), compared with the examination of last year

Findings: Oval, circumscribed mass of 9 mm in the upper half of the right breast, where the lump is felt; not seen last year.
Complementary ultrasound: solid, parallel, no suspicious features. Left breast unchanged.

Impression: Previously BI-RADS 2. Now BI-RADS 3, probably benign, right breast.
Recommendation: short-interval follow-up in 6 months.
"""


def fiona_resources(calendar: DemoCalendar, prior: DemoMammogram, current: DemoMammogram) -> list[Json]:
    """Her chart, with the two examinations that are known to be hers."""
    chart = Chart(person=FIONA, calendar=calendar)
    return [
        chart.patient(),
        chart.encounter("Routine visit"),
        chart.order(prior),
        chart.order(current),
        chart.report(prior, text=_PRIOR_TEXT, conclusion="BI-RADS 2, benign, both breasts. Routine screening."),
        chart.report(
            current,
            text=_CURRENT_TEXT,
            conclusion="Previously BI-RADS 2. Now BI-RADS 3, probably benign: oval circumscribed mass of 9 mm in the right"
            " breast. Short-interval follow-up in 6 months is recommended.",
        ),
    ]
