"""How a FHIR server is written: what is new under a condition or an id of its own, what stands in the version that was seen.

Spec: FHIR R4 RESTful API §3.1.0.4 to §3.1.0.11; clinical rules X16.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias
from urllib.parse import urlencode

from fhir_imaging.clients.fhir_writing import OVERTAKEN, Written
from fhir_imaging.errors import UpstreamError
from fhir_imaging.settings import origin_of
from fhir_imaging.tolerant import as_dict, text
from fhir_imaging.uids import StudyInstanceUID
from pacs_sync.ports import WrittenStudy
from pacs_sync.result_steps import WITHDRAWABLE, Key, Step, by_key, id_of, key_of, keys_in, step, study_key, unwanted
from pacs_sync.settings import ResourceIds
from pacs_sync.standing import SYNC_TAGS, Mark, differs
from pacs_sync.target_access import TargetAccess
from pacs_sync.target_search import TargetSearch, has_identifier, token

_NAMESPACE = uuid.UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")
"""Of names that are OIDs (RFC 4122): for the entries of one Bundle."""
_AFTER_409 = min(OVERTAKEN)
Place: TypeAlias = Callable[[Step], str]
"""Writes what a step wants, and says under which address others refer to it."""


class TargetWriting:
    """Writes for one synchronisation, whose ``mark`` is on all of it. Thread-safe.

    ``only_updates``: of this type the server knows conditional updates and no conditional creates. ``wrote`` is told type and
    id of what is new.
    """

    def __init__(
        self,
        access: TargetAccess,
        search: TargetSearch,
        mark: Mark,
        *,
        ids: ResourceIds,
        only_updates: Callable[[str], bool],
        wrote: Callable[[str, str], None],
    ) -> None:
        self._access = access
        self._search = search
        self._mark = mark
        self._ids = ids
        self._only_updates = only_updates
        self._wrote = wrote

    def study(self, wanted: Mapping[str, Any], key: Key, replaces: WrittenStudy | None) -> Written:
        """An ImagingStudy; UpstreamError with ``status`` 409 where somebody else has just made it."""
        if replaces is not None:
            return self._updated({**wanted, "id": replaces.id}, replaces.version)
        written = self.created(key, wanted)
        if not written.is_new:
            raise self.overtaken()
        return written

    def created(self, key: Key, wanted: Mapping[str, Any]) -> Written:
        """What is new; where something of ours has its identifier by now, that stands instead."""
        written = self._create(key, wanted)
        if written.is_new:
            self._wrote(key.kind, written.id)
        return written

    def _create(self, key: Key, wanted: Mapping[str, Any]) -> Written:
        if "id" in wanted:
            return self._access.write(lambda writer: writer.update(wanted, is_first=True))
        if self._only_updates(key.kind):
            return self._access.write(lambda writer: writer.update_matching(wanted, self._condition(key)))
        return self._access.write(lambda writer: writer.create(wanted, if_none_exist=self._condition(key)))

    def updated(self, wanted: Mapping[str, Any], stands: Mapping[str, Any]) -> None:
        """Over what stands, in the version that was seen."""
        self._updated({**wanted, "id": stands["id"]}, version_of(stands))

    def standing(self, key: Key) -> Mapping[str, Any] | None:
        """What has this identifier: ours before others', the oldest of several."""
        params = [("identifier", token(key.system, key.value)), ("_count", "20")]
        found = self._search.few(key.kind, params, lambda one: has_identifier(one, key.system, key.value))
        ranked = sorted(found, key=lambda one: (not self._mark.is_on(one), len(str(one.get("id"))), str(one.get("id"))))
        return ranked[0] if ranked else None

    def results(
        self, uid: StudyInstanceUID, resources: Sequence[Mapping[str, Any]], study: str, standing: Sequence[Mapping[str, Any]]
    ) -> None:
        """Makes these the results of the study at the address ``study``; ``standing`` are those that it has."""

        def place(new: Step) -> str:
            if new.stands is not None:
                self.updated(new.resource, new.stands)
                return f"{new.key.kind}/{new.stands['id']}"
            return f"{new.key.kind}/{self.created(new.key, self._with_id(new)).id}"

        addresses = {study_key(uid): study, **self._elsewhere(resources, study_key(uid))}
        for one in self._steps(uid, resources, addresses, standing, place):
            self._updated(one, version_of(one, standing))

    def results_differ(
        self, uid: StudyInstanceUID, resources: Sequence[Mapping[str, Any]], study: str, standing: Sequence[Mapping[str, Any]]
    ) -> bool:
        """Whether ``results`` would write anything."""
        needed: list[Step] = []

        def place(new: Step) -> str:
            needed.append(new)
            return f"{new.key.kind}/{id_of(new.key)}"

        addresses = {study_key(uid): study, **self._elsewhere(resources, study_key(uid))}
        return bool(self._steps(uid, resources, addresses, standing, place) or needed)

    def together(
        self,
        wanted: Mapping[str, Any] | None,
        resources: Sequence[Mapping[str, Any]],
        place_of: tuple[StudyInstanceUID, WrittenStudy | None],
        standing: Sequence[Mapping[str, Any]],
    ) -> Written | None:
        """A study (None: it stands as it is) and its results in one transaction. None where there was nothing to write."""
        uid, replaces = place_of
        entries: list[dict[str, Any]] = []
        key = study_key(uid)
        study = f"ImagingStudy/{replaces.id}" if replaces else ""
        if wanted is not None:
            made = Step(key=key, resource=dict(wanted), stands=replaces.content if replaces else None, is_needed=True)
            entries.append(self._entry(made, replaces.version if replaces else None, replaces.id if replaces else None))
            study = _address(entries[0])

        def place(new: Step) -> str:
            stands = new.stands or {}
            entries.append(self._entry(new, version_of(stands), stands.get("id")))
            return _address(entries[-1])

        addresses = {key: study, **self._elsewhere(resources, key)}
        for one in self._steps(uid, resources, addresses, standing, place):
            taken_back = Step(key=Key(one["resourceType"], "", one["id"]), resource=one, stands=one, is_needed=True)
            entries.append(self._entry(taken_back, version_of(one, standing), one["id"]))
        if not entries:
            return None
        written = self._access.write(lambda writer: writer.transaction(entries))
        for entry, made_there in zip(entries, written, strict=True):
            if made_there.is_new:
                self._wrote(entry["resource"]["resourceType"], made_there.id)
        if wanted is not None and replaces is None and not written[0].is_new:
            raise self.overtaken()
        return written[0] if wanted is not None else None

    def overtaken(self) -> UpstreamError:
        """Somebody else was faster: what stands has to be looked at again."""
        words = "Somebody else has just written the same study."
        return UpstreamError(words, server=origin_of(self._access.base_url), status=_AFTER_409, retryable=True)

    def _steps(
        self,
        uid: StudyInstanceUID,
        resources: Iterable[Mapping[str, Any]],
        addresses: dict[Key, str],
        standing: Sequence[Mapping[str, Any]],
        place: Place,
    ) -> list[dict[str, Any]]:
        """Places what differs, and gives back what is to be withdrawn."""
        known, kept = by_key(standing), []
        for resource in resources:
            key = key_of(resource)
            is_of_study = key.kind in WITHDRAWABLE
            stands = known.get(key) if is_of_study else self.standing(key)
            marked = self._mark.put_on(resource, study=uid if is_of_study else None)
            new = step(marked, stands, addresses)
            is_others = stands is not None and not self._mark.is_on(stands)
            if stands is not None:
                kept.append(stands["id"])
            if stands is not None and (is_others or not new.is_needed):
                addresses[key] = f"{key.kind}/{stands['id']}"
            else:
                addresses[key] = place(new)
        return unwanted(standing, kept)

    def _elsewhere(self, resources: Sequence[Mapping[str, Any]], study: Key) -> dict[Key, str]:
        """Addresses of what results refer to that is neither among them nor their study: other studies of the patient."""
        wanted = {key for one in resources for key in keys_in(one)} - {study} - {key_of(one) for one in resources}
        found = {key: self.standing(key) for key in sorted(wanted)}
        return {key: f"{key.kind}/{stands['id']}" for key, stands in found.items() if stands is not None}

    def _with_id(self, new: Step) -> dict[str, Any]:
        """What is new, with the id that we give it where we do."""
        gives_id = self._ids is ResourceIds.STUDY_UID and "id" not in new.resource
        return {**new.resource, "id": id_of(new.key)} if gives_id else new.resource

    def _entry(self, new: Step, version: str | None, stands_as: str | None) -> dict[str, Any]:
        kind, base = new.key.kind, self._access.base_url
        resource = {**new.resource, "id": stands_as} if stands_as else self._with_id(new)
        if "id" in resource:
            request = {"method": "PUT", "url": f"{kind}/{resource['id']}"}
            condition = {"ifMatch": f'W/"{version}"'} if version else {}
            condition |= {"ifNoneMatch": "*"} if stands_as is None else {}
            return {"fullUrl": f"{base}/{kind}/{resource['id']}", "resource": resource, "request": {**request, **condition}}
        full_url = uuid.uuid5(_NAMESPACE, "\n".join(new.key)).urn
        request = {"method": "POST", "url": kind, "ifNoneExist": urlencode(self._condition(new.key))}
        return {"fullUrl": full_url, "resource": resource, "request": request}

    def _condition(self, key: Key) -> list[tuple[str, str]]:
        """Nothing of ours has this identifier: what somebody else made with it, or took back, is in nobody's way."""
        return [("identifier", token(key.system, key.value)), ("_tag", token(SYNC_TAGS, self._mark.name))]

    def _updated(self, resource: Mapping[str, Any], version: str | None) -> Written:
        return self._access.write(lambda writer: writer.update(resource, if_match=version))


def version_of(resource: Mapping[str, Any], standing: Iterable[Mapping[str, Any]] = ()) -> str | None:
    """The version of what stands; of a resource without one that of the one of ``standing`` with its id."""
    stated = text(as_dict(resource.get("meta")).get("versionId"))
    if stated is not None:
        return stated
    same = (one for one in standing if one.get("id") == resource.get("id"))
    return next((version_of(one) for one in same), None)


def is_needed(wanted: Mapping[str, Any], replaces: WrittenStudy | None, mark: Mark) -> bool:
    """Whether writing changes anything: the content, or that we are known to have made it."""
    return replaces is None or differs(wanted, replaces.content) or not mark.is_on(replaces.content)


def _address(entry: Mapping[str, Any]) -> str:
    """As other entries of the Bundle refer to it: a local reference where it has an id."""
    resource = entry["resource"]
    return f"{resource['resourceType']}/{resource['id']}" if "id" in resource else str(entry["fullUrl"])
