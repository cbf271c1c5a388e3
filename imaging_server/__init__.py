"""The token-guarded DICOMweb gateway (SMART Imaging Access) in front of a PACS."""
