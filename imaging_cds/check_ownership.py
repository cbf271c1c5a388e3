"""How the imaging server learns whose study it is at one EHR, whether that can work here, and what is refused where it cannot.

Asked with the code that decides later: what the check finds is what a caller will meet. No study is opened.

Spec: SMART Imaging Access F2, F5-F8, F11, W4, M10; DESIGN §8 (strategies ``fhir`` and ``identifier``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fhir_imaging.errors import ImagingError, UpstreamError
from fhir_imaging.scopes import ScopeContext, parse_scopes
from fhir_imaging.settings import EhrSettings, Ownership
from fhir_imaging.tolerant import dicts, text
from imaging_cds.check_archived_numbers import check_numbers
from imaging_cds.check_context import CheckContext
from imaging_cds.check_report import Area, Finding
from imaging_cds.check_site import ImagingSite, caller_of
from imaging_cds.check_subjects import check_subjects, is_foreign
from imaging_server.fhir_ownership import FhirOwnership
from imaging_server.upstream import Archive

AREA = Area("Whose images: ownership")
FHIR_JSON = "application/fhir+json"
_ALL_REFUSED = "Until then every image of this EHR's patients is refused."
_BY_NUMBER = 'Set ownership = "identifier" for this EHR, with imaging_server.patient_identifiers.'


def check_ownership(context: CheckContext) -> Iterator[Finding]:
    """The strategy in the settings, what it needs, and whether that is there."""
    site = context.site
    if site is None:
        return  # no imaging server runs here, so nobody has to learn whose study it is
    if not site.archives:
        yield AREA.note(
            "No archive is configured for this EHR, so the gateway has no images for it; only other servers may.",
            f"Write the archive as [[pacs]], and let pacs_by_ehr.{context.ehr.name} name it where that is set.",
        )
        return
    yield from _check_strategy(context, site)
    yield from _check_rule(context, site)
    if context.ehr.ownership is Ownership.FHIR:
        yield from check_subjects(AREA, context, site)
        yield from _check_searches(context, site)
    elif not _may_read_patient(context) and context.ehr.backend_client_id is None:
        yield AREA.warning(
            "Callers' tokens may not read Patient (scopes), and the imaging server has no client of its own, so nobody reads "
            "the patient's number.",
            f"Add patient/Patient.r to scopes of this EHR, or have backend_client_id registered. {_ALL_REFUSED}",
        )
    yield from _check_backend_client(context, site)
    if context.token is None or context.patient is None:
        yield AREA.note("Not tried with a patient: give --token-file and --patient to see whose images would be found.")
    elif site.rule is not None:
        yield from check_numbers(AREA, context, site, site.rule)


def _check_strategy(context: CheckContext, site: ImagingSite) -> Iterator[Finding]:
    if context.ehr.ownership is Ownership.FHIR:
        compared = " and the archive's PatientID agrees" if site.rule else ""
        base = context.ehr.studies_base
        yield AREA.ok(f"ownership = fhir: a study is served where ImagingStudy at {base} names it for the patient{compared}.")
    else:
        system = site.rule.system if site.rule else "(no system is configured)"
        yield AREA.ok(f"ownership = identifier: a study is served where its PatientID is the patient's number of {system}.")


def _check_rule(context: CheckContext, site: ImagingSite) -> Iterator[Finding]:
    """What the comparison of numbers rests on."""
    where, rule = f"imaging_server.patient_identifiers.{context.ehr.name}", site.rule
    if rule is None:
        if context.ehr.ownership is Ownership.IDENTIFIER:
            yield AREA.fault(
                "No rule says which identifier of a patient is the archives' PatientID, so no study can be proven.",
                f"Write {where} with system and issuer_of_patient_id. {_ALL_REFUSED}",
            )
        else:
            yield _uncompared(site, f"Write {where} with the identifier system of the archives")
    elif rule.issuer_of_patient_id is None and not rule.is_only_issuer:
        remedy = f"Write issuer_of_patient_id, or is_only_issuer = true where the archives know one issuer only, to {where}."
        if context.ehr.ownership is Ownership.IDENTIFIER:
            yield AREA.fault(
                "The rule names no issuer of the archives' numbers: the same number may be another hospital's patient.",
                f"{remedy} {_ALL_REFUSED}",
            )
        else:
            yield AREA.note("The issuer of the archives' numbers is not looked at.", remedy)
    else:
        issuer = f"issuer {rule.issuer_of_patient_id}" if rule.issuer_of_patient_id else "one issuer only"
        unnamed = ", where it is not named too" if rule.is_only_issuer and rule.issuer_of_patient_id else ""
        yield AREA.ok(f"Numbers of {rule.system} are PatientIDs of {issuer}{unnamed}.")


def _uncompared(site: ImagingSite, remedy: str) -> Finding:
    """What it means that nobody looks whose images they are: where others' are beside them, this EHR's word opens those too."""
    what = "The archives' PatientID is not compared with the patient's number: ImagingStudy alone decides"
    may_reach, archives = site.settings.may_reach, [one.name for one in site.archives]
    beside = [one.title for one in site.other_ehrs if any(may_reach(one.name, archive) for archive in archives)]
    if not beside:
        return AREA.note(f"{what}.", f"{remedy}, so that a wrong ImagingStudy opens nothing.")
    return AREA.warning(
        f"{what}, also about archives that are open to {', '.join(beside)}: one that is written here opens their images too.",
        f"{remedy}, or give each EHR its own archives (pacs_by_ehr).",
    )


def _check_searches(context: CheckContext, site: ImagingSite) -> Iterator[Finding]:
    """Whether ImagingStudy can be asked for one patient's one study."""
    base = context.ehr.studies_base.rstrip("/")
    answer = context.prober.get(f"{base}/metadata", accept=FHIR_JSON)
    statement = answer.document() if answer.status == 200 else None
    if statement is None:
        yield AREA.warning(
            f"{base}/metadata brings no CapabilityStatement ({answer.said}): whether ImagingStudy is there cannot be told.",
            f"Try a patient (--token-file, --patient). If ImagingStudy is not served: {_BY_NUMBER}",
        )
    else:
        yield from _check_statement(base, statement)
    if context.token is not None and context.patient is not None:
        yield from _check_one_study(context, site, base)


def _check_statement(base: str, statement: Mapping[str, Any]) -> Iterator[Finding]:
    listed = [one for rest in dicts(statement.get("rest")) for one in dicts(rest.get("resource"))]
    resource = next((one for one in listed if text(one.get("type")) == "ImagingStudy"), None)
    if resource is None:
        yield AREA.fault(f"{base} has no ImagingStudy, so nobody there says whose study it is.", f"{_BY_NUMBER} {_ALL_REFUSED}")
        return
    known = {text(one.get("name")) for one in dicts(resource.get("searchParam"))}
    if "patient" not in known:
        yield AREA.fault(
            "ImagingStudy cannot be searched by patient, so one patient's studies cannot be told from another's.",
            f"{_BY_NUMBER} {_ALL_REFUSED}",
        )
    elif "identifier" not in known:
        yield AREA.note(
            "ImagingStudy cannot be searched by identifier: for every study that is opened the patient's whole list is read.",
            f"The EHR should offer it (F1); else: {_BY_NUMBER}",
        )
    else:
        yield AREA.ok("ImagingStudy is searched there by patient and identifier.")


def _check_one_study(context: CheckContext, site: ImagingSite, base: str) -> Iterator[Finding]:
    """Asks for one of the patient's studies as the gateway does before it serves it."""
    caller = caller_of(context.ehr, context.patient or "", context.token or "")
    if caller is None:
        return
    with site.session(context.ehr) as session:
        ownership = FhirOwnership(session, keep_s=1)
        archive = Archive(site.archives[0])
        try:
            found = ownership.studies(caller, archive)
            first = next(iter(found.studies), None)
            again = ownership.study(caller, archive, first.study) if first else None
        except ImagingError as error:
            yield AREA.fault(
                f"{base} could not be asked for the patient's studies: {error.detail}",
                "See what it answers to the search below Studies and Endpoints. The gateway refuses while it cannot be asked.",
            )
            return
        finally:
            archive.close()
    if first is None:
        yield AREA.warning(
            f"{base} names no study for this patient whose subject is {_subject_wanted(context.ehr, caller.patient_id)}.",
            f"Try a patient who has images. Where subjects are written otherwise, or the studies are not in FHIR: {_BY_NUMBER}",
        )
    elif again is None:
        yield AREA.fault(
            "A study of the patient's is not found when it is asked for by its identifier (urn:dicom:uid|urn:oid:…).",
            f"The EHR must search identifiers with their system (F1); else: {_BY_NUMBER} {_ALL_REFUSED}",
        )
    else:
        yield AREA.ok(f"Studies named for this patient: {len(found.studies)}; one asked for by itself is confirmed.")


def _check_backend_client(context: CheckContext, site: ImagingSite) -> Iterator[Finding]:
    """Whether the imaging server's own client can sign in. Its token is asked for and thrown away."""
    ehr = context.ehr
    if ehr.backend_client_id is None:
        return
    if site.rule is None:
        yield AREA.note("backend_client_id is set and no rule about numbers is, so that client is never used.")
        return
    with site.session(ehr) as session:
        backend = site.backend(session)
        try:
            token = backend.token_of(ehr) if backend else None
        except UpstreamError as error:
            said = error.context.get("what") or error.context.get("cause") or "no answer"
            yield AREA.fault(
                f"The imaging server's own client {ehr.backend_client_id} cannot sign in at the EHR: {said}.",
                f"Register it there for Backend Services with {ehr.backend_scopes} and the keys at "
                f"{context.app_base or context.app_origin}/.well-known/jwks.json; backend_token_url names another endpoint. "
                "Until then a patient whom the caller's token may not read has no images.",
            )
            return
    if token is not None:
        yield AREA.ok(f"The imaging server's own client {ehr.backend_client_id} signs in at the EHR ({ehr.backend_scopes}).")


def _subject_wanted(ehr: EhrSettings, patient: str) -> str:
    return f"{ehr.fhir_base.rstrip('/') + '/' if is_foreign(ehr) else ''}Patient/{patient}"


def _may_read_patient(context: CheckContext) -> bool:
    return bool(parse_scopes(context.ehr.scopes).granting("Patient", "r", contexts=(ScopeContext.PATIENT, ScopeContext.USER)))
