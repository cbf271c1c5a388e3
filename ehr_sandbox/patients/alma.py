"""Patient A, Alma Synthetic, 62: lung cancer screening, a nodule that grew, and an AI that did not see the prior.

- 364 days ago: first low-dose CT, solid nodule of 6.0 mm in the right upper lobe, Lung-RADS 3, CT in 6 months advised. She
  did not come.
- 3 days ago: low-dose CT, the nodule measures 9.0 mm, so it grew by 3 mm within 12 months: the radiologist says 4B. The AI,
  which compared with nothing, says 4A. The radiologist picked the two slices through the nodule as key images; the AI also
  segmented it.

Six years ago she had a chest radiograph, which is on tape (`alma_portal`). All studies are stored uncompressed.
"""

from datetime import time

from pydicom.uid import ExplicitVRLittleEndian

from ehr_sandbox.demo_radiograph import DemoRadiograph
from ehr_sandbox.demo_study import LOW_DOSE, DemoCalendar, DemoCt, DemoPerson
from ehr_sandbox.patients import codings
from ehr_sandbox.patients.alma_portal import portal_resources
from ehr_sandbox.patients.chart import Chart
from ehr_sandbox.patients.elements import Json
from ehr_sandbox.patients.findings import (
    first_seen,
    follow_up_in,
    grown_from,
    lung_rads_by_radiologist,
    solid_nodule,
)
from ehr_sandbox.phantom import ChestPhantom, Nodule
from ehr_sandbox.phantom_grid import VolumeGrid
from ehr_sandbox.phantom_radiograph import ChestRadiographPhantom, RadiographView
from ehr_sandbox.phantom_torso import Habitus

ALMA = DemoPerson(
    key="demo-a",
    mrn="DEMO-1001",
    family="Synthetic",
    given="Alma",
    sex="F",
    age=62,
    birthday=(3, 14),
    height_m=1.66,
    weight_kg=68,
)
_HABITUS = Habitus(fat_mm=14.0, breasts=True)
_REASON = "Lung cancer screening, 32 pack-years, stopped 6 years ago"
AI_CLAIM = "4A"

PRIOR = DemoCt(
    key="demo-a-ct-prior",
    person=ALMA,
    days_ago=364,
    clock=time(10, 5),
    accession="DEMO-1001-1",
    description="CT CHEST LOW DOSE SCREENING",
    procedure=codings.SCREENING_CT,
    reason=_REASON,
    phantom=ChestPhantom(
        seed=11,
        noise_seed=101,
        nodule=Nodule(x=-74.0, y=8.0, z=37.5, diameter_mm=6.0),
        # She lay a little further to one side and deeper in the table than this year.
        grid=VolumeGrid(first_x=-176.0, first_y=-181.5),
        habitus=_HABITUS,
        noise_hu=22.0,
    ),
    transfer_syntax=ExplicitVRLittleEndian,
    dose=LOW_DOSE,
)
CURRENT = DemoCt(
    key="demo-a-ct-current",
    person=ALMA,
    days_ago=3,
    clock=time(9, 12),
    accession="DEMO-1001-2",
    description="CT CHEST LOW DOSE SCREENING",
    procedure=codings.SCREENING_CT,
    reason=_REASON,
    phantom=ChestPhantom(
        seed=11,
        noise_seed=102,
        nodule=Nodule(x=-74.0, y=8.0, z=37.5, diameter_mm=9.0),
        habitus=_HABITUS,
        noise_hu=22.0,
    ),
    transfer_syntax=ExplicitVRLittleEndian,
    dose=LOW_DOSE,
    with_ai_report=True,
    with_marks=True,
)
ON_TAPE = DemoRadiograph(
    key="demo-a-dx-archived",
    person=ALMA,
    days_ago=2197,
    clock=time(14, 20),
    minutes_to_report=165,
    accession="DEMO-1001-0",
    description="CHEST RADIOGRAPH PA AND LATERAL",
    procedure=codings.CHEST_XRAY_TWO_VIEWS,
    reason="Before an operation",
    phantom=ChestRadiographPhantom(
        chest=PRIOR.phantom, noise_seed=103, levels=80, columns_sampled=240, depths=48, rows=630, columns=750
    ),
    views=(RadiographView.FROM_THE_BACK, RadiographView.FROM_THE_SIDE),
    transfer_syntax=ExplicitVRLittleEndian,
    is_on_tape=True,
)

_PRIOR_TEXT = """LOW-DOSE CT OF THE CHEST (screening, first examination)

Findings: Solid nodule in the right upper lobe, 6.4 x 5.6 mm, mean diameter 6.0 mm. No further nodules.
No enlarged lymph nodes. Heart and great vessels unremarkable. No effusion.

Impression: Lung-RADS 3 (v2022). Solid nodule of 6.0 mm at the first examination.
Recommendation: low-dose CT in 6 months.
"""
_CURRENT_TEXT = """LOW-DOSE CT OF THE CHEST (screening), compared with the examination of last year

Findings: The solid nodule in the right upper lobe now measures 9.6 x 8.4 mm, mean diameter 9.0 mm (previously 6.0 mm):
growth of 3.0 mm within 12 months. No further nodules. No enlarged lymph nodes. No effusion.

Impression: Lung-RADS 4B (v2022). Growing solid nodule in the right upper lobe.
Recommendation: referral to the chest clinic for PET/CT and tissue sampling.
"""


def alma_resources(calendar: DemoCalendar, radiograph: DemoRadiograph, prior: DemoCt, current: DemoCt) -> list[Json]:
    """Her chart, with the examinations as they were made (a test may have shortened them)."""
    chart = Chart(person=ALMA, calendar=calendar)
    earlier = lung_rads_by_radiologist(chart, prior, "3", solid_nodule(prior, first_seen(), follow_up_in(6)))
    now = lung_rads_by_radiologist(chart, current, "4B", solid_nodule(current, *grown_from(prior)))
    return [
        chart.patient(),
        chart.encounter("Discussion of the screening CT"),
        chart.smoking_status(codings.FORMER_SMOKER, "32 pack-years, stopped 6 years ago"),
        *(chart.order(ct) for ct in (prior, current)),
        earlier,
        now,
        chart.report(
            prior,
            text=_PRIOR_TEXT,
            conclusion="Lung-RADS 3 (v2022). Solid nodule of 6.0 mm in the right upper lobe. Low-dose CT in 6 months.",
            results=[earlier],
        ),
        chart.report(
            current,
            text=_CURRENT_TEXT,
            conclusion="Lung-RADS 4B (v2022). Solid nodule in the right upper lobe, 9.0 mm, grown from 6.0 mm. "
            "Referral to the chest clinic for PET/CT and tissue sampling.",
            results=[now],
        ),
        *portal_resources(chart, radiograph, current),
    ]
