"""What ends a launch or a page: a refusal with its reason, whose words stand in ``explanation_words``."""

from __future__ import annotations

from collections.abc import Mapping

from fhir_imaging.errors import ImagingError
from smart_app.explanation_words import EXPLANATIONS, RELAUNCH
from smart_app.reasons import Explanation, Reason

__all__ = ["EXPLANATIONS", "RELAUNCH", "ExplainedRefusal", "Explanation", "Reason"]


class ExplainedRefusal(ImagingError):
    """Something ends here and a person must be told why. ``facts`` go into the folded details: no tokens, no patient data."""

    def __init__(
        self,
        reason: Reason,
        *,
        facts: Mapping[str, str] | None = None,
        more: str | None = None,
        anew: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(EXPLANATIONS[reason].title, code=reason.value)
        self.reason = reason
        self.facts = dict(facts or {})
        self.more = more
        """The EHR's own ``error_uri``, offered as a link of its own."""
        self.anew = anew
        """Our own path that begins a new sign-in, where one may help."""
        self.retry_after_s = retry_after_s
        """How long a busy server asked to be left alone; the page counts it down and asks again."""
