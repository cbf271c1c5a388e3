"""Single findings of a chest CAD report: what the program found, where, how large and how certain.

Composite findings, which only group these, and what the report itself asks not to present are left out.

Spec: DICOM PS3.16 TID 4100 to 4107, CID 6034 (Rendering Intent).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pacs_sync.content_items import Item
from pacs_sync.measurement_groups import (
    TRACKING_ID,
    algorithm_in,
    evaluations_in,
    images_of,
    measurements_in,
    sites_in,
    tracking_uid_in,
)
from pacs_sync.report_document import Algorithm, Group

CHEST_CAD_REPORT = ("DCM", "112000")
_SINGLE_FINDING = ("DCM", "111059")
_RENDERING_INTENT, _NOT_FOR_PRESENTATION = ("DCM", "111056"), ("DCM", "111152")


def detections_of(root: Item, equipment: Algorithm) -> tuple[Group, ...]:
    """The findings, each with the program that made it, else the one that the report names, else the equipment.

    CAD is made by a program in any case, also where nothing names it.
    """
    everything = [root, *root.descendants()]
    program = next((found for one in everything if (found := algorithm_in(one))), None)
    program = program or replace(equipment, name=equipment.name or "Computer-aided detection")
    return tuple(_detection(one, program) for one in _to_present(everything))


def _to_present(items: list[Item]) -> Iterator[Item]:
    for one in items:
        intent = one.coded(_RENDERING_INTENT)
        hidden = intent is not None and intent.key == _NOT_FOR_PRESENTATION
        if one.is_named(_SINGLE_FINDING) and one.code is not None and not hidden:
            yield one


def _detection(item: Item, program: Algorithm) -> Group:
    return Group(
        finding=item.code,
        tracking_uid=tracking_uid_in(item),
        tracking_id=item.said(TRACKING_ID),
        sites=tuple(sites_in(item)),
        algorithm=algorithm_in(item) or program,
        measurements=tuple(measurements_in(item)),
        evaluations=tuple(evaluations_in(item)),
        instances=images_of(item),
        is_in_space=any(one.kind == "SCOORD3D" for one in item.children),
    )
