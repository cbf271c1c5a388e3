"""Which FHIR base knows a patient's imaging studies, by the EHR's own word or by the site's.

An EHR that lists ``smart-imaging-access`` must say beside it in which mode the imaging server takes tokens. Earlier drafts had
no such word, so a site may assert the mode for its EHR. What cannot be used is explained, never tried in silence.

Spec: SMART Imaging Access D1, D2, D4, D5, C10; smart-launch.md §1.6.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fhir_imaging.clients.smart_metadata import SmartMetadata
from fhir_imaging.settings import EhrSettings, is_web_address

IMAGING_CAPABILITY = "smart-imaging-access"
APP_LAUNCH_MODE = "http://fhir.org/argonaut/smart-imaging/capabilities/app-launch"
BACKEND_MODE = "http://fhir.org/argonaut/smart-imaging/capabilities/backend-services"

GUESSED = "The EHR names no imaging server; its own record was asked. Studies may exist that it does not know."
ONLY_BACKEND = "The EHR names an imaging server for other programs, but none that a sign-in like yours may use."
MODE_NOT_STATED = "The EHR names an imaging server without saying that a sign-in like yours may use it, so it was not asked."
NO_ADDRESS = "The EHR names an imaging server whose address cannot be used."


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagingBase:
    """The base to ask for ImagingStudy. ``notes`` are whole sentences for the user, empty where all is as it should be."""

    url: str
    is_stated: bool
    """The EHR or the site named it; else the EHR's own record is asked as the best guess."""
    mode_asserted: bool
    """The site vouches for app launch, because the EHR's discovery does not (D5)."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Advertised:
    """One place of the discovery that offers imaging, and why it cannot serve a launched app (None = it can)."""

    url: str
    unusable: str | None


def find_imaging_base(ehr: EhrSettings, metadata: SmartMetadata, iss: str) -> ImagingBase:
    """The base that serves this EHR's imaging: what discovery offers for app launch, else the site's, else the EHR itself.

    Of several offers the one that the site names goes first. A base that only the settings name counts as asserted.
    """
    offers = list(advertised(metadata, iss))
    asserted = ehr.imaging_mode_asserted
    usable = [one for one in offers if one.unusable is None or (asserted and one.unusable == MODE_NOT_STATED)]
    if usable:
        chosen = next((one for one in usable if one.url == (ehr.imaging_base or "").rstrip("/")), usable[0])
        return ImagingBase(url=chosen.url, is_stated=True, mode_asserted=chosen.unusable is not None)
    if ehr.imaging_base:
        return ImagingBase(url=ehr.imaging_base, is_stated=True, mode_asserted=True)
    reasons = tuple(dict.fromkeys(one.unusable for one in offers if one.unusable))
    return ImagingBase(url=iss, is_stated=False, mode_asserted=False, notes=(*reasons, GUESSED))


def has_other_patients(ehr: EhrSettings, metadata: SmartMetadata, iss: str, base: ImagingBase) -> bool:
    """Whether ``Patient/{id}`` in a study of this base is somebody of that server and not the EHR's patient of that id.

    An EHR that offers a base itself shares its sign-in, and so its patients, with it. A server that the site alone names may
    number its Patients otherwise, unless the site says that it does not (FHIR R4 references; group 29).
    """
    is_site_alone = base.url == ehr.imaging_base and not any(one.url == base.url for one in advertised(metadata, iss))
    return is_site_alone and ehr.has_studies_elsewhere and not ehr.imaging_base_has_ehr_ids


def advertised(metadata: SmartMetadata, iss: str) -> Iterator[Advertised]:
    """Every place where discovery offers imaging: associated endpoints first, then the EHR's own base."""
    for endpoint in metadata.associated_endpoints:
        if IMAGING_CAPABILITY in endpoint.capabilities:
            fault = None if _is_base(endpoint.url) else NO_ADDRESS
            yield Advertised(url=endpoint.url, unusable=fault or _mode_fault(endpoint.capabilities))
    if IMAGING_CAPABILITY in metadata.capabilities:
        yield Advertised(url=iss, unusable=_mode_fault(metadata.capabilities))


def _is_base(url: str) -> bool:
    """Whether paths can be appended: behind a query they would be part of it, and a key there is for nobody's eyes."""
    return is_web_address(url) and "?" not in url and "#" not in url


def _mode_fault(capabilities: tuple[str, ...]) -> str | None:
    if APP_LAUNCH_MODE in capabilities:
        return None
    return ONLY_BACKEND if BACKEND_MODE in capabilities else MODE_NOT_STATED
