"""The SMART on FHIR launch, the study list and the viewer page."""
