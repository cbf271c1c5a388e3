"""A strict sandbox EHR and a small PACS; shares no code with the product it tests."""
