"""FHIR resources that this application emits: R4 through fhirclient's strict models, other releases by what they change."""
