"""Names of DICOMweb resources: strict UIDs, and the URL of a study, series or instance.

Spec: PS3.18 §10.1.1 (resources) and PS3.5 §9.1 (UIDs).
"""

import re
from dataclasses import dataclass

from werkzeug.exceptions import BadRequest
from werkzeug.routing import BaseConverter

MAXIMUM_UID_LENGTH = 64

# Python's \d and $ accept other scripts' digits and a trailing newline; this does not. A leading zero in a
# component is against PS3.5 §9.1 but real devices write it, and refusing it here would hide their images.
_UID = re.compile(r"[0-9]+(?:\.[0-9]+)*", re.ASCII)


def is_uid(text: str) -> bool:
    """Whether the text is a DICOM UID: dotted decimal, at most 64 characters, nothing around it."""
    return len(text) <= MAXIMUM_UID_LENGTH and _UID.fullmatch(text) is not None


class UidConverter(BaseConverter):
    """A path segment that must be a UID; anything else is answered 400 and reaches no view."""

    regex = "[^/]+"

    def to_python(self, value: str) -> str:
        """The UID, unchanged."""
        if not is_uid(value):
            raise BadRequest("The path holds something that is not a DICOM UID.")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceUrls:
    """Absolute URLs of this archive, made from its configured base and never from the Host header."""

    base_url: str

    def study(self, study_uid: str) -> str:
        """Retrieve URL of a study."""
        return f"{self.base_url}/studies/{study_uid}"

    def series(self, study_uid: str, series_uid: str) -> str:
        """Retrieve URL of a series."""
        return f"{self.study(study_uid)}/series/{series_uid}"

    def instance(self, study_uid: str, series_uid: str, sop_uid: str) -> str:
        """Retrieve URL of an instance."""
        return f"{self.series(study_uid, series_uid)}/instances/{sop_uid}"

    def bulk_data(self, study_uid: str, series_uid: str, sop_uid: str) -> str:
        """What the BulkDataURIs of an instance begin with."""
        return f"{self.instance(study_uid, series_uid, sop_uid)}/bulkdata"
