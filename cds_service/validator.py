"""Is an outgoing answer right? The one judge of every response, in tests and (by setting) at run time.

Spec: CDS Hooks 2.0 R1-R3, R24-R32 and the HL7 invariants cds-resp-1 to cds-resp-7. Each fault names its requirement and place.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from cds_service.plain_words import SUMMARY_MAX, utf16_length

INDICATORS = ("info", "warning", "critical")
SELECTION_BEHAVIORS = ("at-most-one", "any")
ACTION_SELECTIONS = ("all", "any", "at-most-one")
ACTION_TYPES = ("create", "update", "delete")
# Tuples, since an odd value (a list) must compare unequal instead of failing to hash.
_HALF_A_CHARACTER = re.compile("[\ud800-\udfff]")
_HTML = re.compile(r"<[A-Za-z/!?]")


def faults_of(response: object) -> tuple[str, ...]:
    """Everything wrong with a 200 answer of a service; empty = right."""
    if not isinstance(response, dict) or not isinstance(response.get("cards"), list):
        return ("R24 response: must be an object with an array cards",)
    found = [] if is_plainly_sound(response) else list(_faults_of_any_member(response))
    if not isinstance(response.get("systemActions", []), list):
        found.append("R24 systemActions: must be an array")
    uuids = Counter(card["uuid"] for card in response["cards"] if isinstance(card, dict) and isinstance(card.get("uuid"), str))
    found += [f"R25 cards: uuid {value} is used {count} times" for value, count in uuids.items() if count > 1]
    for position, card in enumerate(response["cards"]):
        place = f"cards[{position}]"
        found += _card(card, place) if isinstance(card, dict) else [f"R25 {place}: must be an object"]
    for position, action in enumerate(_list(response.get("systemActions"))):
        found += _action(action, f"systemActions[{position}]", in_suggestion=False)
    return tuple(found)


def _card(card: Mapping[str, Any], place: str) -> Iterator[str]:
    yield from _card_text(card, place)
    for member in ("suggestions", "links", "overrideReasons"):
        if member in card and not isinstance(card[member], list):
            yield f"R25 {place}.{member}: must be an array"
    yield from _source(card.get("source"), f"{place}.source")
    yield from _suggestions(card, place)
    for position, link in enumerate(_list(card.get("links"))):
        yield from _link(link, f"{place}.links[{position}]")
    for position, reason in enumerate(_list(card.get("overrideReasons"))):
        if not isinstance(reason, dict) or not all(_is_text(reason.get(name)) for name in ("code", "system", "display")):
            yield f"cds-resp-4 {place}.overrideReasons[{position}]: needs code, system and display"


def _card_text(card: Mapping[str, Any], place: str) -> Iterator[str]:
    summary = card.get("summary")
    if not _is_text(summary):
        yield f"R25 {place}.summary: must be given"
    elif utf16_length(str(summary)) > SUMMARY_MAX:
        yield f"R25 {place}.summary: has {utf16_length(str(summary))} characters (UTF-16), must be under {SUMMARY_MAX + 1}"
    elif not str(summary).isprintable():
        yield f"R25 {place}.summary: must be one line of plain text"
    if card.get("indicator") not in INDICATORS:
        yield f"R25 {place}.indicator: must be info, warning or critical"
    if "detail" in card and (not _is_text(card["detail"]) or _HTML.search(str(card["detail"]))):
        yield f"R25 {place}.detail: must be markdown without HTML"
    if "uuid" in card and not _is_text(card["uuid"]):
        yield f"R25 {place}.uuid: must be a string"


def _source(source: object, place: str) -> Iterator[str]:
    if not isinstance(source, dict) or not _is_text(source.get("label")):
        yield f"R26 {place}: needs a label"
        return
    for member in ("url", "icon"):
        if member in source and not _is_absolute(source[member]):
            yield f"R26 {place}.{member}: must be an absolute URL"
    topic = source.get("topic")
    if topic is not None and not (isinstance(topic, dict) and _is_text(topic.get("code")) and _is_text(topic.get("system"))):
        yield f"R26 {place}.topic: needs code and system"


def _suggestions(card: Mapping[str, Any], place: str) -> Iterator[str]:
    suggestions = _list(card.get("suggestions"))
    behavior = card.get("selectionBehavior")
    if "suggestions" in card and behavior not in SELECTION_BEHAVIORS:
        yield f"cds-resp-6 {place}.selectionBehavior: must be at-most-one or any where there are suggestions"
    recommended = [one for one in suggestions if isinstance(one, dict) and one.get("isRecommended") is True]
    if behavior == "at-most-one" and len(recommended) > 1:
        yield f"cds-resp-1 {place}.suggestions: more than one is recommended"
    for position, suggestion in enumerate(suggestions):
        yield from _suggestion(suggestion, f"{place}.suggestions[{position}]")


def _suggestion(suggestion: object, place: str) -> Iterator[str]:
    if not isinstance(suggestion, dict) or not _is_text(suggestion.get("label")):
        yield f"R28 {place}: needs a label"
        return
    if not isinstance(suggestion.get("isRecommended", False), bool):
        yield f"R28 {place}.isRecommended: must be true or false"
    if "uuid" in suggestion and not _is_text(suggestion["uuid"]):
        yield f"R28 {place}.uuid: must be a string"
    if not isinstance(suggestion.get("actions", []), list):
        yield f"R28 {place}.actions: must be an array"
    if suggestion.get("actionSelectionBehavior", "all") not in ACTION_SELECTIONS:
        yield f"cds-resp-7 {place}.actionSelectionBehavior: must be all, any or at-most-one"
    for position, action in enumerate(_list(suggestion.get("actions"))):
        yield from _action(action, f"{place}.actions[{position}]", in_suggestion=True)


def _action(action: object, place: str, *, in_suggestion: bool) -> Iterator[str]:
    if not isinstance(action, dict) or action.get("type") not in ACTION_TYPES:
        yield f"R29 {place}: needs a type (create, update or delete)"
        return
    if in_suggestion and not _is_text(action.get("description")):
        yield f"cds-resp-5 {place}.description: must be given"
    resource = action.get("resource")
    if action["type"] == "delete":
        if not _is_text(action.get("resourceId")) or resource is not None:
            yield f"cds-resp-2 {place}: delete needs resourceId and no resource"
    elif not (isinstance(resource, dict) and _is_text(resource.get("resourceType"))):
        yield f"R29 {place}.resource: must be a FHIR resource"
    elif action["type"] == "update" and not _is_text(resource.get("id")):
        yield f"R29 {place}.resource: an update needs the whole resource with its id"


def _link(link: object, place: str) -> Iterator[str]:
    if not isinstance(link, dict) or not _is_text(link.get("label")) or not _is_absolute(link.get("url")):
        yield f"R30 {place}: needs a label and an absolute url"
        return
    if link.get("type") not in ("absolute", "smart"):
        yield f"R30 {place}.type: must be absolute or smart"
    if not isinstance(link.get("autolaunchable", False), bool):
        yield f"R30 {place}.autolaunchable: must be true or false"
    if "appContext" in link and (link.get("type") != "smart" or not _is_text(link["appContext"])):
        yield f"cds-resp-3 {place}.appContext: is a string of smart links only"


def is_plainly_sound(value: object, *, in_resource: bool = False) -> bool:
    """Whether no member breaks R1, R2 or R3: one walk without places, since nearly every answer is right."""
    if isinstance(value, str):
        return value != "" and (value.isascii() or not _HALF_A_CHARACTER.search(value))
    if isinstance(value, dict):
        in_resource = in_resource or "resourceType" in value
        if not value or not (in_resource or isinstance(value.get("extension", value), dict)):
            return False
        for name, member in value.items():
            if not (name.isascii() or not _HALF_A_CHARACTER.search(name)) or not is_plainly_sound(
                member, in_resource=in_resource
            ):
                return False
        return True
    if isinstance(value, list):
        return value != [] and all([is_plainly_sound(member, in_resource=in_resource) for member in value])
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def _faults_of_any_member(response: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"R2 {place}: is empty" for place in _empty(response, "response", allowed={"response.cards"}))
    yield from (f"R1 {place}: is no {what} of JSON" for place, what in _no_json(response, "response"))
    yield from (f"R3 {place}: extension must be an object" for place in _bad_extensions(response, "response"))


def _empty(value: object, place: str, allowed: set[str]) -> Iterator[str]:
    """Places of null, "", [] and {} (R2)."""
    if (value is None or value == "" or value == [] or value == {}) and place not in allowed:
        yield place
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from _empty(member, f"{place}.{name}", allowed)
    elif isinstance(value, list):
        for position, member in enumerate(value):
            yield from _empty(member, f"{place}[{position}]", allowed)


def _no_json(value: object, place: str) -> Iterator[tuple[str, str]]:
    """Places of NaN and infinity, which Python writes and JSON has not, and of text that UTF-8 cannot hold (R1)."""
    if isinstance(value, float) and not math.isfinite(value):
        yield place, "number"
    elif isinstance(value, str) and not value.isascii() and _HALF_A_CHARACTER.search(value):
        yield place, "text"
    elif isinstance(value, dict):
        for name, member in value.items():
            if not name.isascii() and _HALF_A_CHARACTER.search(name):
                yield f"{place}.{name!a}", "name"
            yield from _no_json(member, f"{place}.{name}")
    elif isinstance(value, list):
        for position, member in enumerate(value):
            yield from _no_json(member, f"{place}[{position}]")


def _bad_extensions(value: object, place: str) -> Iterator[str]:
    """CDS Hooks' own extension member is an object; inside a FHIR resource it is FHIR's array."""
    if isinstance(value, dict):
        if "resourceType" in value:
            return
        if "extension" in value and not isinstance(value["extension"], dict):
            yield place
        for name, member in value.items():
            yield from _bad_extensions(member, f"{place}.{name}")
    elif isinstance(value, list):
        for position, member in enumerate(value):
            yield from _bad_extensions(member, f"{place}[{position}]")


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_absolute(value: object) -> bool:
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
    except ValueError:
        return False
    return parts is not None and parts.scheme in ("http", "https") and bool(parts.netloc)
