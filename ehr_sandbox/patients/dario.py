"""Patient D, Dario Synthetic, 71: the CT that is about to be ordered was done 20 days ago, and his kidneys have got worse.

- 190 days ago: eGFR 38.
- 20 days ago: CT of abdomen and pelvis with contrast for abdominal pain, no cause found.
- 10 days ago: eGFR 27. He takes metformin.
- Today: the same CT stands as a draft in his chart.
"""

from datetime import time

from pydicom.uid import ExplicitVRLittleEndian

from ehr_sandbox.demo_study import SOFT_TISSUE, DemoCalendar, DemoCtScan, DemoPerson
from ehr_sandbox.patients import codings
from ehr_sandbox.patients.chart import Chart
from ehr_sandbox.patients.elements import Json
from ehr_sandbox.phantom_belly import AbdomenPhantom
from ehr_sandbox.phantom_grid import VolumeGrid
from ehr_sandbox.phantom_torso import Habitus

DARIO = DemoPerson(
    key="demo-d",
    mrn="DEMO-1004",
    family="Synthetic",
    given="Dario",
    sex="M",
    age=71,
    birthday=(5, 19),
    height_m=1.74,
    weight_kg=86,
)
_REASON = "Abdominal pain, cause unknown"

PRIOR = DemoCtScan(
    key="demo-d-ct-prior",
    person=DARIO,
    days_ago=20,
    clock=time(11, 30),
    accession="DEMO-1004-1",
    description="CT ABDOMEN AND PELVIS WITH CONTRAST",
    procedure=codings.ABDOMEN_PELVIS_CT,
    reason=_REASON,
    phantom=AbdomenPhantom(
        seed=41,
        noise_seed=401,
        grid=VolumeGrid(slices=76, slice_spacing=5.0, first_z=-110.0),
        habitus=Habitus(fat_mm=16.0, breasts=False),
    ),
    transfer_syntax=ExplicitVRLittleEndian,
    region=codings.ABDOMEN_AND_PELVIS,
    body_part="ABDOMENPELVIS",
    contrast=True,
    windows=(SOFT_TISSUE,),
)
_TEXT = """CT OF ABDOMEN AND PELVIS WITH INTRAVENOUS CONTRAST

Findings: Liver, spleen, pancreas and both kidneys unremarkable. No stone, no obstruction. Bowel of normal calibre, no free
air, no free fluid. No enlarged lymph nodes. Bones without fracture.

Impression: No cause of the abdominal pain found.
"""


def dario_resources(calendar: DemoCalendar, prior: DemoCtScan) -> list[Json]:
    """His chart, with the examination as it was made (a test may have shortened it)."""
    chart = Chart(person=DARIO, calendar=calendar)
    return [
        chart.patient(),
        chart.encounter("Abdominal pain for four weeks"),
        chart.problem("kidney-disease", codings.KIDNEY_DISEASE_4, days_ago=10),
        chart.problem("diabetes", codings.DIABETES_2, days_ago=2900),
        chart.kidney_function(38, days_ago=190),
        chart.kidney_function(27, days_ago=10),
        chart.medication("metformin", codings.METFORMIN, "Metformin 1000 mg, one tablet twice a day", days_ago=300),
        chart.order(prior),
        chart.report(prior, text=_TEXT, conclusion="No cause of the abdominal pain found. Kidneys without obstruction."),
        chart.draft_order("ct-again", codings.ABDOMEN_PELVIS_CT, "Abdominal pain persists"),
    ]
