"""A FHIR server that is kept equal to an archive: read, compared, and written only where something differs.

Nothing is made twice: what is new is created under a condition or an id of its own, and looked at once more; what stands is
written over in the one version that was seen.

Spec: clinical rules X14, X16, §7.1; FHIR R4 RESTful API §3.1.0.4 to §3.1.0.11.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from fhir_imaging.clients.fhir_writing import Written
from fhir_imaging.errors import UpstreamError
from fhir_imaging.fhir_versions import FhirVersion
from fhir_imaging.settings import origin_of
from fhir_imaging.tolerant import as_dict, dicts, text
from fhir_imaging.uids import DICOM_UID_SYSTEM, StudyInstanceUID, to_urn
from pacs_sync.kept_marks import KeptMarks
from pacs_sync.patients import has_number, is_active, replaced_by
from pacs_sync.plan import ours_first
from pacs_sync.ports import WrittenStudy
from pacs_sync.result_steps import WITHDRAWABLE, study_key
from pacs_sync.settings import ResourceIds, SyncSettings
from pacs_sync.standing import SYNC_TAGS, Mark, has_tag, study_tag, study_uids, subject_id, tagged_studies
from pacs_sync.target_access import TargetAccess
from pacs_sync.target_endpoint import TargetEndpoint
from pacs_sync.target_search import PAGE_SIZE, TargetSearch, has_identifier, token
from pacs_sync.target_writing import TargetWriting, is_needed, version_of

log = logging.getLogger("imaging_cds.sync")

_VERSIONS = {"4.0.": FhirVersion.R4, "4.3.": FhirVersion.R4B, "5.0.": FhirVersion.R5, "6.": FhirVersion.R6}
_ACCESSION = "ACSN"
_NOT_TOLD = frozenset({400, 403, 404, 405, 501})
"""Of a search for orders: the server has none, or tells us nothing of them."""
_LOCAL_PATIENT = re.compile(r"Patient/([A-Za-z0-9.-]{1,64})", re.ASCII)


class FhirTarget:
    """``Target`` of one synchronisation. Thread-safe; ``close`` it at the end."""

    def __init__(self, settings: SyncSettings, access: TargetAccess, *, clock: Callable[[], float] = time.time) -> None:
        self.mark = Mark(settings.name)
        self._settings = settings
        self._access = access
        self._clock = clock
        self._search = TargetSearch(access)
        self._marks = KeptMarks(self._search, self.mark, clock=clock)
        self._writing = TargetWriting(
            access,
            self._search,
            self.mark,
            ids=settings.target.ids,
            only_updates=self._knows_only_updates,
            wrote=self._marks.look,
        )
        self._endpoint = TargetEndpoint(settings, self._search, self._writing, version=lambda: self.version, clock=clock)
        self._statement_lock = threading.Lock()
        self._stated: Mapping[str, Any] | None = None
        self._orders_are_untold = False

    @property
    def version(self) -> FhirVersion:
        """What its CapabilityStatement says, asked once. UpstreamError for a release that nobody here can write."""
        stated = text(self._statement().get("fhirVersion")) or "no stated release"
        for prefix, version in _VERSIONS.items():
            if stated.startswith(prefix):
                return version
        words = f"It is a FHIR server of release {stated[:20]!r}; R4 (4.0), R4B (4.3), R5 and R6 can be written."
        raise UpstreamError(words, server=origin_of(self._access.base_url))

    def given_id(self, uid: StudyInstanceUID) -> str | None:
        """The id that a new ImagingStudy is given; None where the server gives ids."""
        return str(uid) if self._settings.target.ids is ResourceIds.STUDY_UID else None

    # What is read

    def patients_with(self, system: str, number: str) -> tuple[Mapping[str, Any], ...]:
        """As ``Target``: active ones, for a merged record that which replaced it."""
        today = datetime.fromtimestamp(self._clock(), UTC).date().isoformat()
        params = [("identifier", token(system, number)), ("_count", "20")]
        matches = self._search.few("Patient", params, lambda one: has_identifier(one, system, number))
        found: dict[str, Mapping[str, Any]] = {}
        for one in matches:
            if has_number(one, system, number, today=today):
                found |= {str(stands["id"]): stands for stands in self._survivors(one)}
        return tuple(found.values())

    def standing_for(self, patient_id: str) -> tuple[Mapping[str, Any], ...]:
        """As ``Target``."""
        patient = self._search.one("Patient", patient_id)
        return () if patient is None else tuple({str(one["id"]): one for one in self._survivors(patient)}.values())

    def order_with(self, system: str | None, accession: str, *, patient_id: str) -> str | None:
        """As ``Target``; without a system an order counts that calls the number its accession number."""
        if not self._serves("ServiceRequest"):
            return None
        params = [("identifier", token(system, accession)), ("_count", "20")]
        try:
            found = self._search.few("ServiceRequest", params, lambda one: has_accession(one, system, accession))
        except UpstreamError as failure:
            if failure.status not in _NOT_TOLD:
                raise
            self._note_orders_untold(failure.status)  # a study without its order is worth having
            return None
        if len(found) != 1 or subject_id(found[0]) != patient_id:
            return None  # another patient's order is no order of this study, whatever its number
        return f"ServiceRequest/{found[0]['id']}"

    def find(self, uid: StudyInstanceUID) -> tuple[WrittenStudy, ...]:
        """As ``Target``; where we give ids, by id too, since an index may lag behind."""
        value = f"{token(DICOM_UID_SYSTEM, to_urn(uid))},{token(DICOM_UID_SYSTEM, uid)}"
        found = list(self._search.few("ImagingStudy", [("identifier", value)], lambda one: uid in study_uids(one)))
        given = self.given_id(uid)
        if given is not None and all(one.get("id") != given for one in found):
            stands = self._search.one("ImagingStudy", given)
            found += [stands] if stands is not None else []
        return tuple(_as_written(one) for one in found)

    def all_studies(self) -> Iterator[WrittenStudy]:
        """Every ImagingStudy of ours, withdrawn ones too; ``content`` has what tells them apart and their state, no more."""
        params = [
            ("_tag", token(SYNC_TAGS, self.mark.name)),
            ("_elements", "identifier,status,subject,meta"),
            ("_count", str(PAGE_SIZE)),
        ]
        for page in self._search.pages("ImagingStudy", params):
            for one in page.matches:
                if one.get("resourceType") == "ImagingStudy" and self.mark.is_on(one):
                    yield _as_written(one)

    def results_differ(self, uid: StudyInstanceUID, resources: Iterable[Mapping[str, Any]], *, study_id: str) -> bool:
        """As ``Target``."""
        return self._writing.results_differ(uid, list(resources), f"ImagingStudy/{study_id}", self.results_of(uid))

    def results_of(self, uid: StudyInstanceUID) -> tuple[Mapping[str, Any], ...]:
        """As ``Target``."""
        tag = study_tag(uid)
        params = [("_tag", token(tag["system"], tag["code"])), ("_count", str(PAGE_SIZE))]
        return tuple(
            one
            for kind in filter(self._serves, WITHDRAWABLE)
            for page in self._search.pages(kind, params)
            for one in page.matches
            if one.get("resourceType") == kind and self.mark.is_on(one) and has_tag(one, tag)
        )

    def reported_on(self, study_id: str) -> frozenset[StudyInstanceUID]:
        """As ``Target``."""
        reference = f"ImagingStudy/{study_id}"
        params = [("derived-from", reference), ("_tag", token(SYNC_TAGS, self.mark.name)), ("_count", str(PAGE_SIZE))]

        def is_asked(one: Mapping[str, Any]) -> bool:
            named = (each.get("reference") for each in dicts(one.get("derivedFrom")))
            return self.mark.is_on(one) and reference in named

        try:
            found = self._search.few("Observation", params, is_asked) if self._serves("Observation") else ()
        except UpstreamError as failure:
            if failure.retryable:
                raise
            return frozenset()
        return frozenset(uid for one in found for uid in tagged_studies(one))

    # What is written

    def endpoint(self) -> str:
        """As ``Target``; nothing is made where the server dropped our mark a moment ago."""
        self._marks.ensure()
        return self._endpoint.reference()

    def standing_endpoint(self) -> Mapping[str, Any] | None:
        """The Endpoint as it stands there, ours or another's; None where none is found."""
        return self._endpoint.standing()

    def finds_by_mark(self, endpoint: Mapping[str, Any]) -> bool:
        """Whether the server finds an Endpoint of ours by our tag."""
        params = [("_tag", token(SYNC_TAGS, self.mark.name)), ("_count", "20")]
        return any(one.get("id") == endpoint.get("id") for one in self._search.few("Endpoint", params, self.mark.is_tagged_on))

    def write(self, resource: Mapping[str, Any], *, replaces: WrittenStudy | None) -> WrittenStudy:
        """As ``Target``; ``replaces`` itself where nothing differs."""
        self._marks.ensure()
        wanted, uid = self._wanted(resource, replaces)
        if replaces is not None and not is_needed(wanted, replaces, self.mark):
            return replaces
        with self._endpoint.doubted():
            written = self._writing.study(wanted, study_key(uid), replaces)
        return self._stands(uid, written, wanted, replaces)

    def write_results(self, uid: StudyInstanceUID, resources: Iterable[Mapping[str, Any]]) -> None:
        """As ``Target``; UpstreamError with ``status`` 409 where the study that they refer to is not there."""
        self._marks.ensure()
        wanted, standing = list(resources), self.results_of(uid)
        ours = ours_first(self.find(uid), self.mark) if wanted else ()
        if wanted and not ours:
            raise self._writing.overtaken()
        self._writing.results(uid, wanted, f"ImagingStudy/{ours[0].id}" if ours else "", standing)

    def write_together(
        self, resource: Mapping[str, Any], results: Iterable[Mapping[str, Any]], *, replaces: WrittenStudy | None
    ) -> WrittenStudy:
        """As ``Target``; results before the study that stands, so that whoever is killed between them sees what is to do."""
        self._marks.ensure()
        wanted, uid = self._wanted(resource, replaces)
        resources, standing = list(results), self.results_of(uid)
        if self._settings.target.transactions:
            changed = wanted if is_needed(wanted, replaces, self.mark) else None
            with self._endpoint.doubted():
                written = self._writing.together(changed, resources, (uid, replaces), standing)
            if written is not None:
                return self._stands(uid, written, wanted, replaces)
            if replaces is not None:
                return replaces
        if replaces is not None:
            self._writing.results(uid, resources, f"ImagingStudy/{replaces.id}", standing)
            return self.write(resource, replaces=replaces)
        stands = self.write(resource, replaces=None)
        self._writing.results(uid, resources, f"ImagingStudy/{stands.id}", standing)
        return stands

    def close(self) -> None:
        """Closes the connections."""
        self._access.close()

    # How

    def _statement(self) -> Mapping[str, Any]:
        with self._statement_lock:
            if self._stated is None:
                self._stated = self._access.capabilities()
            return self._stated

    def _types(self) -> dict[str, Mapping[str, Any]]:
        """What its CapabilityStatement says of each type."""
        stated = (one for rest in dicts(self._statement().get("rest")) for one in dicts(rest.get("resource")))
        return {str(one.get("type")): one for one in stated}

    def _serves(self, kind: str) -> bool:
        """Whether there is such a type; a statement that lists none says nothing."""
        types = self._types()
        return not types or kind in types

    def _knows_only_updates(self, kind: str) -> bool:
        stated = self._types().get(kind, {})
        return stated.get("conditionalUpdate") is True and stated.get("conditionalCreate") is not True

    def _note_orders_untold(self, status: int | None) -> None:
        if not self._orders_are_untold:
            self._orders_are_untold = True
            log.warning("sync %s: the FHIR server tells of no orders (HTTP %s); studies name none", self.mark.name, status)

    def _survivors(self, patient: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """The record itself, or those that replaced it, one step on: a longer chain is for people to look at."""
        merged = replaced_by(patient)
        if not merged:
            return [patient] if is_active(patient) else []
        ids = [found[1] for one in merged if (found := _LOCAL_PATIENT.fullmatch(one))]
        stands = [self._search.one("Patient", one) for one in dict.fromkeys(ids)]
        return [one for one in stands if one is not None and is_active(one) and not replaced_by(one)]

    def _wanted(self, resource: Mapping[str, Any], replaces: WrittenStudy | None) -> tuple[dict[str, Any], StudyInstanceUID]:
        uid = StudyInstanceUID(next(iter(study_uids(resource))))
        given = replaces.id if replaces is not None else self.given_id(uid)
        without_id = {name: value for name, value in resource.items() if name != "id"}
        return self.mark.put_on({**without_id, **({"id": given} if given else {})}), uid

    def _stands(
        self, uid: StudyInstanceUID, written: Written, wanted: Mapping[str, Any], replaces: WrittenStudy | None
    ) -> WrittenStudy:
        """Looks once more where the server gave an id, asked to or not: not every one keeps two writers apart."""
        self._marks.look("ImagingStudy", written.id)
        gave_id = replaces is None and written.id != self.given_id(uid)
        if gave_id and len(ours_first(self.find(uid), self.mark)) > 1:
            raise self._writing.overtaken()
        return WrittenStudy(id=written.id, version=written.version, content={**wanted, "id": written.id})


def has_accession(order: Mapping[str, Any], system: str | None, accession: str) -> bool:
    """Whether this is the accession number of an order: by its system, else by its type or for want of both."""
    for one in dicts(order.get("identifier")):
        if one.get("value") != accession:
            continue
        types = {coding.get("code") for coding in dicts(as_dict(one.get("type")).get("coding"))}
        if one.get("system") == system or (system is None and _ACCESSION in types):
            return order.get("status") != "entered-in-error"
    return False


def _as_written(resource: Mapping[str, Any]) -> WrittenStudy:
    return WrittenStudy(id=str(resource.get("id")), version=version_of(resource), content=resource)
