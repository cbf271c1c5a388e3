"""What is in a study: the series and instances of archives' answers, each of which must say that it belongs there.

Spec: SMART Imaging Access F3, groups 10 and 14 (servers ignore parameters that they do not know, PS3.18 §8.3.4).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fhir_imaging.archived_study import ArchivedInstance, ArchivedSeries, ArchivedStudy, merged
from fhir_imaging.dicom_json import SERIES_INSTANCE_UID, STUDY_INSTANCE_UID, first_text
from fhir_imaging.study_reading import archived_instance, archived_series
from imaging_findings.body_site import body_site_of


def with_series(study: ArchivedStudy, listed: Iterable[tuple[str, Sequence[Mapping[str, Any]]]]) -> ArchivedStudy:
    """The study with its series, ``listed`` by archive."""
    copies = []
    for archive, datasets in listed:
        own = (one for one in datasets if first_text(one, STUDY_INSTANCE_UID) == study.uid)
        series = (one for one in (archived_series(dataset, archive) for dataset in own) if one)
        copies.append(replace(study, series=tuple(_with_body_site(one) for one in series)))
    return merged(copies) if copies else study


def _with_body_site(series: ArchivedSeries) -> ArchivedSeries:
    return replace(series, body_site=body_site_of(series.body_part)) if series.body_part else series


def with_instances(study: ArchivedStudy, datasets: Iterable[Mapping[str, Any]]) -> ArchivedStudy:
    """The study with the instances of those series that it has; one that two archives hold counts once."""
    by_series: dict[str, dict[str, ArchivedInstance]] = {one.uid: {} for one in study.series}
    for dataset in datasets:
        instance, series = archived_instance(dataset), first_text(dataset, SERIES_INSTANCE_UID)
        if first_text(dataset, STUDY_INSTANCE_UID) == study.uid and instance is not None and series in by_series:
            by_series[series].setdefault(instance.uid, instance)
    return replace(study, series=tuple(replace(one, instances=_in_order(by_series[one.uid].values())) for one in study.series))


def _in_order(instances: Iterable[ArchivedInstance]) -> tuple[ArchivedInstance, ...]:
    return tuple(sorted(instances, key=lambda one: (one.number is None, one.number or 0, one.uid)))
