# The verbs of this project, the same on a laptop and in CI: demo, check, test, soak, bench, figures, mutants.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
VIEWER := .viewer
HAPI := .hapi
COUNTERPARTS := .counterparts
ARGS ?=

# Container images often set it, and every start of ours would then compile all of our modules: half of its time.
export PYTHONDONTWRITEBYTECODE :=

DEMO_ARGS := $(if $(PORT),--port $(PORT)) $(if $(EHR_PORT),--ehr-port $(EHR_PORT)) $(if $(PACS_PORT),--pacs-port $(PACS_PORT)) $(ARGS)

PACKAGES := cds_service ehr_sandbox fhir_imaging imaging_cds imaging_findings imaging_server pacs_sync smart_app

.PHONY: help demo check scans security test soak bench figures mutants conformance pictures texts viewer hapi counterparts clean
help:
	@echo "make demo    start the app, a sandbox EHR and a sandbox PACS on this machine (ARGS=\"--reset\" and so on)"
	@echo "make check   formatting, lint, types, import rules"
	@echo "make security  bandit, a search for credentials, the attack suite, and build/sbom.json: what a server installs"
	@echo "make test    all tests"
	@echo "make soak    property and kill tests only, twenty times as long as in CI (TIMES=100: longer)"
	@echo "make bench   benchmarks (ARGS=\"-k card\": a part of them)"
	@echo "make figures write docs/performance.* from the last benchmarks (ARGS=--again: only draw them anew)"
	@echo "make mutants break one thing at a time in a copy and show which test turns red (ARGS=\"--only R38 F2\")"
	@echo "make conformance  write docs/conformance.md anew"
	@echo "make pictures  write docs/pictures anew (ARGS as for test)"
	@echo "make texts   collect all words for people for translation"
	@echo "make hapi    build the HAPI FHIR server that tests synchronise to (needs Maven and a JDK)"
	@echo "make counterparts  fetch the npm packages that play foreign servers and clients in tests"

demo: $(VENV)/.demo
	@$(BIN)/python -m imaging_cds demo $(DEMO_ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Beside ruff's S rules, which are part of check. What looks like a credential and is none stands in .secrets.baseline.
scans: $(VENV)/.dev
	$(BIN)/bandit -q -c pyproject.toml -r $(PACKAGES)
	$(BIN)/python -m tests.secret_scan

security: scans
	$(BIN)/ruff check --select S .
	$(BIN)/python -m pytest tests/security -n auto --dist loadfile $(ARGS)
	@mkdir -p build
	$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --of JSON -o build/sbom.json requirements/server.txt

test: $(VENV)/.dev viewer
	$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

# Not viewer: nothing here opens a page.
soak: $(VENV)/.dev
	IMAGING_CDS_SOAK=$(or $(TIMES),20) $(BIN)/python -m pytest -n auto $(ARGS)

bench: $(VENV)/.dev
	$(BIN)/python -m pytest tests/benchmarks --benchmarks $(ARGS)

# Into docs/performance.json what the last run measured, from it the page's tables and its picture.
figures: $(VENV)/.dev
	@$(BIN)/python -m tests.benchmarks.report $(ARGS)

mutants: $(VENV)/.dev
	@$(BIN)/python -m tests.mutants $(ARGS)

# docs/conformance.md from docs/conformance.toml and from what the tests cite.
conformance: $(VENV)/.dev
	@$(BIN)/python -m tests.conformance

# Each page at three widths, light and dark; of the list and the viewer with the demo's images.
pictures: $(VENV)/.dev viewer
	$(BIN)/python -m pytest tests/browser/pictures.py -q $(ARGS)

# Every text for people, for translators.
texts: $(VENV)/.dev
	@$(BIN)/python -m tests.texts

# The viewer is optional for the unit tests: without npm its tests skip and say how to get it.
viewer: $(VENV)/.dev
	-@$(BIN)/python -m imaging_cds viewer

# A real FHIR server to write to; without it its tests skip and say how to get it.
hapi: | $(VENV)/bin/python
	@$(BIN)/python -m tests.interop.hapi_build $(ARGS)

# A second FHIR server, the JavaScript SMART client and a CDS client; without them their tests skip and say how to get them.
counterparts: $(VENV)/.dev
	@$(BIN)/python -m tests.interop.npm_build $(ARGS)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1). Set PYTHON=..."; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv module is missing. On Debian and Ubuntu: apt-get install python3-venv"; exit 2; }
	$(PYTHON) -m venv $(VENV)

# --require-hashes: what is installed is what was reviewed, byte for byte.
$(VENV)/.demo: requirements/demo.txt pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r requirements/demo.txt
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation --quiet --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation --quiet --editable .
	@touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV) $(VIEWER) $(HAPI) $(COUNTERPARTS) .demo dist build
