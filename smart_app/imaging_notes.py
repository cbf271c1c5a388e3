"""Plain sentences above the list about what is missing from it, and why.

Spec: smart-launch.md §8 (say when the server filtered or paged); SMART App Launch 2.2 A17.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fhir_imaging.scopes import ScopeContext
from fhir_imaging.study import concept_text
from fhir_imaging.texts import gettext, ngettext
from fhir_imaging.tolerant import dicts, text
from smart_app.active_session import ActiveSession
from smart_app.study_list import StudyList
from smart_app.study_search import REPORTS, STUDIES, FoundStudies, GatheredRecords

CONTEXTS = (ScopeContext.PATIENT, ScopeContext.USER)
NOTE_FOR_PATIENT = "Not everything in the record can be shown here. Ask your care team about studies that you miss."
_RIGHTS = {
    "ImagingStudy": ("s", "the list of studies"),
    "DiagnosticReport": ("s", "reports"),
    "Patient": ("r", "the patient's name, birth date and record number"),
}


def notes_on(session: ActiveSession, records: GatheredRecords, found: FoundStudies, studies: StudyList) -> Iterator[str]:
    """Whole sentences for the user."""
    for resource_type, (letter, words) in _RIGHTS.items():
        scopes = session.scopes.granting(resource_type, letter, contexts=CONTEXTS)
        if not scopes:
            yield gettext("The EHR did not allow this application to see {words} ({right}).").format(
                words=gettext(words), right=f"patient/{resource_type}.{letter}"
            )
        elif all(scope.filters for scope in scopes):
            yield gettext("The EHR limits {words} to a part of the record, so there may be more than is shown.").format(
                words=gettext(words)
            )
        elif resource_type in records.problems and resource_type not in records.cut:
            yield gettext("The EHR did not answer the question for {words}. They may exist all the same.").format(
                words=gettext(words)
            )
    yield from _on_what_was_cut(records, found)
    if found.without_endpoints:
        yield gettext("The imaging server did not say where the images are (no right to read Endpoint).")
    if studies.blocked:
        yield ngettext(
            "{number} entry was left out because it does not belong to this patient or does not say whose it is. "
            "Please report this.",
            "{number} entries were left out because they do not belong to this patient or do not say whose they are. "
            "Please report this.",
            studies.blocked,
        ).format(number=studies.blocked)
    for outcome in found.outcomes:
        yield from (gettext("The imaging server remarks: {words}").format(words=words) for words in _remarks(outcome))


def note_on_other_reports(number: int) -> Iterator[str]:
    """That reports came which are not provably this patient's."""
    if number:
        yield ngettext(
            "{number} report was left out because it does not belong to this patient or does not say whose it is. "
            "Please report this.",
            "{number} reports were left out because they do not belong to this patient or do not say whose they are. "
            "Please report this.",
            number,
        ).format(number=number)


def _on_what_was_cut(records: GatheredRecords, found: FoundStudies) -> Iterator[str]:
    if STUDIES in records.cut:
        number = len(found.resources)
        yield gettext(
            "There are more studies than the {number} that were fetched; the ones left out may be the newest."
        ).format(number=f"{number:,}")
    if REPORTS in records.cut:
        yield gettext("There are more reports than the {number} that were fetched.").format(
            number=f"{len(records.reports or ()):,}"
        )
    if found.missing and STUDIES not in records.cut:
        yield ngettext(
            "The imaging server speaks of {number} further study and did not send it, or not so that it can be read.",
            "The imaging server speaks of {number} further studies and did not send them, or not so that they can be read.",
            found.missing,
        ).format(number=f"{found.missing:,}")


def _remarks(outcome: Mapping[str, object]) -> Iterator[str]:
    for issue in dicts(outcome.get("issue")):
        words = concept_text(issue.get("details")) or text(issue.get("diagnostics")) or text(issue.get("code"))
        if words and issue.get("severity") in ("error", "warning", "fatal"):
            yield words[:300]
