"""Is a card response right? Judged as a strict EHR does, one card at a time.

Spec: CDS Hooks 2.0 "CDS Service Response" with the HL7 invariants cds-resp-1 to cds-resp-7 (R2, R24 to R32).
A fault keeps its card from the clinician; a remark does not.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

SUMMARY_LIMIT = 140
INDICATORS = ("critical", "warning", "info")
_RAW_HTML = re.compile(r"<[a-zA-Z/!]")
_KNOWN_MEMBERS = {
    "card": {
        "uuid", "summary", "detail", "indicator", "source", "suggestions", "selectionBehavior", "overrideReasons",
        "links", "extension",
    },
    "source": {"label", "url", "icon", "topic", "extension"},
    "suggestion": {"label", "uuid", "isRecommended", "actions", "actionSelectionBehavior", "extension"},
    "action": {"type", "description", "resource", "resourceId", "extension"},
    "link": {"label", "url", "type", "appContext", "autolaunchable", "extension"},
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedCard:
    """A card as it came, with what is wrong (`faults`, not drawn) and what is merely odd (`remarks`)."""

    position: int
    card: Mapping[str, Any]
    faults: tuple[str, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedResponse:
    """A whole response: `faults` of its own, apart from those of its cards."""

    cards: tuple[CheckedCard, ...]
    faults: tuple[str, ...]
    remarks: tuple[str, ...]

    def all_faults(self) -> tuple[str, ...]:
        return self.faults + tuple(f"card {card.position}: {fault}" for card in self.cards for fault in card.faults)

    def all_remarks(self) -> tuple[str, ...]:
        return self.remarks + tuple(f"card {card.position}: {remark}" for card in self.cards for remark in card.remarks)


def check_response(response: object) -> CheckedResponse:
    """Judges a parsed 200 answer of a CDS service."""
    if not isinstance(response, dict) or not isinstance(response.get("cards"), list):
        fault = "R24: the response is no object with an array 'cards'"
        return CheckedResponse(cards=(), faults=(fault,), remarks=())
    repeated = _positions_of_repeated_uuids(response["cards"])
    cards = tuple(_check_card(position, card, position in repeated) for position, card in enumerate(response["cards"], start=1))
    faults = [f"R2: {path} is empty" for path in _empty_members(response, "", skip="cards")]
    remarks = []
    if response.get("systemActions"):
        remarks.append("R32: systemActions were not agreed beforehand and are not applied")
    return CheckedResponse(cards=cards, faults=tuple(faults), remarks=tuple(remarks))


def _check_card(position: int, card: object, repeats_uuid: bool) -> CheckedCard:
    if not isinstance(card, dict):
        return CheckedCard(position=position, card={}, faults=("R25: is no object",), remarks=())
    faults = [f"R2: {path} is empty" for path in _empty_members(card, "")]
    if repeats_uuid:
        faults.append("R25: uuid stands on an earlier card already")
    for judge in (_card_faults, _source_faults, _suggestion_faults, _link_faults, _override_faults):
        faults.extend(judge(card))
    return CheckedCard(position=position, card=card, faults=tuple(faults), remarks=tuple(_card_remarks(card)))


def _card_faults(card: Mapping[str, Any]) -> Iterator[str]:
    summary = card.get("summary")
    if not isinstance(summary, str) or not summary.strip():
        yield "R25: summary is missing"
    elif len(summary) >= SUMMARY_LIMIT:
        yield f"R25: summary has {len(summary)} characters, fewer than {SUMMARY_LIMIT} are allowed"
    if card.get("indicator") not in INDICATORS:
        yield "R25: indicator is none of info, warning, critical"
    for member in ("uuid", "detail"):
        if member in card and not _is_text(card[member]):
            yield f"R25: {member} is no text"
    for member in ("suggestions", "links", "overrideReasons"):
        if member in card and not isinstance(card[member], list):
            yield f"R25: {member} is no array"
    if "extension" in card and not isinstance(card["extension"], dict):
        yield "R3: extension is no object"


def _source_faults(card: Mapping[str, Any]) -> Iterator[str]:
    source = card.get("source")
    if not isinstance(source, dict):
        yield "R25: source is missing"
        return
    if not _is_text(source.get("label")):
        yield "R26: source.label is missing"
    for member in ("url", "icon"):
        if member in source and not is_absolute_url(source[member]):
            yield f"R26: source.{member} is no absolute URL"
    if "topic" in source:
        topic = source["topic"]
        if not isinstance(topic, dict) or not _is_text(topic.get("code")) or not _is_text(topic.get("system")):
            yield "R26: source.topic lacks code or system"


def _suggestion_faults(card: Mapping[str, Any]) -> Iterator[str]:
    suggestions = _objects(card, "suggestions")
    behavior = card.get("selectionBehavior")
    if "suggestions" in card and behavior is None:
        yield "cds-resp-6: suggestions without selectionBehavior"
    if behavior not in (None, "at-most-one", "any"):
        yield "R27: selectionBehavior is neither at-most-one nor any"
    recommended = sum(suggestion.get("isRecommended") is True for suggestion in suggestions)
    if behavior == "at-most-one" and recommended > 1:
        yield "cds-resp-1: at-most-one with several recommended suggestions"
    if len(suggestions) != len(_array(card, "suggestions")):
        yield "R28: a suggestion is no object"
    for suggestion in suggestions:
        yield from _one_suggestion_faults(suggestion)


def _one_suggestion_faults(suggestion: Mapping[str, Any]) -> Iterator[str]:
    if not _is_text(suggestion.get("label")):
        yield "R28: suggestion.label is missing"
    if "uuid" in suggestion and not _is_text(suggestion["uuid"]):
        yield "R28: suggestion.uuid is no text"
    if not isinstance(suggestion.get("isRecommended", False), bool):
        yield "R28: suggestion.isRecommended is no boolean"
    if suggestion.get("actionSelectionBehavior", "all") not in ("all", "any", "at-most-one"):
        yield "cds-resp-7: actionSelectionBehavior is none of all, any, at-most-one"
    if not isinstance(suggestion.get("actions", []), list):
        yield "R28: suggestion.actions is no array"
    for action in _array(suggestion, "actions"):
        yield from _action_faults(action)


def _action_faults(action: object) -> Iterator[str]:
    if not isinstance(action, dict):
        yield "R29: an action is no object"
        return
    kind = action.get("type")
    if kind not in ("create", "update", "delete"):
        yield "R29: action.type is none of create, update, delete"
    if not _is_text(action.get("description")):
        yield "cds-resp-5: action.description is missing"
    resource = action.get("resource")
    if kind in ("create", "update") and not (isinstance(resource, dict) and _is_text(resource.get("resourceType"))):
        yield f"R29: action {kind} without a resource"
    if kind == "update" and isinstance(resource, dict) and not _is_text(resource.get("id")):
        yield "R29: action update whose resource has no id"
    if kind == "delete" and not _is_text(action.get("resourceId")) and not _is_text(resource):
        yield "R29: action delete without resourceId"


def _link_faults(card: Mapping[str, Any]) -> Iterator[str]:
    for link in _array(card, "links"):
        if not isinstance(link, dict):
            yield "R30: a link is no object"
            continue
        if not _is_text(link.get("label")):
            yield "R30: link.label is missing"
        if not is_absolute_url(link.get("url")):
            yield "R30: link.url is no absolute URL"
        if link.get("type") not in ("absolute", "smart"):
            yield "R30: link.type is neither absolute nor smart"
        if "appContext" in link and link.get("type") != "smart":
            yield "cds-resp-3: appContext on a link that is not smart"
        if "appContext" in link and not isinstance(link["appContext"], str):
            yield "R30: link.appContext is no string"
        if not isinstance(link.get("autolaunchable", False), bool):
            yield "R30: link.autolaunchable is no boolean"


def _override_faults(card: Mapping[str, Any]) -> Iterator[str]:
    for reason in _array(card, "overrideReasons"):
        if not isinstance(reason, dict):
            yield "R31: an overrideReason is no Coding"
            continue
        for member in ("code", "system"):
            if not _is_text(reason.get(member)):
                yield f"R31: overrideReason.{member} is missing"
        if not _is_text(reason.get("display")):
            yield "cds-resp-4: overrideReason.display is missing"


def _card_remarks(card: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(card.get("detail"), str) and _RAW_HTML.search(card["detail"]):
        yield "R25: detail holds raw HTML, which is shown as text"
    if isinstance(card.get("source"), dict):
        yield from _unknown_members(card["source"], "source")
    yield from _unknown_members(card, "card")
    for suggestion in _objects(card, "suggestions"):
        yield from _unknown_members(suggestion, "suggestion")
        for action in _objects(suggestion, "actions"):
            yield from _unknown_members(action, "action")
            if action.get("type") == "delete" and ("resource" in action or "resourceId" not in action):
                yield "cds-resp-2: action delete should name resourceId and carry no resource"
    for link in _objects(card, "links"):
        yield from _unknown_members(link, "link")


def _unknown_members(item: Mapping[str, Any], kind: str) -> Iterator[str]:
    for name in sorted(set(item) - _KNOWN_MEMBERS[kind]):
        yield f"unknown member '{name}' of {kind}"


def _positions_of_repeated_uuids(cards: list[Any]) -> frozenset[int]:
    seen: set[str] = set()
    repeated: set[int] = set()
    for position, card in enumerate(cards, start=1):
        if isinstance(card, dict) and _is_text(card.get("uuid")):
            if card["uuid"] in seen:
                repeated.add(position)
            seen.add(card["uuid"])
    return frozenset(repeated)


def _empty_members(item: object, path: str, skip: str = "extension") -> Iterator[str]:
    """Paths of members that are null or empty; what stands under `extension` is nobody's business here."""
    if isinstance(item, dict):
        for name, value in item.items():
            here = f"{path}.{name}" if path else name
            if name in ("extension", skip):
                continue
            if value is None or value in ("", [], {}):
                yield here
            else:
                yield from _empty_members(value, here)
    elif isinstance(item, list):
        for position, value in enumerate(item):
            yield from _empty_members(value, f"{path}[{position}]")


def is_absolute_url(candidate: object) -> bool:
    """Whether this is an http(s) URL with a host; anything else must not become a link in a chart."""
    if not isinstance(candidate, str):
        return False
    try:
        parts = urlsplit(candidate)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.username


def _array(item: Mapping[str, Any], name: str) -> list[Any]:
    value = item.get(name)
    return value if isinstance(value, list) else []


def _objects(item: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    return [entry for entry in _array(item, name) if isinstance(entry, dict)]


def _is_text(candidate: object) -> bool:
    return isinstance(candidate, str) and bool(candidate.strip())
