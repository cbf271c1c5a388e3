"""Measurement groups of a TID 1500 report: planar and volumetric regions, and measurements without any.

Spec: DICOM PS3.16 TID 1500, 1410, 1411, 1501, 300, 4019, 1001 to 1004.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fhir_imaging.uids import SopInstanceUID, is_uid
from pacs_sync.content_items import Item
from pacs_sync.report_document import Algorithm, Evaluation, Group, Measurement, Observers, Site

IMAGING_MEASUREMENTS = (("DCM", "126010"), ("DCM", "126011"))
MEASUREMENT_GROUP = ("DCM", "125007")
QUALITATIVE_EVALUATIONS = (("UMLS", "C0034375"),)
FINDING = ("DCM", "121071")
FINDING_SITE = ("SCT", "363698007")
LATERALITY = ("SCT", "272741003")
TRACKING_ID, TRACKING_UID = ("DCM", "112039"), ("DCM", "112040")
ALGORITHM_NAME, ALGORITHM_VERSION = ("DCM", "111001"), ("DCM", "111003")
ALGORITHM_MANUFACTURER = ("DCM", "122405")
DERIVATION = ("DCM", "121401")
_OBSERVER_TYPE, _DEVICE = ("DCM", "121005"), ("DCM", "121007")
_DEVICE_UID, _DEVICE_NAME = ("DCM", "121012"), ("DCM", "121013")
_DEVICE_MANUFACTURER, _DEVICE_MODEL = ("DCM", "121014"), ("DCM", "121015")
_PERSON_NAME = ("DCM", "121008")
# What stands in a group as a code and is no evaluation of the finding: site, method, category of finding, rendering intent.
_NO_EVALUATIONS = frozenset({FINDING, FINDING_SITE, LATERALITY, ("SCT", "370129005"), ("SCT", "276214006"), ("DCM", "111056")})
_CONTEXT = "HAS OBS CONTEXT"
_SETTING = frozenset({_CONTEXT, "HAS CONCEPT MOD", "HAS ACQ CONTEXT"})
"""Relationships of what sets the scene of a finding or says more exactly what it is, and is none of its properties."""
_REGIONS = frozenset({"SCOORD", "SCOORD3D", "IMAGE"})


def groups_of(root: Item, observers: Observers) -> tuple[Group, ...]:
    """The measurement groups, and the evaluations of the examination as a whole as a group without finding.

    A program that the report, or a list in it, names for all of them made those that name nobody themselves.
    """
    of_report = algorithm_in(root)
    found = []
    for container in root.named(*IMAGING_MEASUREMENTS):
        program = algorithm_in(container) or of_report
        found += [_group(one, observers, program) for one in container.named(MEASUREMENT_GROUP)]
    containers = list(root.named(*QUALITATIVE_EVALUATIONS))
    if whole := tuple(evaluation for one in containers for evaluation in evaluations_in(one)):
        named = next((program for one in containers if (program := algorithm_in(one))), of_report)
        found.append(Group(finding=None, algorithm=named or observing_program(observers), evaluations=whole))
    return tuple(found)


def observers_in(item: Item) -> Observers:
    """Who observed: each Observer Type begins another one; without a type the names tell (TID 1002)."""
    persons: list[str] = []
    devices: list[Algorithm] = []
    for one in _each_observer(item):
        name = next((child.words for child in one if child.is_named(_PERSON_NAME) and child.words), None)
        device = _device(one)
        if device is not None:
            devices.append(device)
        elif name:
            persons.append(name)
    return Observers(persons=tuple(dict.fromkeys(persons)), devices=tuple(dict.fromkeys(devices)))


def observing_program(observers: Observers) -> Algorithm | None:
    """The device that observed by itself. Where a person observed with it, it is that person's tool."""
    return None if observers.persons else next(iter(observers.devices), None)


def algorithm_in(item: Item) -> Algorithm | None:
    """The algorithm identification among an item's children (TID 4019)."""
    name = item.said(ALGORITHM_NAME)
    if not name:
        return None
    version, maker = item.said(ALGORITHM_VERSION), item.said(ALGORITHM_MANUFACTURER)
    return Algorithm(name=name, version=version or "", manufacturer=maker or "")


def evaluations_in(item: Item) -> Iterator[Evaluation]:
    """The qualitative evaluations among an item's children."""
    for one in item.children:
        if one.name is None or one.name.key in _NO_EVALUATIONS or one.relationship in _SETTING:
            continue
        if one.kind == "CODE" and one.code is not None:
            yield Evaluation(name=one.name, value=one.code)
        elif one.kind == "TEXT" and one.words:
            yield Evaluation(name=one.name, value=None, words=one.words)


def tracking_uid_in(item: Item) -> str | None:
    """The lesion's UID; None for words in its place, which some programs write."""
    stated = item.said(TRACKING_UID)
    return stated if stated and is_uid(stated) else None


def measurements_in(item: Item) -> Iterator[Measurement]:
    """The measurements among an item's children."""
    for one in item.children:
        if one.kind == "NUM" and one.name is not None and one.number is not None:
            yield Measurement(name=one.name, number=one.number, derivation=one.coded(DERIVATION))


def sites_in(item: Item) -> Iterator[Site]:
    """The finding sites, each with its side."""
    beside = item.coded(LATERALITY)
    for one in item.named(FINDING_SITE):
        if one.code is not None:
            yield Site(code=one.code, side=one.coded(LATERALITY) or beside)


def images_of(item: Item) -> tuple[SopInstanceUID, ...]:
    """The images on which its regions lie: selected from, outlined on, or segmented."""
    regions = [one for one in item.children if one.kind in _REGIONS]
    regions += [part for one in item.children if one.kind == "NUM" for part in one.children if part.kind in _REGIONS]
    return tuple(dict.fromkeys(uid for one in regions for uid in _images(one)))


def _group(item: Item, of_document: Observers, program: Algorithm | None) -> Group:
    own = observers_in(item)
    measured = [one for one in item.children if one.kind == "NUM"]
    algorithms = (algorithm_in(one) for one in (item, *measured))
    stated = next((one for one in algorithms if one is not None), None)
    is_own = bool(own.persons or own.devices)
    observers = own if is_own else of_document
    return Group(
        finding=item.coded(FINDING),
        tracking_uid=tracking_uid_in(item),
        tracking_id=item.said(TRACKING_ID),
        sites=tuple(sites_in(item)),
        algorithm=stated or (None if is_own else program) or observing_program(observers),
        measurements=tuple(measurements_in(item)),
        evaluations=tuple(evaluations_in(item)),
        instances=images_of(item),
        is_in_space=any(one.kind == "SCOORD3D" for one in item.descendants()),
    )


def _images(region: Item) -> Iterator[SopInstanceUID]:
    yield from region.instances
    for one in region.children:
        if one.kind == "IMAGE":
            yield from one.instances


def _each_observer(item: Item) -> Iterator[list[Item]]:
    context = [one for one in item.children if one.relationship == _CONTEXT]
    current: list[Item] = []
    for one in context:
        if one.is_named(_OBSERVER_TYPE) and current:
            yield current
            current = []
        current.append(one)
    if current:
        yield current


def _device(items: Iterable[Item]) -> Algorithm | None:
    said = {one.name.key: one.words or (one.code.value if one.code else "") for one in items if one.name is not None}
    if said.get(_OBSERVER_TYPE) not in (None, _DEVICE[1]) or not {_DEVICE_UID, _DEVICE_NAME, _OBSERVER_TYPE} & said.keys():
        return None
    name = said.get(_DEVICE_NAME) or said.get(_DEVICE_MODEL) or said.get(_DEVICE_UID)
    return Algorithm(name=name, manufacturer=said.get(_DEVICE_MANUFACTURER, "")) if name else None
