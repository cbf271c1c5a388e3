"""By what a launch or a page can end, and what a page that explains it is made of; the words stand in ``explanation_words``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from fhir_imaging.texts import gettext


class Reason(StrEnum):
    """What ended the way, one page each."""

    LAUNCH_PARAMETERS = "launch-parameters"
    UNKNOWN_EHR = "unknown-ehr"
    NOT_A_STUDY = "not-a-study"
    STATE_UNKNOWN = "state-unknown"
    OTHER_BROWSER = "other-browser"
    LAUNCH_USED = "launch-used"
    LAUNCH_EXPIRED = "launch-expired"
    ISSUER_MIX_UP = "issuer-mix-up"
    DENIED = "denied"
    SIGN_IN_FAILED = "sign-in-failed"
    SCOPE_REFUSED = "scope-refused"
    CLIENT_REJECTED = "client-rejected"
    CODE_REFUSED = "code-refused"
    REQUEST_REFUSED = "request-refused"
    AUTHORIZATION_FAILED = "authorization-failed"
    EHR_UNAVAILABLE = "ehr-unavailable"
    EHR_SERVER_REFUSED = "ehr-server-refused"
    NO_CONFIGURATION = "no-smart-configuration"
    TOKEN_UNREADABLE = "token-unreadable"  # noqa: S105 - a page's name
    IDENTITY_INVALID = "identity-invalid"
    NO_PATIENT = "no-patient"
    TWO_PATIENTS = "two-patients"
    SESSION_UNKNOWN = "session-unknown"
    SESSION_ENDED = "session-ended"
    PATIENT_CHANGED = "patient-changed"
    NO_IMAGING_PERMISSION = "no-imaging-permission"
    IMAGING_UNAVAILABLE = "imaging-unavailable"
    IMAGING_BUSY = "imaging-busy"
    NO_IMAGING_SERVICE = "no-imaging-service"
    STUDY_NOT_OF_PATIENT = "study-not-of-patient"
    STUDY_NOT_AVAILABLE = "study-not-available"
    REPORT_NOT_AVAILABLE = "report-not-available"
    STUDY_OF_ANOTHER_PERSON = "study-of-another-person"
    VIEWER_MISSING = "viewer-missing"
    NOT_SAME_ORIGIN = "not-same-origin"
    DISPLAY_REQUEST = "display-request"
    DISPLAY_OTHER_PATIENT = "display-other-patient"
    DISPLAY_PATIENT_NOT_COMPARED = "display-patient-not-compared"


@dataclass(frozen=True, slots=True)
class Explanation:
    """One page: HTTP status, title, what happened, what can be done; ``remedy`` is for whoever runs the systems.

    ``can_retry``: the same address may well answer next time, and asking it again does no harm.
    """

    status: int
    title: str
    what: str
    advice: str
    remedy: str = ""
    can_retry: bool = False

    def in_words(self) -> Explanation:
        """The same in the language of the installation."""
        said = replace(self, title=gettext(self.title), what=gettext(self.what))
        return replace(said, advice=gettext(self.advice), remedy=gettext(self.remedy))
