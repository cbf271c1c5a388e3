"""Every failure that the application explains to somebody, as one tree.

::

    ImagingError
    ├── InvalidRequest        the caller sent something that cannot be understood
    ├── NotAuthenticated      who is calling is not proven
    ├── NotPermitted          proven, but not allowed this
    ├── NotFound              no such thing here
    ├── TooManyRequests       the caller asks more often than it may; it may come back
    ├── NotSupported          the method, media type or interaction is not offered
    ├── PrefetchUnavailable   required FHIR data is in neither prefetch nor reach (CDS Hooks 412)
    ├── UpstreamError         an outside server failed us
    │   ├── UpstreamTimeout   … by not answering in time
    │   └── UpstreamRefused   … by saying no to our own credential or request
    └── ConfigurationError    the site's settings cannot work

Errors know no HTTP: ``fhir_imaging.problems`` holds the one table from class to status. ``detail`` is safe to show to anybody;
``context`` is for the log only and never holds tokens, codes or patient data.
"""

from __future__ import annotations


class ImagingError(Exception):
    """Something that went wrong and can be explained: a stable ``code``, a safe ``detail`` and private ``context``."""

    code = "internal"

    def __init__(self, detail: str, *, code: str | None = None, **context: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.context = context
        if code is not None:
            self.code = code


class InvalidRequest(ImagingError):
    """The request is malformed; ``detail`` names the field and the fix."""

    code = "invalid-request"


class TooLarge(InvalidRequest):
    """The request's body is over the limit that ``detail`` names."""

    code = "too-large"


class NotAuthenticated(ImagingError):
    """No credential, or one that does not hold. ``challenge`` is the RFC 6750 error code, None when no credential came."""

    code = "not-authenticated"

    def __init__(self, detail: str, *, challenge: str | None = None, code: str | None = None, **context: object) -> None:
        super().__init__(detail, code=code, **context)
        self.challenge = challenge


class NotPermitted(ImagingError):
    """The caller is known and may not do this. ``code`` carries the reason of the refusal."""

    code = "not-permitted"


class NotFound(ImagingError):
    """Nothing here by that name."""

    code = "not-found"


class TooManyRequests(ImagingError):
    """The caller asks more often than it may. ``retry_after_s``: whole seconds after which it may come back."""

    code = "too-many-requests"

    def __init__(self, detail: str, *, retry_after_s: int, **context: object) -> None:
        super().__init__(detail, code=None, **context)
        self.retry_after_s = retry_after_s


class Busy(ImagingError):
    """This server has as much under way as it takes on, whoever asks. ``retry_after_s``: as of ``TooManyRequests``."""

    code = "busy"

    def __init__(self, detail: str, *, retry_after_s: int) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class NotSupported(ImagingError):
    """The method, media type or interaction is not offered; ``status`` is 405, 406, 415 or 501."""

    code = "not-supported"

    def __init__(self, detail: str, *, status: int = 405, code: str | None = None, **context: object) -> None:
        super().__init__(detail, code=code, **context)
        self.status = status


class PrefetchUnavailable(ImagingError):
    """Required data came neither by prefetch nor from the FHIR server (CDS Hooks 2.0, "Prefetch tokens", HTTP 412)."""

    code = "prefetch-unavailable"


class UpstreamError(ImagingError):
    """An outside server failed. ``status`` is its answer (None when it never answered)."""

    code = "upstream-failed"

    def __init__(
        self,
        detail: str,
        *,
        server: str,
        status: int | None = None,
        retryable: bool = False,
        retry_after_s: int | None = None,
        **context: object,
    ) -> None:
        super().__init__(detail, code=None, **context)
        self.server = server
        self.status = status
        self.retryable = retryable
        self.retry_after_s = retry_after_s


class UpstreamTimeout(UpstreamError):
    """An outside server did not answer in time."""

    code = "upstream-timeout"


class UpstreamRefused(UpstreamError):
    """An outside server said no: 401, 403 or another 4xx to a request of ours."""

    code = "upstream-refused"


class ConfigurationError(ImagingError):
    """The settings cannot work; ``problems`` lists every fault found, not only the first."""

    code = "configuration"

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems
