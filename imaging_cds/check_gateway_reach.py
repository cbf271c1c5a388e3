"""Whether the guard reaches as far as images do: to parts of a study, to large values, and to what a scope leaves out.

Each of these is an address of its own, and a server that looks at the study in the address alone may forget it.

Spec: SMART Imaging Access F5 (the scopes cover the request), W3, W4, P6; smart-imaging.md §13 groups 7, 9 and 17.
"""

from __future__ import annotations

from urllib.parse import urljoin

from imaging_cds.check_gateway_access import modalities_of
from imaging_cds.check_gateway_examination import Examination
from imaging_cds.check_gateway_places import ANY_DICOM, Images, addresses_in, asked, kinds_of
from imaging_cds.check_gateway_probe import IMAGE_LIMIT, Question, Reply
from imaging_cds.check_gateway_report import NotOffered, NotTried, Outcome
from imaging_cds.check_gateway_requirement import Requirement, refused
from imaging_cds.check_gateway_subject import UNKNOWN_TOKEN, TokenKind


def _outside_the_filter(exam: Examination) -> Outcome:
    token = exam.subject.token(TokenKind.FILTERED)
    exam.listed()
    allowed = modalities_of(token)
    if allowed is None:
        raise NotTried("The token does not show its scope; only a JWT with ?modality= says what it leaves out.")
    outside = next((one for one in exam.placed if one.place.endpoint and _is_outside(one.study.modalities, allowed)), None)
    if outside is None or outside.place.endpoint is None:
        raise NotTried(f"The patient has no study with images that is of no modality of {', '.join(sorted(allowed))}.")
    series = next((one.uid for one in outside.study.series), None)
    images = Images(address=outside.place.endpoint.address, study=str(outside.study.study_instance_uid), series=series)
    return refused([(kind.name, exam.ask(asked(images, kind, token))) for kind in kinds_of(images)])


def _parts_of_others(exam: Examination) -> Outcome:
    study, series = exam.subject.foreign_study(), exam.subject.other_series
    if series is None:
        raise NotTried("Needs --other-series (and --other-instance): UIDs inside the other patient's study.")
    there = Images(address=exam.images.address, study=study, series=series, instance=exam.subject.other_instance)
    parts = [kind for kind in kinds_of(there) if "/series/" in kind.path]
    return refused([(kind.name, exam.ask(asked(there, kind, exam.good))) for kind in parts])


def _large_values(exam: Examination) -> Outcome:
    images = exam.images
    at = images.url(f"{images.study_path}/metadata")
    found = sorted({urljoin(at, one) for dataset in images.metadata for one in addresses_in(dataset)})
    here = [one for one in found if exam.probe.may_ask(one)][:2]
    addresses = [one for one in here if _asked(exam, one, exam.good).is_served]
    if here and not addresses:
        raise NotTried("What BulkDataURI names is not served with the good token either, so that a refusal proves nothing.")
    if not addresses:
        raise NotOffered("The metadata names no large value at an address of this server.")
    told = [
        (f"a large value with {words}", _asked(exam, address, token))
        for address in addresses
        for words, token in (("no token", None), ("a made-up token", UNKNOWN_TOKEN))
    ]
    other = exam.subject.other_study
    if other is not None:
        moved = [one.replace(images.study, other) for one in addresses if images.study in one]
        told += [("a large value below another's study", _asked(exam, one, exam.good)) for one in moved]
    return refused(told)


def _is_outside(modalities: tuple[str, ...], allowed: set[str]) -> bool:
    return bool(modalities) and not set(modalities) & allowed


def _asked(exam: Examination, address: str, token: str | None) -> Reply:
    return exam.ask(Question(url=address, token=token, accept=f"{ANY_DICOM}, */*", limit=IMAGE_LIMIT))


REACH_REQUIREMENTS = (
    Requirement(
        ids="W3 F5 P6",
        name="filtered",
        asks="A filtered scope (?modality=) opens no images of a study that it leaves out, in no form.",
        remedy="Apply the filter to every image route, or grant nothing; the list alone is no guard.",
        check=_outside_the_filter,
    ),
    Requirement(
        ids="W3",
        name="large-values",
        asks="What BulkDataURI leads to needs the token and the patient, as the metadata does that names it.",
        remedy="Guard these addresses by the same check; an address that nobody guesses is no guard.",
        check=_large_values,
    ),
    Requirement(
        ids="W4",
        name="parts",
        asks="Another patient's series and instance, under their own UIDs, are refused in every kind of request.",
        remedy="Find out whose study it is on the routes below the study too.",
        check=_parts_of_others,
    ),
)
