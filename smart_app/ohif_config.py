"""What one launch's viewer may do, and the text that tells the viewer so."""

import json
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

_PATH = re.compile(r"/[A-Za-z0-9._~/-]*[A-Za-z0-9_~-]", re.ASCII)
_ORIGIN = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?", re.ASCII)
# Browsers take dot segments out of an address, however they are written, so that nothing would begin like such a root.
_ROOT_PATH = re.compile(r"(?:/(?!(?:\.|%2[eE]){1,2}(?:/|$))[A-Za-z0-9._~%+-]+)*", re.ASCII)
_SOURCE_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}", re.ASCII)

# Characters that could end a script element or a line of script, written so that JSON stays JSON.
_SCRIPT_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


@dataclass(frozen=True, slots=True, kw_only=True)
class WadoRoot:
    """One DICOMweb server that this launch's token is meant for.

    `name` stands in the viewer's own addresses (`viewer/{name}?…`), `title` is what a person reads, `root` is the
    absolute base address beneath which `/studies` lies, without a trailing slash. Raises ValueError.
    """

    name: str
    title: str
    root: str

    def __post_init__(self) -> None:
        if _SOURCE_NAME.fullmatch(self.name) is None:
            raise ValueError(f"{self.name!r} cannot name a data source: letters, digits, - and _ only.")
        origin = origin_of(self.root)
        if _ROOT_PATH.fullmatch(self.root.removeprefix(origin)) is None:
            raise ValueError("A DICOMweb root is an origin and a plain path, without query, fragment or trailing slash.")


@dataclass(frozen=True, slots=True, kw_only=True)
class OhifConfig:
    """Everything that differs between one launch's viewer and another's.

    `session_path` is `/s/{session}` as the browser sees it; `token_path` answers the same-origin POST for the access
    token; `frame_ancestors` are the origins (the EHR's) that may frame the viewer besides ourselves;
    `connect_origins` are further origins that a study's Endpoint may name; `new_window_path` is what the notice offers
    when the token cannot be had here; `static_path` is where this project's own scripts lie;
    `shows_unsigned_ai` is False for a user who is a patient or proxy. The first of
    `wado_roots` is the default. No token, patient or study is in here. Raises ValueError.
    """

    session_path: str
    token_path: str
    wado_roots: tuple[WadoRoot, ...]
    frame_ancestors: tuple[str, ...] = ()
    connect_origins: tuple[str, ...] = ()
    new_window_path: str | None = None
    static_path: str = "/static/viewer"
    shows_unsigned_ai: bool = True

    def __post_init__(self) -> None:
        if not self.wado_roots:
            raise ValueError("The viewer needs at least one DICOMweb root.")
        if len({root.name for root in self.wado_roots}) != len(self.wado_roots):
            raise ValueError("Two data sources of one launch have the same name.")
        for path in (self.session_path, self.token_path, self.static_path, self.new_window_path):
            if path is not None and (_PATH.fullmatch(path) is None or path.startswith("//")):
                raise ValueError(f"{path!r} is not a plain absolute path.")
        for origin in (*self.frame_ancestors, *self.connect_origins):
            if _ORIGIN.fullmatch(origin) is None:
                raise ValueError(f"{origin!r} is not an origin.")

    @property
    def router_basename(self) -> str:
        """The path that the viewer takes for its own root."""
        return f"{self.session_path}/ohif"


def origin_of(address: str) -> str:
    """Scheme, host and port of an absolute http(s) address; raises ValueError for anything else."""
    parts = urlsplit(address)
    origin = f"{parts.scheme}://{parts.netloc}"
    if _ORIGIN.fullmatch(origin) is None:
        raise ValueError("The address has no plain http or https origin.")
    return origin


def render_app_config(config: OhifConfig) -> str:
    """`app-config.js` of one launch: a single assignment of plain data, which the viewer's own scripts read."""
    settings = {
        "routerBasename": config.router_basename,
        "tokenPath": config.token_path,
        "newWindowPath": config.new_window_path,
        "showsUnsignedAi": config.shows_unsigned_ai,
        "wadoRoots": [{"name": root.name, "title": root.title, "root": root.root} for root in config.wado_roots],
    }
    return f"window.imagingCdsViewer = {json.dumps(settings).translate(_SCRIPT_ESCAPES)};\n"
