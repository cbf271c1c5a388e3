"""Range requests for large values: passed on when they are plain, ignored otherwise, as RFC 9110 §14.2 allows."""

from __future__ import annotations

import re

from werkzeug.datastructures import Headers

from imaging_server.resource import DicomResource, Kind

_RANGE = re.compile(r"bytes=(?:[0-9]{1,18}-[0-9]{0,18}|-[0-9]{1,18})", re.ASCII)
_VALIDATOR = re.compile(r"\"[!#-~]{1,100}\"|[A-Z][a-z]{2}, [0-9A-Za-z :]{10,30}", re.ASCII)


def is_multipart(content_type: str) -> bool:
    """Whether a message of several parts is meant."""
    return content_type.startswith("multipart/")


def range_of(resource: DicomResource, accept: str, headers: Headers) -> tuple[str | None, str | None]:
    """Range and If-Range as the archive may see them; only bulk data has pieces worth asking for.

    ``accept`` is what the archive is asked for: a piece of a multipart message would be no message.
    """
    asked = headers.get("Range")
    if resource.kind is not Kind.BULK_DATA or is_multipart(accept) or asked is None or _RANGE.fullmatch(asked) is None:
        return None, None
    validator = headers.get("If-Range")
    if validator is None:
        return asked, None
    return (asked, validator) if _VALIDATOR.fullmatch(validator) else (None, None)
