"""In which form a FHIR caller takes its answer: JSON is what there is, at every address alike.

Spec: FHIR R4 RESTful API, "Content types and encodings" (``_format`` outranks the Accept header; 406), "FHIR version
parameter"; RFC 9110 §12.5.1.
"""

from __future__ import annotations

from collections.abc import Sequence

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header, parse_options_header

from fhir_imaging.errors import InvalidRequest, NotSupported

FHIR_JSON = "application/fhir+json"
_OFFERED = (FHIR_JSON, "application/json", "text/json")
_NAMED = frozenset({*_OFFERED, "json", "*/*"})
_OF_R4 = (None, "4.0", "4.0.1")


def check_formats(formats: Sequence[str], accept: str | None) -> None:
    """NotSupported (406) for a caller that takes no JSON; InvalidRequest when ``_format`` is given more than once.

    ``formats`` are the values of ``_format``, ``accept`` is the header. Parameters of a type, such as a charset, do not
    matter, but for a version of FHIR that is not spoken here.
    """
    if len(formats) > 1:
        raise InvalidRequest("_format may be given once only.", code="parameter-repeated")
    stated = next((one for one in formats if one.strip()), None)
    # A plus sign that nobody encoded arrives as a space.
    is_offered = _is_accepted(accept) if stated is None else _type_of_r4(stated.strip().replace(" ", "+")) in _NAMED
    if not is_offered:
        raise NotSupported(
            f"Answers come as {FHIR_JSON} (R4) only: ask with _format=json, or accept that type.",
            status=406,
            code="format-not-offered",
        )


def _is_accepted(accept: str | None) -> bool:
    """Whether an Accept header takes JSON; none at all takes anything."""
    if accept is None or not accept.strip():
        return True
    stated = parse_accept_header(accept, MIMEAccept)
    read = [(name, quality) for value, quality in stated if (name := _type_of_r4(value)) is not None]
    return MIMEAccept(read).best_match(_OFFERED) is not None


def _type_of_r4(stated: str) -> str | None:
    """A media type without its parameters; None where they name another version of FHIR."""
    name, parameters = parse_options_header(stated)
    return name.lower() if parameters.get("fhirversion", parameters.get("fhirVersion")) in _OF_R4 else None
