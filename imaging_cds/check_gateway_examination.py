"""An imaging server while it is examined: questions that many checks share are asked once and remembered.

Spec: SMART Imaging Access C4-C6 (three forms of Endpoint, the study's address), F1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from urllib.parse import urlencode, urljoin

from fhir_imaging.endpoints import BundleResources, EndpointState, ResolvedEndpoint, resolve_endpoint, with_local_endpoints
from fhir_imaging.settings import origin_of
from fhir_imaging.study import ImagingStudy, UnreadableStudy, read_study
from fhir_imaging.tolerant import as_dict, dicts, text
from imaging_cds.check_gateway_places import ANY_DICOM, Images, Kind, asked, images_of
from imaging_cds.check_gateway_probe import Probe, Question, Reply
from imaging_cds.check_gateway_report import NotTried
from imaging_cds.check_gateway_subject import Subject, TokenKind

FHIR_JSON = "application/fhir+json"
INCLUDE = ("_include", "ImagingStudy:endpoint")
MAX_PAGES = 50
_STUDIES_LOOKED_INTO = 3


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a search answer; ``mode`` as it says (match, include)."""

    full_url: str | None
    resource: Mapping[str, Any]
    mode: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a search answer; no entries where it is no Bundle."""

    reply: Reply
    bundle: Mapping[str, Any]

    @property
    def entries(self) -> list[Entry]:
        """In the order of the Bundle."""
        return [
            Entry(text(one.get("fullUrl")), as_dict(one.get("resource")), text(as_dict(one.get("search")).get("mode")))
            for one in dicts(self.bundle.get("entry"))
        ]

    @property
    def studies(self) -> list[Mapping[str, Any]]:
        """The ImagingStudy resources of this page."""
        return [one.resource for one in self.entries if one.resource.get("resourceType") == "ImagingStudy"]

    @property
    def next_url(self) -> str | None:
        """Where the list goes on; a link may be relative to its page."""
        links = (text(one.get("url")) for one in dicts(self.bundle.get("link")) if one.get("relation") == "next")
        found = next(links, None)
        with suppress(ValueError):
            return found and urljoin(self.reply.question.url, found)
        return found


@dataclass(frozen=True, slots=True)
class PlacedStudy:
    """A study that was listed, and what became of its Endpoints. ``lost`` are references that lead nowhere in the answer."""

    study: ImagingStudy
    place: ResolvedEndpoint
    lost: tuple[str, ...] = ()


def subject_of(study: Mapping[str, Any]) -> str:
    """The reference to a study's patient; empty where there is none."""
    return text(as_dict(study.get("subject")).get("reference")) or ""


def page_of(reply: Reply) -> Page:
    """The Bundle of an answer; an empty page where there is none."""
    bundle = as_dict(reply.json()) if reply.is_served else {}
    return Page(reply, bundle if bundle.get("resourceType") == "Bundle" else {})


def uids_of(pages: Sequence[Page]) -> set[str]:
    """The Study Instance UIDs that were listed."""
    studies = [read_study(one) for page in pages for one in page.studies]
    return {str(one.study_instance_uid) for one in studies if isinstance(one, ImagingStudy)}


class Examination:
    """One check under way. What a requirement needs and cannot be had raises NotTried with the reason."""

    def __init__(self, subject: Subject, probe: Probe) -> None:
        self.subject = subject
        self.probe = probe

    def ask(self, question: Question) -> Reply:
        """One question to the server. One redirect on its origin is looked behind: what is there may stand open."""
        reply = self.probe.ask(question)
        if reply.onward is None:
            return reply
        return replace(reply, led_to=self.probe.ask(replace(question, url=reply.onward)))

    def search(self, *params: tuple[str, str], token: str | None, method: str = "GET") -> Reply:
        """A search for ImagingStudy, as GET or as POST _search."""
        url, query = f"{self.subject.base}/ImagingStudy", urlencode(params)
        if method == "GET":
            return self.ask(Question(url=f"{url}?{query}" if query else url, token=token, accept=FHIR_JSON))
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.ask(
            Question(
                url=f"{url}/_search", method=method, token=token, accept=FHIR_JSON, headers=form, body=query.encode("ascii")
            )
        )

    def search_own(self, *params: tuple[str, str], token: str | None = None, method: str = "GET") -> Reply:
        """A search for the token's patient; with the good token unless another is given."""
        token = token if token is not None else self.good
        return self.search(("patient", self.subject.its_patient()), *params, token=token, method=method)

    def pages_from(self, reply: Reply) -> list[Page]:
        """The answer and the pages that follow; no link is followed twice, and none to an origin that may not see the token."""
        pages, followed = [page_of(reply)], {reply.question.url}
        while (url := pages[-1].next_url) is not None and self.probe.may_ask(url) and len(pages) < MAX_PAGES:
            pages.append(page_of(self.ask(Question(url=url, token=self.good, accept=FHIR_JSON))))
            if url in followed:
                break
            followed.add(url)
        return pages

    @property
    def good(self) -> str:
        """The good token."""
        return self.subject.token(TokenKind.GOOD)

    @cached_property
    def first(self) -> Reply:
        """The answer to the plain search with Endpoints included."""
        return self.search_own(INCLUDE)

    @cached_property
    def pages(self) -> list[Page]:
        """All pages of it."""
        return self.pages_from(self.first)

    def listed(self) -> list[Page]:
        """The pages; NotTried where they name no study, since nothing can be compared then."""
        if not uids_of(self.pages):
            raise NotTried(f"The search by patient brought no study that can be read ({self.first.said}).")
        return self.pages

    @property
    def uids(self) -> set[str]:
        """The patient's studies; NotTried where there are none."""
        return uids_of(self.listed())

    @cached_property
    def placed(self) -> list[PlacedStudy]:
        """The studies that can be read, with their Endpoints."""
        return [one for page in self.pages for one in self._placed_on(page)]

    @cached_property
    def endpoints(self) -> list[Mapping[str, Any]]:
        """Every Endpoint that the list holds, contained ones too."""
        included = [one.resource for page in self.pages for one in page.entries]
        contained = [inside for page in self.pages for study in page.studies for inside in dicts(study.get("contained"))]
        return [one for one in (*included, *contained) if one.get("resourceType") == "Endpoint"]

    @cached_property
    def _images(self) -> Images | NotTried:
        self.listed()
        usable = [one for one in self.placed if one.place.endpoint and one.place.endpoint.send_token]
        if not usable:
            return NotTried(self._why_no_images())
        looked_into = [images_of(self.probe, self.good, one.study, one.place) for one in usable[:_STUDIES_LOOKED_INTO]]
        return next((one for one in looked_into if one.has_pixels), looked_into[0])

    @property
    def images(self) -> Images:
        """One study of the patient and where its images are; NotTried where there is none."""
        found = self._images
        if isinstance(found, NotTried):
            raise found
        return found

    def prove_token(self) -> None:
        """NotTried where the good token opens no list: then the refusal of another token, or patient, proves nothing."""
        if not self.pages[0].bundle:
            raise NotTried(f"The good token opens nothing either ({self.first.said}), so that a refusal proves nothing.")

    def prove_images(self) -> None:
        """NotTried where the good token opens no images: a wrong address refuses everybody."""
        if not self._are_served:
            raise NotTried(
                "The good token opens no images either, neither files nor metadata, so that a refusal proves nothing."
            )

    @cached_property
    def _are_served(self) -> bool:
        images, kind = self.images, Kind("study", self.images.study_path, ANY_DICOM)
        return bool(images.metadata) or self.ask(asked(images, kind, self.good)).is_served

    def _placed_on(self, page: Page) -> list[PlacedStudy]:
        by_url = {one.full_url: one.resource for one in page.entries if one.full_url}
        by_id = {f"{one.resource.get('resourceType')}/{one.resource.get('id')}": one.resource for one in page.entries}
        resources = BundleResources(by_url, by_id)
        studies = [read_study(with_local_endpoints(dict(one), by_url)) for one in page.studies]
        allowed = self.probe.allowed_origins
        return [
            PlacedStudy(one, resolve_endpoint(one, resources, allowed), _lost(one, resources))
            for one in studies
            if not isinstance(one, UnreadableStudy)
        ]

    def _why_no_images(self) -> str:
        refused = [one.place.address for one in self.placed if one.place.state is EndpointState.ORIGIN_REFUSED]
        origins = sorted({_origin(address) for address in refused if address})
        if origins:
            return f"The images are at {', '.join(origins)}: allow the token to go there with --allow-origin."
        if any(one.place.endpoint for one in self.placed):
            return "Every Endpoint forbids the token (requires-access-token is false), so it was not sent."
        states = ", ".join(sorted({one.place.state.value for one in self.placed}))
        return f"No study has a WADO-RS Endpoint that can be used ({states})."


def _lost(study: ImagingStudy, resources: BundleResources) -> tuple[str, ...]:
    """The references to Endpoints that the answer does not resolve, each by itself."""
    alone = ((one, replace(study, endpoint_references=(one,))) for one in study.endpoint_references)
    return tuple(one for one, it in alone if resolve_endpoint(it, resources, ()).state is EndpointState.UNRESOLVED)


def _origin(address: str) -> str:
    try:
        return origin_of(address)
    except ValueError:
        return "an address that is not http(s)"
