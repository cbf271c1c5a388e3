"""Beginnings of programs that tests run by themselves (``python -c``), where what is loaded, or from where, is the question."""

MAKES_AN_INSTALLATION = """
from fhir_imaging.store.engine import Store
from imaging_cds.app import create_app
from imaging_cds.settings import from_table

settings = from_table({
    "public_base_url": "https://imaging.example",
    "state": {"state_dir": "state"},
    "cds": {"client_authentication": "off"},
    "ehr": [{"name": "hospital", "fhir_base": "https://ehr.example/fhir"}],
})
store = Store.open(settings.state)
store.migrate()
store.close()
"""
"""Of the smallest settings, in the folder that the program runs in; ``create_app(settings)`` can follow."""
