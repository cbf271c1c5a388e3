"""The codes of assessments: our own small systems, and the outside codes that state a category."""

from __future__ import annotations

from imaging_findings import codes
from imaging_findings.codes import DCM, RADLEX, SNOMED, Code, concept

_BASE = "https://imaging-cds.example/fhir/CodeSystem"
ASSESSMENT = f"{_BASE}/imaging-assessment"

TITLES = {
    "bi-rads": "BI-RADS",
    "li-rads-ct-mr": "LI-RADS",
    "us-li-rads": "US LI-RADS",
    "ti-rads": "TI-RADS",
    "pi-rads": "PI-RADS",
    "o-rads-us": "O-RADS",
    "bosniak": "Bosniak",
    "adrenal-nodule": "Adrenal nodule",
    "abdominal-aorta": "Abdominal aorta",
    "cad-rads": "CAD-RADS",
    "breast-recommendation": "Breast imaging recommendation",
}
# No pack can read these: they are shown as the reader's word (reader_codes.py).
ECHOED = frozenset({"cad-rads", "breast-recommendation"})
# Code systems of the values; a category is a code of its assessment's own system.
SYSTEMS = {f"{_BASE}/{name}": name for name in TITLES}
# No PS3.16 code states BI-RADS category 6.
_BI_RADS = {
    "0": "397138000",
    "1": "397140005",
    "2": "397141009",
    "3": "397143007",
    "4": "397144001",
    "5": "397145000",
}
_PI_RADS = {
    "1": ("RID50289", "RID50296"),
    "2": ("RID50290", "RID50297"),
    "3": ("RID50291", "RID50298"),
    "4": ("RID50292", "RID50299"),
    "5": ("RID50293", "RID50300"),
    "X": ("RID50322", "RID50323"),
}
CAD_RADS = {key: code for cid in (3020, 3021) for key, code in codes.codes_of_cid(cid).items()}
# What a reader of breast images may recommend: any of it as value of DCM 111053, by itself only what can mean nothing else.
BREAST_RECOMMENDATIONS = {key: code for cid in (6028, 6029) for key, code in codes.codes_of_cid(cid).items()}
_OWN_WORD = {key: code for key, code in BREAST_RECOMMENDATIONS.items() if code.system == DCM}
CODED_CATEGORIES: dict[tuple[str, str], tuple[str, str]] = {
    **{(SNOMED, concept(SNOMED, code).code): ("bi-rads", category) for category, code in _BI_RADS.items()},
    **{(RADLEX, concept(RADLEX, code).code): ("pi-rads", category) for category, pair in _PI_RADS.items() for code in pair},
    # The displays begin with the category: "4A - Severe stenosis".
    **{key: ("cad-rads", code.display.partition(" - ")[0]) for key, code in CAD_RADS.items()},
    **{key: ("breast-recommendation", code.display) for key, code in _OWN_WORD.items()},
}
PI_RADS_VERSIONS = {(DCM, concept(DCM, "130564").code): "2.0", (DCM, concept(DCM, "130565").code): "2.1"}
# name, kind of number, component codes that carry it
NUMBERS: tuple[tuple[str, str, tuple[Code, ...]], ...] = (
    ("max-diameter", "mm", (Code(ASSESSMENT, "max-diameter"), codes.DIAMETER)),
    ("points", "count", (Code(ASSESSMENT, "points"),)),
    ("attenuation-hu", "hu", (Code(ASSESSMENT, "attenuation-hu"),)),
)
# Components with valueBoolean (yes, no) or a word of our own system.
WORDS = ("at-risk", "macroscopic-fat", "stable-one-year", "cancer-history", "symptomatic", "lesion", "menopausal-state")
SIDES = {
    (SNOMED, concept(SNOMED, "24028007").code): "right",
    (SNOMED, concept(SNOMED, "7771000").code): "left",
    (SNOMED, concept(SNOMED, "51440002").code): "both sides",
}
