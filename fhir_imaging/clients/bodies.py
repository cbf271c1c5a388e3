"""Bodies of other servers' answers: read whole, within a size, their faults in our words.

The time that reading may take is the session's (``http.OutboundSession``), which ends an answer however slowly it comes.
"""

from __future__ import annotations

import requests

from fhir_imaging.clients.http import ran_out_of_time
from fhir_imaging.errors import UpstreamError, UpstreamTimeout
from fhir_imaging.settings import origin_of

_PIECE_BYTES = 64 * 1024


def whole_body(response: requests.Response, *, at_most: int, of: str, status: int | None = None) -> bytes | None:
    """The body of an answer that was asked for with ``stream=True``; None for one of more than ``at_most`` bytes.

    UpstreamTimeout or UpstreamError where its end does not come; ``of`` is whose answer it is ("The FHIR server"), ``status``
    what the error tells of it.
    """
    body, server = bytearray(), origin_of(response.url)
    try:
        for piece in response.iter_content(_PIECE_BYTES):
            body += piece
            if len(body) > at_most:
                return None
    except (requests.RequestException, ValueError) as exc:  # urllib3 lets a chunk of negative size through
        if ran_out_of_time(exc):
            raise UpstreamTimeout(f"{of} did not answer in time.", server=server, retryable=True) from exc
        raise UpstreamError(f"{of} broke off its answer.", server=server, status=status, retryable=True) from exc
    return bytes(body)
