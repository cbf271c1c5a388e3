"""The words in which an examination is named: modality, regions, contrast, side and purpose read out of them.

One reader serves twice. The LOINC table was derived with it from the long common names (``tables/README.md``; a test derives
every row again), and at run time it reads the descriptions that sites type, where no code says more. Only names go in here,
no reports: it knows no negation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile

from imaging_findings.anatomy import found_regions, regions_in, words_of
from imaging_findings.modalities import family_of


class Contrast(StrEnum):
    """Contrast agent in the vessels; what is drunk or instilled elsewhere is ``OTHER_ROUTE`` and no matter for the kidneys."""

    WITH = "with"
    WITHOUT = "without"
    BOTH = "both"
    OTHER_ROUTE = "other-route"
    UNKNOWN = "unknown"

    @property
    def is_given(self) -> bool:
        """Whether the examination is known to put contrast agent into the vessels."""
        return self in (Contrast.WITH, Contrast.BOTH)


class Side(StrEnum):
    """The stated side of a paired part; most studies state none."""

    LEFT = "left"
    RIGHT = "right"
    BOTH = "both"
    UNSTATED = "unstated"


class Purpose(StrEnum):
    """Why the images are made; an intervention under image guidance is no examination that could be repeated or replaced."""

    DIAGNOSTIC = "diagnostic"
    SCREENING = "screening"
    INTERVENTION = "intervention"


PAIRED = frozenset(
    [
        "face",
        "breast",
        "axilla",
        "shoulder",
        "upper-arm",
        "elbow",
        "forearm",
        "wrist",
        "hand",
        "hip",
        "thigh",
        "knee",
        "lower-leg",
        "ankle",
        "foot",
        "arm-vessels",
        "leg-vessels",
    ]
)
_WHOLE_BODY = frozenset(["head", "neck", "chest", "abdomen", "pelvis"])

# The longer words come first in a name: "CT angiogram" is CT, "PET CT" is nuclear medicine with a CT beside it.
_MODALITY_OF = {
    "CT": "ct cta ldct cat tdm tac tc scanner computertomographie computed",
    "MR": "mr mra mri mrt mrv mrcp irm magnetic kernspin kernspintomographie",
    "XR": "xr rx cxr ro cr dx xray radiograph radiography rontgen roentgen radiographie radiografia",
    "RF": "rf fluoroscopy fluoro durchleuchtung",
    "XA": "rfa xa",
    "US": "us ultrasound sono sonogram sonography sonographie echographie ecografia doppler duplex echocardiogram"
    " echocardiography tte tee",
    "NM": "nm spect scintigraphy szintigraphie scintigraphie gammagrafia",
    "PT": "pt pet",
    "MG": "mg dbt mammo mammogram mammography mammographie mammografie mamografia tomosynthesis",
    "DXA": "dxa dexa densitometry osteodensitometry",
}
_MODALITIES = {word: modality for modality, words in _MODALITY_OF.items() for word in words.split()}
# These words have other meanings in a sentence (patient, diagnosis, Mr) and count only where a modality stands: first.
_ONLY_FIRST = frozenset({"pt", "mr", "cr", "dx", "us", "cat", "scanner", "tc", "ro"})
_VAGUE = _ONLY_FIRST - {"mr", "us"}
_FIRST_OF_ALL = ("PT", "NM", "MG", "DXA")

_SIDES = {
    Side.LEFT: "left lt l links linkes linke gauche izquierdo izquierda",
    Side.RIGHT: "right rt r rechts rechtes rechte droit droite derecho derecha",
    Side.BOTH: "bilateral both bilat beidseits bds bilateral bilaterales",
}
SIDE_WORDS = {word: side for side, words in _SIDES.items() for word in words.split()}

_WITHOUT = frozenset(["wo", "without", "ohne", "sans", "sin"])
_WITH = frozenset(["w", "with", "mit", "avec", "con"])
_AGENT = frozenset(["contrast", "contraste", "km", "kontrastmittel", "kontrast", "con", "gadolinium", "gad", "injection"])
_PLAIN = frozenset(["nativ", "noncontrast", "unenhanced"])
_VESSEL_ROUTES = frozenset({"iv", "ia", "intravenous", "intraarterial"})
_OTHER_ROUTES = frozenset(
    [
        "po",
        "pr",
        "it",
        "iu",
        "oral",
        "rectal",
        "barium",
        "air",
        "gastrografin",
        "enteric",
        "intra",
        "intradisc",
        "intrabiliary",
        "intrabronchial",
        "intraperitoneal",
        "intraarticular",
        "intrathecal",
        "via",
        "retrograde",
        "antegrade",
    ]
)
_SCREENING = frozenset({"screening", "screen", "vorsorge", "depistage", "cribado"})
_INTERVENTION = frozenset({"guidance", "guided"})


@dataclass(frozen=True, slots=True, kw_only=True)
class NameReading:
    """What the name of an examination says; unsaid parts are empty."""

    modality: str | None
    regions: frozenset[str]
    contrast: Contrast
    side: Side
    purpose: Purpose


def read_name(name: str) -> NameReading:
    """Read a name such as ``CT Chest and Abdomen W contrast IV`` or ``CT abd/pel w/o``; what it does not say is empty."""
    words = words_of(name)
    modality = _modality(words)
    regions, rest = regions_in(words)
    if modality == "MG" and not regions:
        regions = frozenset({"breast"})
    if modality in ("CT", "MR", "PT"):
        regions = widened(regions, frozenset({modality}))
    return NameReading(
        modality=modality,
        regions=regions,
        contrast=_contrast(words),
        side=_side(rest) if regions & PAIRED else Side.UNSTATED,
        purpose=_purpose(words, modality),
    )


def widened(regions: frozenset[str], modalities: frozenset[str]) -> frozenset[str]:
    """The whole body in cross-section is its parts; a bone scan or a skeletal survey of it does not repeat a chest X-ray."""
    if "whole-body" in regions and modalities & {"CT", "MR", "PT"}:
        return regions - {"whole-body"} | _WHOLE_BODY
    return regions


def families_named(name: str) -> frozenset[str]:
    """The modality families of all words of a name that could be a modality, also where they may mean something else."""
    found = (family_of(_MODALITIES[word]) for word in words_of(name) if word in _MODALITIES)
    return frozenset(family for family in found if family)


def family_said(name: str) -> str | None:
    """The family that a name certainly speaks of; None where it names none, or only by a word with another meaning (dx)."""
    words = words_of(name)
    sure = [word for place, word in enumerate(words) if word in _MODALITIES and (word not in _ONLY_FIRST or place == 0)]
    return family_of(_modality(words) or "") if any(word not in _VAGUE for word in sure) else None


def regions_named(name: str) -> frozenset[str]:
    """The regions that a name or a body part term mentions."""
    return found_regions(words_of(name))[0]


def _modality(words: Sequence[str]) -> str | None:
    found = [
        _MODALITIES[word]
        for place, word in enumerate(words)
        if word in _MODALITIES and (word not in _ONLY_FIRST or place == 0 or words[place - 1] in ("portable", "functional"))
    ]
    return next((modality for modality in _FIRST_OF_ALL if modality in found), found[0] if found else None)


def _contrast(words: Sequence[str]) -> Contrast:
    agents = [place for place, word in enumerate(words) if word in _AGENT]
    without = bool(_PLAIN & set(words))
    given = elsewhere = False
    for place, word in enumerate(words):
        if word in _WITHOUT and _lacks(words, place, agents):
            without = without or not _is_elsewhere(words, place, agents)
        elif word in _WITH:
            agent = next((one for one in agents if place < one <= place + 5), None)
            if agent is not None and not (_WITH | _WITHOUT) & set(words[place + 3 : agent]):
                is_elsewhere = _is_elsewhere(words, place, agents)
                elsewhere, given = elsewhere or is_elsewhere, given or not is_elsewhere
    if given:
        return Contrast.BOTH if without else Contrast.WITH
    if without:
        return Contrast.WITHOUT
    if elsewhere:
        return Contrast.OTHER_ROUTE
    # An angiogram by CT shows vessels by contrast agent, whether or not the name says so.
    is_angiogram = "cta" in words or ("ct" in words and bool({"angiogram", "angiography"} & set(words)))
    return Contrast.WITH if is_angiogram else Contrast.UNKNOWN


def _lacks(words: Sequence[str], place: int, agents: Sequence[int]) -> bool:
    """Whether the "without" at ``place`` is about contrast agent; sites also end a name with a bare "WO"."""
    if words[place] == "wo":
        return place == len(words) - 1 or any(place < agent for agent in agents)
    return any(place < agent <= place + 6 for agent in agents)


def _is_elsewhere(words: Sequence[str], place: int, agents: Sequence[int]) -> bool:
    """Whether the agent that is meant at ``place`` goes elsewhere than into the vessels: drunk, rectal, into a joint."""
    agent = next((one for one in agents if place < one), None)
    if agent is None:
        return False
    after = takewhile(lambda word: word not in _WITH | _WITHOUT, words[agent + 1 : agent + 3])
    around = [*words[place + 1 : agent], *after]
    routes = [word for word in around if word in _VESSEL_ROUTES | _OTHER_ROUTES]
    return bool(routes) and not set(routes) & _VESSEL_ROUTES


def _side(words: Sequence[str]) -> Side:
    found = {SIDE_WORDS[word] for word in words if word in SIDE_WORDS}
    if Side.BOTH in found or {Side.LEFT, Side.RIGHT} <= found:
        return Side.BOTH
    return next(iter(found), Side.UNSTATED)


def _purpose(words: Sequence[str], modality: str | None) -> Purpose:
    # LOINC names the everyday PET/CT "guidance for localization of tumor".
    if _INTERVENTION & set(words) and modality != "PT":
        return Purpose.INTERVENTION
    return Purpose.SCREENING if _SCREENING & set(words) else Purpose.DIAGNOSTIC
