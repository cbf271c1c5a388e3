"""Finds the studies that a launch names, by asking: through a report, an order, an accession number or a logical id.

Whatever is found is only a UID: whether it may be opened is judged by the patient's own list afterwards, as for every link.

Spec: SMART App Launch 2.2 A29 (``fhirContext``); FHIR R4 ImagingStudy search (``_id``, ``identifier``, ``basedon``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from fhir_imaging.clients.fhir import FhirClient, SearchPage
from fhir_imaging.errors import ImagingError, UpstreamRefused
from fhir_imaging.settings import EhrSettings, origin_of
from fhir_imaging.study import UnreadableStudy, points_to_patient, read_study_uid
from fhir_imaging.tolerant import as_dict, text
from smart_app.explanations import ExplainedRefusal, Reason
from smart_app.imaging_base import find_imaging_base
from smart_app.named_study import REPORT, STUDY, NamedStudy, means, named_by
from smart_app.patient_imaging import reaching
from smart_app.services import SmartAppServices
from smart_app.session_tokens import LiveSession, SessionTokens
from smart_app.study_search import PAGE, PAGE_SECONDS
from smart_app.token_origins import token_receivers

TOKEN_REFUSED = 401
MOST_NAMED = 20
"""A launch points at a few studies; what lists more is cut, since each may cost a question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedNames:
    """The named studies with their UIDs, in the order of the launch; ``open`` names could not be followed to a study."""

    studies: tuple[NamedStudy, ...] = ()
    open: tuple[NamedStudy, ...] = ()


def resolve_named(services: SmartAppServices, live: LiveSession) -> ResolvedNames:
    """The UIDs of what the launch of this session named. A question that fails leaves its name open, never ends the launch.

    A refused token is renewed once and the questions asked once more (A39).
    """
    named = live.session.named_studies[:MOST_NAMED]
    if all(one.study_instance_uid for one in named):
        return ResolvedNames(studies=named)
    try:
        return _resolved(services, live, named)
    except UpstreamRefused:
        renewed = SessionTokens(services).live(live.session_id, was_refused=True)
    if renewed.access_token == live.access_token:
        return ResolvedNames(open=named)
    try:
        return _resolved(services, renewed, named)
    except UpstreamRefused:
        return ResolvedNames(open=named)


def _resolved(services: SmartAppServices, live: LiveSession, named: Sequence[NamedStudy]) -> ResolvedNames:
    with _lookup(services, live) as lookup:
        return lookup.resolve(named)


@contextmanager
def _lookup(services: SmartAppServices, live: LiveSession) -> Iterator[NamedLookup]:
    session = live.session
    ehr = services.ehr(session.ehr)
    if ehr is None:
        raise ExplainedRefusal(Reason.UNKNOWN_EHR, facts={"iss": session.iss})
    imaging_base = _permitted_base(services, ehr, session.iss)
    with reaching(services.outbound, imaging_base) as outbound:
        yield NamedLookup(
            imaging=FhirClient(imaging_base, outbound, access_token=live.access_token),
            record=FhirClient(session.iss, services.outbound, access_token=live.access_token),
            patient_id=session.patient,
            bases=(session.iss, imaging_base),
        )


def _permitted_base(services: SmartAppServices, ehr: EhrSettings, iss: str) -> str:
    metadata = services.metadata.of(iss)
    base = find_imaging_base(ehr, metadata, iss).url
    if origin_of(base) not in token_receivers(ehr, metadata, services.settings.origin):
        raise ExplainedRefusal(Reason.EHR_SERVER_REFUSED, facts={"origin": origin_of(base)})
    return base


@dataclass(slots=True, kw_only=True)
class NamedLookup:
    """Asks one patient's record and imaging base about names; the whole list of studies at most once."""

    imaging: FhirClient
    record: FhirClient
    patient_id: str
    bases: tuple[str, ...]
    _whole: list[dict[str, Any]] | None = field(default=None, init=False, repr=False)

    def resolve(self, named: Sequence[NamedStudy]) -> ResolvedNames:
        """Each name with its studies' UIDs. UpstreamRefused with status 401 when the token is not taken."""
        studies: list[NamedStudy] = []
        unfollowed: list[NamedStudy] = []
        for one in named:
            found = [NamedStudy(study_instance_uid=uid) for uid in self._uids(one)] if one.study_instance_uid is None else [one]
            studies += found
            unfollowed += [] if found else [one]
        return ResolvedNames(studies=tuple(dict.fromkeys(studies))[:MOST_NAMED], open=tuple(unfollowed))

    def _uids(self, named: NamedStudy) -> list[str]:
        try:
            names = self._direct(named)
            return list(dict.fromkeys(uid for name in names for uid in self._of_direct(name)))
        except ImagingError as error:
            if _is_token_refused(error):
                raise
            # No right to read the report, say, or a server that is away: the list tells what can be told.
            return []

    def _direct(self, named: NamedStudy) -> tuple[NamedStudy, ...]:
        """A report or an order replaced by what it names itself; everything else as it is."""
        if named.through is not None:
            resource_type, _, resource_id = named.through.partition("/")
            resources: Iterable[Mapping[str, Any]] = [self.record.read(resource_type, resource_id, timeout_s=PAGE_SECONDS)]
        elif named.identifier_of is not None and named.identifier is not None:
            query = [("patient", self.patient_id), ("identifier", named.identifier)]
            found = self.record.search(named.identifier_of, query, timeout_s=PAGE_SECONDS)
            resources = islice(found.matches, MOST_NAMED)
        else:
            return (named,)
        own = [one for one in resources if self._is_patients(one)]
        direct = tuple(dict.fromkeys(name for one in own for name in named_by(one)))
        # A report may say no more than its order does: one step further, never round in circles.
        return tuple(dict.fromkeys((*direct, *self._of_orders(direct)))) if _is_report(named) else direct

    def _of_orders(self, names: Iterable[NamedStudy]) -> Iterator[NamedStudy]:
        for name in names:
            if name.through is not None:
                yield from self._direct(name)

    def _of_direct(self, named: NamedStudy) -> Iterator[str]:
        if named.study_instance_uid is not None:
            yield named.study_instance_uid
            return
        for study in self._studies(named):
            uid = read_study_uid(study)
            if self._is_patients(study) and not isinstance(uid, UnreadableStudy):
                yield uid

    def _studies(self, named: NamedStudy) -> list[dict[str, Any]]:
        """By the narrow question first; servers that do not know it are asked for the patient's whole list."""
        try:
            query = [("patient", self.patient_id), *_narrowed(named)]
            narrow = self.imaging.search(STUDY, query, timeout_s=PAGE_SECONDS)
            found = [one for one in narrow.matches if means(named, one)]
        except ImagingError as error:
            if _is_token_refused(error):
                raise
            found = []
        return found or [one for one in self._whole_list() if means(named, one)]

    def _whole_list(self) -> list[dict[str, Any]]:
        """All studies of the patient, or what of them could be had: a server that fails is not asked again for every name."""
        if self._whole is None:
            whole: list[dict[str, Any]] = []
            try:
                for page in self._pages():
                    whole += page.matches
            except ImagingError as error:
                if _is_token_refused(error):
                    raise
            self._whole = whole
        return self._whole

    def _pages(self) -> Iterator[SearchPage]:
        of_patient = [("patient", self.patient_id)]
        is_begun = False
        try:
            for page in self.imaging.pages(STUDY, [*of_patient, *PAGE], timeout_s=PAGE_SECONDS):
                is_begun = True
                yield page
        except UpstreamRefused as refused:
            if is_begun or refused.status != 400:
                raise
            yield from self.imaging.pages(STUDY, of_patient, timeout_s=PAGE_SECONDS)

    def _is_patients(self, resource: Mapping[str, Any]) -> bool:
        return points_to_patient(text(as_dict(resource.get("subject")).get("reference")), self.patient_id, self.bases)


def _is_token_refused(error: ImagingError) -> bool:
    return isinstance(error, UpstreamRefused) and error.status == TOKEN_REFUSED


def _is_report(named: NamedStudy) -> bool:
    return named.identifier_of == REPORT or (named.through or "").startswith(f"{REPORT}/")


def _narrowed(named: NamedStudy) -> list[tuple[str, str]]:
    if named.resource_id is not None:
        return [("_id", named.resource_id)]
    return [("identifier", named.accession)] if named.accession is not None else [("basedon", named.through or "")]
