"""Whether the imaging server can tell this EHR's tokens from those of the other EHRs of an installation.

Spec: SMART Imaging Access F5, groups 6 and 8; RFC 7662 §2.2 (``iss`` and ``aud`` are optional).
"""

from __future__ import annotations

from collections.abc import Iterator

from fhir_imaging.clients.smart_metadata import SmartMetadata
from fhir_imaging.settings import EhrSettings
from imaging_cds.check_context import CheckContext
from imaging_cds.check_report import Area, Finding
from imaging_cds.check_site import ImagingSite
from imaging_server.token_authorities import OfferedBy, introspection_of, share_an_authority

AREA = Area("Whose tokens")


def check_tokens(context: CheckContext, metadata: SmartMetadata | None, offered_by: OfferedBy) -> Iterator[Finding]:
    """Each EHR of the settings whose tokens are checked in the same way; nothing where there is none.

    ``offered_by`` reads the SMART configuration of another EHR.
    """
    site = context.site
    if site is None or context.ehr.opaque_tokens:
        return  # nobody checks tokens here, or only those count that this installation's own app got at this EHR
    for other in site.other_ehrs:
        if share_an_authority(context.ehr, metadata, other, offered_by):
            yield _told_apart(context.ehr, other, site, is_signed=introspection_of(context.ehr, metadata) is None)


def _told_apart(ehr: EhrSettings, other: EhrSettings, site: ImagingSite, *, is_signed: bool) -> Finding:
    both = f"Tokens of {ehr.title} and of {other.title} are checked in the same way"
    in_common = sorted(site.settings.audiences_of(ehr) & site.settings.audiences_of(other))
    if is_signed and not in_common:
        return AREA.ok(f"{both}; aud, which signed tokens must have, tells them apart.")
    shared = f", nor one that names no more than {' or '.join(in_common)}" if in_common else ""
    silent = "A signed token says whose it is by" if is_signed else "An introspection answer must say whose a token is by"
    return AREA.warning(
        f"{both}. {silent} aud or iss; one that says neither{shared}, opens nothing (token-of-which-ehr).",
        f"Have the authorization server name {ehr.fhir_base} in aud, and not {other.fhir_base} beside it; or an iss of each "
        "EHR's own, written as token_issuer.",
    )
