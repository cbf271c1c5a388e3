"""Codes of the demo's charts and images.

Sources: LOINC long common names (RSNA-derived study-description list), DICOM PS3.16 context groups, HL7 terminology;
Lung-RADS and the nodule's properties have local systems because no international one exists.
"""

from ehr_sandbox.demo_study import Coding

_SCT = "http://snomed.info/sct"
_LOINC = "http://loinc.org"
_DCM = "http://dicom.nema.org/resources/ontology/DCM"
_LUNG_RADS = "https://imaging-cds.example/fhir/CodeSystem/lung-rads"
_NODULE = "https://imaging-cds.example/fhir/CodeSystem/nodule"
_GUIDELINE = "https://imaging-cds.example/fhir/CodeSystem/follow-up-guideline"
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"

SCREENING_CT = Coding(system=_LOINC, code="79086-5", display="CT Chest for screening WO contrast", dicom_scheme="LN")
ABDOMEN_PELVIS_CT = Coding(system=_LOINC, code="36813-4", display="CT Abdomen and Pelvis W contrast IV", dicom_scheme="LN")
PULMONARY_ANGIOGRAM = Coding(
    system=_LOINC, code="79077-4", display="CTA Pulmonary arteries for pulmonary embolus W contrast IV", dicom_scheme="LN"
)
SCREENING_MAMMOGRAM = Coding(system=_LOINC, code="26175-0", display="MG Breast - bilateral Screening", dicom_scheme="LN")
DIAGNOSTIC_MAMMOGRAM = Coding(system=_LOINC, code="26346-7", display="MG Breast - bilateral Diagnostic", dicom_scheme="LN")
CHEST_XRAY_IN_BED = Coding(system=_LOINC, code="36572-6", display="XR Chest AP", dicom_scheme="LN")
CHEST_XRAY = Coding(system=_LOINC, code="24648-8", display="XR Chest PA upright", dicom_scheme="LN")
CHEST_XRAY_TWO_VIEWS = Coding(system=_LOINC, code="24647-0", display="XR Chest PA and Lateral upright", dicom_scheme="LN")
CHEST_CT = Coding(system=_LOINC, code="29252-4", display="CT Chest WO contrast", dicom_scheme="LN")

ABDOMEN_AND_PELVIS = Coding(system=_SCT, code="818982008", display="Abdomen and pelvis")
UPPER_LOBE = Coding(system=_SCT, code="45653009", display="Structure of upper lobe of lung (body structure)")
LEFT_UPPER_LOBE = Coding(system=_SCT, code="44714003", display="Structure of upper lobe of left lung (body structure)")
RIGHT_MIDDLE_LOBE = Coding(system=_SCT, code="72481006", display="Structure of middle lobe of right lung (body structure)")

LUNG_RADS_CATEGORY = Coding(system=_SCT, code="1362105002", display="Lung Imaging Reporting and Data System category")
LUNG_RADS_VERSION = "2022"
SOLITARY_NODULE = Coding(system=_SCT, code="427359005", display="Solitary nodule of lung")
DIAMETER = Coding(system=_SCT, code="81827009", display="Diameter")
LONG_AXIS = Coding(system=_SCT, code="103339001", display="Long axis")
SHORT_AXIS = Coding(system=_SCT, code="103340004", display="Short axis")
NUMBER_OF_LESIONS = Coding(system=_SCT, code="246206008", display="Number of lesions")
FOLLOW_UP_INTERVAL = Coding(system=_DCM, code="111055", display="Recommended Follow-up Interval")

ATTENUATION = Coding(system=_NODULE, code="attenuation", display="Attenuation")
SOLID = Coding(system=_NODULE, code="solid", display="Solid")
MALIGNANCY_RISK = Coding(system=_NODULE, code="malignancy-risk", display="Risk of malignancy")
LOW_RISK = Coding(system=_SCT, code="75976002", display="Low risk")
HIGH_RISK = Coding(system=_SCT, code="15508007", display="High risk")
CHANGE = Coding(system=_NODULE, code="change", display="Change since the previous examination")
BASELINE = Coding(system=_NODULE, code="baseline", display="First examination")
GROWING = Coding(system=_NODULE, code="growing", display="Growing")
PREVIOUS_DIAMETER = Coding(system=_NODULE, code="previous-diameter", display="Previous diameter")
FLEISCHNER = Coding(system=_GUIDELINE, code="fleischner", display="Fleischner Society, incidental nodules on CT")
FLEISCHNER_VERSION = "2017"

FINDING = Coding(system=_DCM, code="121071", display="Finding")
PULMONARY_EMBOLISM = Coding(system=_SCT, code="59282003", display="Pulmonary embolism")
ACTIONABLE_IN_MINUTES = Coding(system="http://radlex.org", code="RID49480", display="ACR Category 1 Actionable Finding")
RIGHT_PULMONARY_ARTERY = Coding(system=_SCT, code="78480002", display="Right pulmonary artery")

EGFR = Coding(
    system=_LOINC,
    code="98979-8",
    display="Glomerular filtration rate/1.73 sq M.predicted [Volume Rate/Area] in Serum, Plasma or Blood"
    " by Creatinine-based formula (CKD-EPI 2021)",
)
METFORMIN = (
    Coding(system="http://www.nlm.nih.gov/research/umls/rxnorm", code="6809", display="metformin"),
    Coding(system="http://www.whocc.no/atc", code="A10BA02", display="metformin"),
)
KIDNEY_DISEASE_4 = Coding(system="http://hl7.org/fhir/sid/icd-10", code="N18.4", display="Chronic kidney disease, stage 4")
DIABETES_2 = Coding(system="http://hl7.org/fhir/sid/icd-10", code="E11", display="Type 2 diabetes mellitus")

SMOKING_STATUS = Coding(system=_LOINC, code="72166-2", display="Tobacco smoking status")
DAILY_SMOKER = Coding(system=_SCT, code="449868002", display="Smokes tobacco daily")
FORMER_SMOKER = Coding(system=_SCT, code="8517006", display="Ex-smoker")
NEVER_SMOKED = Coding(system=_SCT, code="266919005", display="Never smoked tobacco")

CT = Coding(system=_DCM, code="CT", display="Computed Tomography")
DX = Coding(system=_DCM, code="DX", display="Digital Radiography")
RADIOLOGY = Coding(system=f"{_TERMINOLOGY}/v2-0074", code="RAD", display="Radiology")
LOINC_RADIOLOGY = Coding(system=_LOINC, code="LP29684-5", display="Radiology")
CHILD = Coding(system=f"{_TERMINOLOGY}/v3-RoleCode", code="CHILD", display="child")
MEDICAL_RECORD_NUMBER = Coding(system=f"{_TERMINOLOGY}/v2-0203", code="MR", display="Medical record number")
ACCESSION_ID = Coding(system=f"{_TERMINOLOGY}/v2-0203", code="ACSN", display="Accession ID")
OBSERVATION_IMAGING = Coding(system=f"{_TERMINOLOGY}/observation-category", code="imaging", display="Imaging")
OBSERVATION_LABORATORY = Coding(system=f"{_TERMINOLOGY}/observation-category", code="laboratory", display="Laboratory")
OBSERVATION_SOCIAL = Coding(system=f"{_TERMINOLOGY}/observation-category", code="social-history", display="Social History")
AMBULATORY = Coding(system=f"{_TERMINOLOGY}/v3-ActCode", code="AMB", display="ambulatory")
EMERGENCY = Coding(system=f"{_TERMINOLOGY}/v3-ActCode", code="EMER", display="emergency")
ACTIVE = Coding(system=f"{_TERMINOLOGY}/condition-clinical", code="active", display="Active")
CONFIRMED = Coding(system=f"{_TERMINOLOGY}/condition-ver-status", code="confirmed", display="Confirmed")
PROBLEM = Coding(system=f"{_TERMINOLOGY}/condition-category", code="problem-list-item", display="Problem List Item")
PROVIDER = Coding(system=f"{_TERMINOLOGY}/organization-type", code="prov", display="Healthcare Provider")


def lung_rads(category: str) -> Coding:
    """A Lung-RADS category of the 2022 version, in the local code system."""
    return Coding(system=_LUNG_RADS, code=category, display=f"Lung-RADS {category}")
