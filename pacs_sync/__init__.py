"""Keeps FHIR ImagingStudy, Endpoint and imaging results equal to what the PACS holds."""
