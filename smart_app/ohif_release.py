"""Which OHIF build is served, where its files lie, and what its manifest says about each of them.

The files are named by release in their address (`/ohif/3.13.2-r1/…`), because some of OHIF's style sheets carry no
content hash: with the release in the path every file may be cached for ever, and an upgrade or a changed rewrite is a
new address.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

OHIF_VERSION = "3.13.2"
REWRITE_REVISION = 1
RELEASE = f"{OHIF_VERSION}-r{REWRITE_REVISION}"
ASSET_ROOT = "/ohif/"
PUBLIC_PATH = f"{ASSET_ROOT}{RELEASE}/"
MANIFEST_NAME = "manifest.json"


# The chunks (numbers in OHIF's build) that this configuration loads before its first image; a browser test compares.
FIRST_IMAGE_CHUNKS = frozenset(
    {
        *("app", "histogram-worker", "89", "100", "341", "781", "899", "1673", "2623", "3500", "3552", "3833", "5448"),
        *("5910", "6214", "6489", "6495", "6749", "6938", "7248", "7463", "8097", "8478", "9068", "9116", "9383", "9415"),
    }
)


class ViewerNotInstalled(Exception):
    """The viewer's files are not (or not completely) at the configured place; the remedy is in the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One file of the viewer: its SHA-256 (hex) and size in bytes as served, and whether a gzip twin lies beside it."""

    sha256: str
    size: int
    gzipped: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewerManifest:
    """What the install step wrote: the only list of files that may be served.

    `codec_worker` is the one worker bundle whose response may allow `'unsafe-eval'` (its JPEG codecs build functions
    from text); `workers` are all worker bundles; `first_image` are the files that the first image waits for, the
    largest first.
    """

    release: str
    entry_script: str
    entry_style: str
    codec_worker: str
    workers: tuple[str, ...]
    first_image: tuple[str, ...]
    assets: Mapping[str, Asset]

    def to_json(self) -> str:
        """The manifest file's text."""
        return json.dumps(
            {
                "release": self.release,
                "entryScript": self.entry_script,
                "entryStyle": self.entry_style,
                "codecWorker": self.codec_worker,
                "workers": list(self.workers),
                "firstImage": list(self.first_image),
                "assets": {
                    path: {"sha256": asset.sha256, "size": asset.size, "gzipped": asset.gzipped}
                    for path, asset in sorted(self.assets.items())
                },
            },
            indent=1,
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads a manifest file; raises ValueError or KeyError when it is not one."""
        written: dict[str, Any] = json.loads(text)
        return cls(
            release=written["release"],
            entry_script=written["entryScript"],
            entry_style=written["entryStyle"],
            codec_worker=written["codecWorker"],
            workers=tuple(written["workers"]),
            first_image=tuple(written["firstImage"]),
            assets={path: Asset(**asset) for path, asset in written["assets"].items()},
        )


def release_dir(viewer_dir: Path) -> Path:
    """Where this release's files lie beneath the viewer directory."""
    return viewer_dir / RELEASE


def read_manifest(viewer_dir: Path) -> ViewerManifest:
    """The manifest of the release that this code serves; raises ViewerNotInstalled with the remedy."""
    path = release_dir(viewer_dir) / MANIFEST_NAME
    try:
        manifest = ViewerManifest.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ViewerNotInstalled(
            f"The OHIF viewer {RELEASE} is not installed in {viewer_dir}. Run `imaging-cds viewer` once with a network, "
            "or with --from-file and a tarball."
        ) from error
    if manifest.release != RELEASE:
        raise ViewerNotInstalled(f"{path} belongs to release {manifest.release}, not to {RELEASE}.")
    return manifest
