"""DICOM JSON Model: data sets as DICOMweb clients read them.

Spec: PS3.18 Annex F.2. Text is always UTF-8, so a Specific Character Set that the file names is
reported as ``ISO_IR 192``. Large binary values become a BulkDataURI whose origin is not known yet:
it is written as ``@/…`` and completed by `with_bulk_data_base` when a response is made.
"""

import base64
import math
from typing import Any, TypeAlias

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag
from pydicom.valuerep import PersonName

JsonElement: TypeAlias = dict[str, Any]
JsonDataset: TypeAlias = dict[str, JsonElement]

INLINE_BINARY_LIMIT_BYTES = 1024
UTF_8_CHARACTER_SET = "ISO_IR 192"

_BINARY_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN", "OB or OW"})
_INTEGER_VRS = frozenset({"IS", "SL", "SS", "SV", "UL", "US", "UV", "US or SS"})
_FLOAT_VRS = frozenset({"DS", "FD", "FL"})
_PENDING_BULK_DATA = '"BulkDataURI":"@/'
_NAME_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


def tag_text(tag: BaseTag | int) -> str:
    """The eight upper-case hexadecimal digits that name an element in JSON and in a query."""
    return f"{int(tag):08X}"


def dataset_json(dataset: Dataset, bulk_path: str = "") -> JsonDataset:
    """The data set in the DICOM JSON Model, without group lengths and file meta information.

    `bulk_path` is the path of the sequence item within its instance, such as ``"00081140/0/"``.
    An element whose value cannot be read is reported present but empty, as far as its VR is known.
    """
    model: JsonDataset = {}
    for tag in sorted(dataset.keys()):
        if tag.element == 0 or tag.group == 2:
            continue
        model[tag_text(tag)] = _read_element(dataset, tag, bulk_path)
    if "00080005" in model:
        model["00080005"] = {"vr": "CS", "Value": [UTF_8_CHARACTER_SET]}
    return model


def with_bulk_data_base(model_text: str, base: str) -> str:
    """Completes the pending BulkDataURIs of serialised JSON; `base` is the instance's bulk data URL.

    The quoted marker cannot occur inside a JSON string, where each quotation mark is escaped.
    """
    return model_text.replace(_PENDING_BULK_DATA, f'"BulkDataURI":"{base}/')


def pending_bulk_data(vr: str, path: str) -> JsonElement:
    """An element whose value is fetched separately; `path` names it within its instance."""
    return {"vr": vr, "BulkDataURI": f"@/{path}"}


def _read_element(dataset: Dataset, tag: BaseTag, bulk_path: str) -> JsonElement:
    try:
        return _element_json(dataset[tag], bulk_path)
    except (ValueError, TypeError, ArithmeticError, NotImplementedError, LookupError, BytesLengthException):
        # Files in the field hold "12,5" in a DS or text in an IS; one bad element must not hide the others.
        raw = dataset.get_item(tag)
        return {"vr": str(raw.VR) if raw.VR else "UN"}


def _element_json(element: DataElement, bulk_path: str) -> JsonElement:
    vr = _plain_vr(element)
    if vr == "SQ":
        path = f"{bulk_path}{tag_text(element.tag)}"
        items = [dataset_json(item, f"{path}/{position}/") for position, item in enumerate(element.value or [])]
        return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
    if element.is_empty:
        return {"vr": vr}
    if vr in _BINARY_VRS:
        return _binary_json(element, vr, bulk_path)
    values = list(element.value) if isinstance(element.value, MultiValue | list | tuple) else [element.value]
    return {"vr": vr, "Value": [_value_json(vr, value) for value in values]}


def _plain_vr(element: DataElement) -> str:
    ambiguous = {"OB or OW": "OW", "US or SS": "US", "US or OW": "OW", "US or SS or OW": "OW"}
    return ambiguous.get(str(element.VR), str(element.VR))


def _binary_json(element: DataElement, vr: str, bulk_path: str) -> JsonElement:
    content = element.value if isinstance(element.value, bytes) else bytes(element.value)
    if len(content) > INLINE_BINARY_LIMIT_BYTES:
        return pending_bulk_data(vr, f"{bulk_path}{tag_text(element.tag)}")
    return {"vr": vr, "InlineBinary": base64.b64encode(content).decode("ascii")}


def _value_json(vr: str, value: Any) -> Any:
    if value is None or value == "":
        return None
    if vr == "PN":
        return _person_name_json(value)
    if vr == "AT":
        return tag_text(value)
    if vr in _INTEGER_VRS:
        return int(value)
    if vr in _FLOAT_VRS:
        return _number_json(float(value))
    return str(value)


def _number_json(number: float) -> float | str:
    # JSON has no NaN or infinity; PS3.18 F.2.7 lets a number stand as a string.
    return number if math.isfinite(number) else str(number)


def _person_name_json(value: Any) -> dict[str, str]:
    name = value if isinstance(value, PersonName) else PersonName(str(value))
    groups = (name.alphabetic, name.ideographic, name.phonetic)
    return {group: text for group, text in zip(_NAME_GROUPS, groups, strict=True) if text}
