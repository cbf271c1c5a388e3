"""FHIR R4 resources that this application emits, built with fhirclient's strict models."""
