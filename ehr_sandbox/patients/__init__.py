"""The demo's synthetic patients: their images as DICOM files and their charts as FHIR R4 transaction Bundles."""

from ehr_sandbox.patients.demo import DemoData, build_crowd, build_demo

__all__ = ["DemoData", "build_crowd", "build_demo"]
