"""All demo patients at once: DICOM files written, FHIR Bundles answered."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from ehr_sandbox.demo_crowd import bring_crowd_up_to_date
from ehr_sandbox.demo_files import DemoFiles, Progress, bring_up_to_date
from ehr_sandbox.demo_study import DemoCalendar, DemoCt, DemoExamination, NoduleMark, nodule_marks
from ehr_sandbox.patients import alma, bruno, clara, dario, elsa, fiona
from ehr_sandbox.patients.crowded import CROWDED_KEY, crowd, crowd_charts, crowd_reports
from ehr_sandbox.patients.elements import Json, transaction
from ehr_sandbox.patients.hospital import hospital_resources

_Writer = Callable[..., list[Json]]
_PATIENTS: Mapping[str, tuple[_Writer, tuple[DemoExamination, ...]]] = {
    alma.ALMA.key: (alma.alma_resources, (alma.ON_TAPE, alma.PRIOR, alma.CURRENT)),
    bruno.BRUNO.key: (bruno.bruno_resources, (bruno.CURRENT,)),
    clara.CLARA.key: (clara.clara_resources, (clara.CURRENT,)),
    dario.DARIO.key: (dario.dario_resources, (dario.PRIOR,)),
    elsa.ELSA.key: (elsa.elsa_resources, (elsa.CURRENT, elsa.UNREAD)),
    fiona.FIONA.key: (fiona.fiona_resources, (fiona.PRIOR, fiona.CURRENT)),
}
# In the archive under a PatientID that no chart knows.
_STRAYS: Mapping[str, tuple[DemoExamination, ...]] = {fiona.FIONA.key: (fiona.STRAY,)}
_AI_CLAIMS = {alma.CURRENT.key: alma.AI_CLAIM}


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoData:
    """What the demo needs to know of its patients.

    `charts`: FHIR R4 transaction Bundles of what is there before anything is imaged, first what all share, then one per
    patient. `reports`: Bundles of what people found in the images. They name studies as `ImagingStudy/` and their UID and are
    for when these have come from the archive; no chart says anything of a study there. Bundles refer to each other only
    backwards. `nodules` and `studies` are keyed by the examinations' keys. `strays`: studies in the archive that no chart
    names, because their PatientID is nobody's.
    """

    charts: tuple[Json, ...]
    reports: tuple[Json, ...]
    nodules: Mapping[str, NoduleMark]
    studies: Mapping[str, DemoExamination]
    strays: tuple[DemoExamination, ...] = ()

    @property
    def bundles(self) -> tuple[Json, ...]:
        """All of them, in the order in which they belong into a server."""
        return (*self.charts, *self.reports)

    def joined(self, other: "DemoData") -> "DemoData":
        """Both."""
        return DemoData(
            charts=(*self.charts, *other.charts),
            reports=(*self.reports, *other.reports),
            nodules={**self.nodules, **other.nodules},
            studies={**self.studies, **other.studies},
            strays=(*self.strays, *other.strays),
        )


def build_demo(
    dicom_dir: Path,
    *,
    demo_day: date,
    fhir_base: str,
    progress: Progress | None = None,
    only: frozenset[str] | None = None,
    slices: int | None = None,
) -> DemoData:
    """Write the DICOM files (or re-date them when `demo_day` has changed) and answer the charts.

    `fhir_base` is the root of every fullUrl (references stay relative).
    `progress` is told (study, done, total) in images. `only` names patients by FHIR id, `slices` shortens every CT around
    its focus and makes mammograms coarse, both for tests.
    KeyError for an unknown patient, OSError when the directory cannot be written.
    """
    calendar = DemoCalendar(demo_day=demo_day)
    keys = sorted(only if only is not None else _PATIENTS)
    stories = [(write, tuple(one.shortened(slices) for one in made)) for write, made in (_PATIENTS[key] for key in keys)]
    known = tuple(one for _, made in stories for one in made)
    strays = tuple(one.shortened(slices) for key in keys for one in _STRAYS.get(key, ()))
    files = DemoFiles(directory=dicom_dir, cts=(*known, *strays), calendar=calendar, claims=_AI_CLAIMS)
    bring_up_to_date(files, progress or _silence)
    told = [write(calendar, *made) for write, made in stories]
    charts = [hospital_resources(), *([one for one in chart if not _is_found(one)] for chart in told)]
    reports = [[one for one in chart if _is_found(one)] for chart in told]
    return DemoData(
        charts=tuple(transaction(one, fhir_base) for one in charts),
        reports=tuple(transaction(one, fhir_base) for one in reports if one),
        nodules=nodule_marks(one for one in known if isinstance(one, DemoCt)),
        studies={one.key: one for one in known},
        strays=strays,
    )


def build_crowd(dicom_dir: Path, studies: int, *, demo_day: date, fhir_base: str, progress: Progress | None = None) -> DemoData:
    """A further patient with so many small studies, whose files lie beside the others'; without files for 0 studies.

    ValueError for a number that cannot be meant.
    """
    calendar, many = DemoCalendar(demo_day=demo_day), crowd(studies) if studies else ()
    bring_crowd_up_to_date(dicom_dir / CROWDED_KEY, many, calendar, progress or _silence)
    return DemoData(
        charts=tuple(crowd_charts(calendar, fhir_base)) if many else (),
        reports=tuple(crowd_reports(many, calendar, fhir_base)),
        nodules={},
        studies={one.key: one for one in many},
    )


def _is_found(resource: Json) -> bool:
    """Whether somebody found it in images."""
    return resource["resourceType"] == "DiagnosticReport" or "derivedFrom" in resource


def _silence(study: str, done: int, total: int) -> None:
    """Progress that nobody watches."""
