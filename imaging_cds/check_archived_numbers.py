"""Whether one patient's number is read at the EHR, and what the archives hold under it.

Spec: SMART Imaging Access F2, F11, W4, M10, group 11; DICOM PS3.4 §C.6.2 (PatientID, IssuerOfPatientID).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from fhir_imaging.dicom_json import issuer_of_number
from fhir_imaging.errors import ImagingError
from fhir_imaging.settings import Ownership, PacsSettings
from fhir_imaging.tolerant import dicts, text
from imaging_cds.check_context import CheckContext
from imaging_cds.check_report import Area, Finding
from imaging_cds.check_site import ImagingSite, caller_of
from imaging_server.archived_persons import ArchivedPersons, contradicts_nothing, proves
from imaging_server.patient_numbers import PatientNumbers
from imaging_server.settings import PatientIdentifierRule
from imaging_server.upstream import Archive, Matches

FHIR_JSON = "application/fhir+json"
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class _Comparison:
    """The patient's numbers, and whether a data set of an archive counts as the patient's by them."""

    numbers: frozenset[str]
    counts: Callable[[Mapping[str, Any]], bool]


def check_numbers(area: Area, context: CheckContext, site: ImagingSite, rule: PatientIdentifierRule) -> Iterator[Finding]:
    """The patient's numbers as the gateway reads them, and the studies of each archive that they prove."""
    caller = caller_of(context.ehr, context.patient or "", context.token or "")
    if caller is None:
        yield area.fault("--patient is no FHIR logical id.", "Give Patient.id alone, without Patient/ before it.")
        return
    with site.session(context.ehr) as session:
        rules = {context.ehr.name: rule}
        numbers = PatientNumbers(rules, session, site.backend(session), keep_s=1)
        try:
            found = numbers.of(caller)
        except ImagingError as error:
            yield area.fault(
                f"The patient could not be read for the number: {error.detail}",
                "The EHR must let this token, or the imaging server's own client, read Patient. The gateway refuses till then.",
            )
            return
        if not found:
            yield _no_number(area, context, rule)
            return
        words = "one number" if len(found) == 1 else f"{len(found)} numbers"
        yield area.ok(f"The patient has {words} of {rule.system} that may be compared.")
        persons = ArchivedPersons(numbers, keep_s=1, max_json_bytes=site.settings.max_json_bytes)
        # ImagingStudy says whose a study is where it decides; the number only must not contradict it.
        alone = context.ehr.ownership is Ownership.IDENTIFIER
        counts = partial(proves if alone else contradicts_nothing, numbers=found, rule=rule)
        for archive in site.archives:
            yield from _check_archive(area, archive, persons, rule, _Comparison(found, counts))


def _no_number(area: Area, context: CheckContext, rule: PatientIdentifierRule) -> Finding:
    """Why there is none: systems are shown, values never."""
    url = f"{context.ehr.fhir_base.rstrip('/')}/Patient/{context.patient}"
    answer = context.prober.get(url, token=context.token, accept=FHIR_JSON)
    patient = answer.document() if answer.status == 200 else None
    refused = "Every image of this patient is refused."
    if patient is None:
        return area.fault(
            f"This token may not read the patient ({answer.said}), and no client of the imaging server's own does. {refused}",
            "Add patient/Patient.r to scopes of this EHR, or have backend_client_id registered.",
        )
    systems = sorted({text(one.get("system")) or "(none)" for one in dicts(patient.get("identifier"))})
    if rule.system not in systems:
        return area.fault(
            f"The patient has no identifier of {rule.system}; those that it has are of {_listed(systems)}. {refused}",
            "Write the one whose values are the archives' PatientID as system of the rule.",
        )
    return area.fault(
        f"The patient's identifier of {rule.system} cannot be used: old, ended, empty, with a wild card, or the record was "
        f"merged into another. {refused}",
        "The EHR must give the patient a number that is in use.",
    )


def _check_archive(
    area: Area, settings: PacsSettings, persons: ArchivedPersons, rule: PatientIdentifierRule, compared: _Comparison
) -> Iterator[Finding]:
    archive = Archive(settings)
    try:
        found = [persons.search(archive, [("PatientID", number)]) for number in sorted(compared.numbers)]
    except ImagingError as error:
        yield area.fault(
            f"Archive {settings.name} could not be searched for the number: {error.detail}",
            "Compare dicomweb_root and the archive's credential in [[pacs]] with the archive.",
        )
        return
    finally:
        archive.close()
    yield _judged(area, settings.name, found, rule, compared)


def _judged(area: Area, name: str, found: list[Matches], rule: PatientIdentifierRule, compared: _Comparison) -> Finding:
    datasets = [one for matches in found for one in matches.datasets]
    refused = [one for one in datasets if not compared.counts(one)]
    if not all(matches.complete for matches in found):
        return area.warning(
            f"Archive {name} cuts its answers off, so what it holds under the number cannot be told. Lists may be refused.",
            "Raise the archive's limit of QIDO matches.",
        )
    if not datasets:
        return area.warning(
            f"Archive {name} has nothing under the patient's number.",
            "If the patient has images there, the identifier system of the rule is another one, or the archive stores numbers "
            "with leading zeros or prefixes.",
        )
    if not refused:
        return area.ok(f"Archive {name} has studies under the patient's number, all of them the patient's: {len(datasets)}.")
    issuers = {issuer_of_number(one) or "(none)" for one in refused}
    expected = rule.issuer_of_patient_id or "(none)"
    return area.warning(
        f"Archive {name}: {len(refused)} of {len(datasets)} studies under the number are refused, since their "
        f"issuer is {_listed(sorted(issuers))} and not {expected}.",
        "Correct issuer_of_patient_id of the rule; where (none) is meant and the archives know one issuer only, say "
        "is_only_issuer = true. Studies of another issuer are another patient's.",
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more if names else "no system at all"
