"""Derive the big tables anew from their sources, on stdout; ``README.md`` beside this file says where the sources come from.

python imaging_findings/tables/derive.py loinc LOINC_StudyDescription.csv > imaging_findings/tables/loinc_studies.csv
python imaging_findings/tables/derive.py body-parts anatomic_regions.json > imaging_findings/tables/body_parts.csv
python imaging_findings/tables/derive.py assessments > imaging_findings/tables/dicom_assessments.csv
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from imaging_findings.codes import DCM, SNOMED
from imaging_findings.study_names import NameReading, Side, read_name, regions_named

LOINC_HEADER = """\
# Imaging examinations of LOINC, to be recognised when read; what this product itself orders stands in procedures.csv.
# Source: LOINC_StudyDescription.csv (number and long common name) of the PyPI wheel rsna-anonymizer 19.0.10 (2026), which does
# not state its LOINC release; the columns from modality on are derived by us, see README.md. Modality XA is LOINC's "RFA".
# NOTICE: this file contains content of LOINC (https://loinc.org), copyright Regenstrief Institute, Inc. and the Logical
# Observation Identifiers Names and Codes (LOINC) Committee, available at no cost under the licence at https://loinc.org/license.
# LOINC is a registered trademark of Regenstrief Institute, Inc. Numbers and names are unchanged.
"""
BODY_PARTS_HEADER = """\
# Body Part Examined terms and their SNOMED CT codes. Source: DICOM PS3.16 Annex L as shipped by highdicom 0.28.2 (MIT), term,
# code, display and paired as given; the regions are ours. CHEST and THORAX are 816094009, as in CID 4031.
# NOTICE: SNOMED CT content, used as DICOM PS3.16 publishes it by its agreement with SNOMED International (copyright SNOMED
# International); other use may need a licence of your country's release centre.
"""
ASSESSMENTS_HEADER = """\
# What a reader may code as CAD-RADS category (CID 3020, 3021) or as recommended follow-up of breast imaging (CID 6028, 6029).
# Source: DICOM PS3.16 as shipped by pydicom 3, code and display as given. CAD-RADS and BI-RADS are trademarks of the ACR.
# NOTICE: SNOMED CT content, used as DICOM PS3.16 publishes it by its agreement with SNOMED International (copyright SNOMED
# International); other use may need a licence of your country's release centre.
"""
ASSESSMENT_CIDS = (3020, 3021, 6028, 6029)
_SYSTEMS = {"DCM": DCM, "SCT": SNOMED}
# Where the display of a term alone does not say where it lies.
_REGIONS_OF_TERM = {
    "BACK": "cervical-spine lumbar-spine thoracic-spine",
    "CALF": "lower-leg",
    "CULDESAC": "pelvis",
    "DESCAORTA": "chest",
    "ENDOESOPHAGEAL": "chest",
    "ENDONASOPHARYNYX": "neck",
    "ENDOURETERIC": "abdomen pelvis",
    "ENDOURETHRAL": "pelvis",
    "ENDOVAGINAL": "pelvis",
    "ENDOVESICAL": "pelvis",
    "HYPOGASTRIC": "pelvis",
    "INNOMINATEV": "chest",
    "LINGUALA": "face",
    "LUMBAR": "lumbar-spine",
    "MORISONSPOUCH": "abdomen",
    "OPHTHALMICA": "head",
    "POSCOMMA": "head",
    "PROFFEMV": "leg-vessels",
}


def loinc_rows(source: Path) -> Iterator[list[str]]:
    """One row per LOINC number; the source repeats some, and gives one without its name beside one with it."""
    with source.open(encoding="utf-8-sig", newline="") as lines:
        named = {row["LoincNumber"]: row["LongCommonName"] for row in csv.DictReader(lines) if row["LongCommonName"].strip()}
    for code in sorted(named, key=lambda code: int(code.partition("-")[0])):
        yield [code, named[code], *derived(read_name(named[code]))]


def derived(reading: NameReading) -> list[str]:
    """The derived columns: modality, regions, contrast, side, purpose; unstated ones are empty."""
    return [
        reading.modality or "",
        " ".join(sorted(reading.regions)),
        "" if reading.contrast == "unknown" else reading.contrast,
        "" if reading.side is Side.UNSTATED else reading.side,
        "" if reading.purpose == "diagnostic" else reading.purpose,
    ]


def body_part_rows(source: Path) -> Iterator[list[str]]:
    """One row per term of Annex L."""
    terms = json.loads(source.read_text(encoding="utf-8"))
    for term, (_, code, display, is_paired) in sorted(terms.items()):
        regions = _REGIONS_OF_TERM.get(term) or " ".join(sorted(regions_named(display)))
        yield [term, code, display, "yes" if is_paired else "", regions]


def assessment_rows() -> Iterator[list[str]]:
    """One row per code of the context groups, with the groups that hold it."""
    # pydicom's own tables; only the derivation and the tests need it.
    from pydicom.sr._cid_dict import cid_concepts
    from pydicom.sr._concepts_dict import concepts

    for scheme, system in _SYSTEMS.items():
        wanted = {keyword for cid in ASSESSMENT_CIDS for keyword in cid_concepts[cid].get(scheme, [])}
        tabled = cast("dict[str, dict[str, tuple[str, list[int]]]]", concepts[scheme])
        known = {code: row for word in wanted for code, row in tabled[word].items()}
        for code, (display, cids) in sorted(known.items(), key=lambda one: int(one[0])):
            held = [str(cid) for cid in sorted(cids) if cid in ASSESSMENT_CIDS]
            if held:
                yield [system, code, display, " ".join(held)]


def main() -> None:
    """Write the table that the first argument names."""
    table = sys.argv[1]
    if table == "assessments":
        sys.stdout.write(ASSESSMENTS_HEADER)
        rows = csv.writer(sys.stdout, lineterminator="\n")
        rows.writerow(["system", "code", "display", "cids"])
        rows.writerows(assessment_rows())
        return
    source = Path(sys.argv[2])
    is_loinc = table == "loinc"
    sys.stdout.write(LOINC_HEADER if is_loinc else BODY_PARTS_HEADER)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if is_loinc:
        writer.writerow(["code", "display", "modality", "regions", "contrast", "side", "purpose"])
        writer.writerows(loinc_rows(source))
    else:
        writer.writerow(["term", "code", "display", "paired", "regions"])
        writer.writerows(body_part_rows(source))


if __name__ == "__main__":
    main()
