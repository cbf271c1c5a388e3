"""A small chest, an archive with it, and a launch that hands out tokens: what the viewer's browser tests act with."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from flask import Flask, Response, jsonify, request
from markupsafe import escape
from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright
from playwright.sync_api import Request as BrowserRequest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, generate_uid

from ehr_sandbox.pacs import PacsSettings, create_pacs
from fhir_imaging import texts
from smart_app import ohif
from tests.conftest import CHECKOUT, free_port_number, serving

GATEWAY_PATH = "/imaging/sandbox/dicom-web/demo"
SESSION_PATH = "/s/session-one"
SIZE = 256
SLICES = 12
NODULE_SLICE = 7
NODULE_AT = (0.70, 0.45)
"""Centre of the nodule as fractions of the image's width and height."""

SYNTAXES = {
    "uncompressed": ExplicitVRLittleEndian,
    "jpeg-2000": JPEG2000Lossless,
    "jpeg-ls": JPEGLSLossless,
}

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallChest:
    """The UIDs of one stored CT."""

    study: UID
    series: UID
    instances: tuple[UID, ...]
    frame_of_reference: UID
    patient_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallArchive:
    """A sandbox PACS and its three small chests, by how they are stored."""

    pacs: Flask
    chests: dict[str, SmallChest]


def slice_hounsfield(index: int) -> np.ndarray:
    """One axial slice in Hounsfield units: air, an elliptic body, two lungs, and on one slice a nodule."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    image = np.full((SIZE, SIZE), -1000, dtype=np.int16)
    image[((x - 0.5) / 0.42) ** 2 + ((y - 0.5) / 0.32) ** 2 < 1] = 40
    for centre in (0.3, 0.7):
        image[((x - centre) / 0.13) ** 2 + ((y - 0.48) / 0.2) ** 2 < 1] = -850
    if index == NODULE_SLICE:
        image[(x - NODULE_AT[0]) ** 2 + (y - NODULE_AT[1]) ** 2 < 0.03**2] = 60
    return image


def write_small_chest(directory: Path, transfer_syntax: str, patient_id: str) -> SmallChest:
    """Write a CT of 12 slices of 256 × 256 pixels of 1.5 mm, 2.5 mm apart, in the given transfer syntax."""
    chest = SmallChest(
        study=generate_uid(),
        series=generate_uid(),
        instances=tuple(generate_uid() for _ in range(SLICES)),
        frame_of_reference=generate_uid(),
        patient_id=patient_id,
    )
    directory.mkdir(parents=True, exist_ok=True)
    for index, uid in enumerate(chest.instances):
        image = _ct_image(chest, index)
        if transfer_syntax != ExplicitVRLittleEndian:
            image.compress(transfer_syntax, generate_instance_uid=False)
        image.save_as(directory / f"{uid}.dcm", enforce_file_format=True)
    return chest


def _ct_image(chest: SmallChest, index: int) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = chest.instances[index]
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset("", Dataset(), file_meta=meta, preamble=b"\0" * 128)
    moment = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)
    image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, chest.instances[index]
    image.StudyInstanceUID, image.SeriesInstanceUID = chest.study, chest.series
    image.FrameOfReferenceUID = chest.frame_of_reference
    image.PatientID, image.PatientName, image.IssuerOfPatientID = chest.patient_id, "Synthetic^Small", "DEMO"
    image.PatientBirthDate, image.PatientSex = "19700101", "O"
    image.StudyDate, image.StudyTime = moment.strftime("%Y%m%d"), moment.strftime("%H%M%S")
    image.StudyID, image.AccessionNumber, image.ReferringPhysicianName = "1", "ACC1", ""
    image.StudyDescription, image.SeriesDescription = "CT chest", "Lung 2.5 mm"
    image.Modality, image.SeriesNumber, image.InstanceNumber = "CT", 1, index + 1
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.ImagePositionPatient = [-192.0, -192.0, -index * 2.5]
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.PixelSpacing, image.SliceThickness = [1.5, 1.5], 2.5
    image.Rows = image.Columns = SIZE
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 1
    image.RescaleSlope, image.RescaleIntercept, image.RescaleType = 1, -1024, "HU"
    image.WindowCenter, image.WindowWidth = -300, 1500
    image.PixelData = (slice_hounsfield(index) + 1024).astype("<i2").tobytes()
    return image


@dataclass(slots=True)
class Launch:
    """One session as the viewer meets it: it hands out tokens, of which the gateway refuses the first few."""

    lifetime_s: float = 300
    is_open: bool = True
    refused_tokens: int = 0
    issued: list[str] = field(default_factory=list)
    accepted: set[str] = field(default_factory=set)
    gateway_calls: list[tuple[str, str | None, int]] = field(default_factory=list)
    token_bodies: list[dict[str, bool]] = field(default_factory=list)

    def issue(self) -> str:
        token = secrets.token_urlsafe(24)
        self.issued.append(token)
        if len(self.issued) > self.refused_tokens:
            self.accepted.add(token)
        return token


PARENT_HTML = """<!doctype html><title>Parent</title>
<script>window.heard = []; addEventListener("message", (event) => heard.push(event.data));</script>
<iframe src="{address}" style="width:900px;height:600px"></iframe>"""


def add_parent_page(app: Flask) -> None:
    """A page `/parent?address=…` that frames an address and notes every message in `window.heard`."""
    app.get("/parent")(lambda: PARENT_HTML.format(address=escape(request.args["address"])))


def viewer_app(viewer_dir: Path, launch: Launch, archive: Flask, config: ohif.OhifConfig) -> Flask:
    """The routes that the SMART app and the imaging server have in the product, around one launch."""
    app = Flask("ohif_test", template_folder=str(CHECKOUT / "templates"), static_folder=str(CHECKOUT / "static"))
    texts.install(app.jinja_env)

    add_parent_page(app)

    @app.get(f"{config.session_path}/ohif/app-config.js")
    def app_config() -> Response:
        return Response(ohif.render_app_config(config), headers=ohif.app_config_headers())

    @app.get(f"{config.session_path}/ohif/<path:client_path>")
    def shell(client_path: str) -> Response:
        page = ohif.render_shell(viewer_dir, config)
        return Response(page.html, headers=page.headers)

    @app.get("/ohif/<path:path>")
    def asset(path: str) -> Response:
        return ohif.asset_response(viewer_dir, path)

    @app.post(config.token_path)
    def token() -> tuple[Response, int]:
        if not launch.is_open or request.headers.get("Sec-Fetch-Site") != "same-origin":
            return jsonify(error="session_ended"), 401
        launch.token_bodies.append(request.get_json())
        answer = jsonify(access_token=launch.issue(), expires_in=launch.lifetime_s)
        answer.headers["Cache-Control"] = "no-store"
        return answer, 200

    @app.get(f"{GATEWAY_PATH}/<path:resource>")
    def gateway(resource: str) -> Response:
        scheme, _, token_sent = request.headers.get("Authorization", "").partition(" ")
        allowed = scheme == "Bearer" and token_sent in launch.accepted
        status = 200
        if allowed:
            answer = archive.test_client().get(
                f"/dicom-web/{resource}",
                query_string=request.query_string.decode("ascii"),
                headers={"Accept": request.headers.get("Accept", "*/*")},
            )
            status = answer.status_code
        else:
            status = 401
        launch.gateway_calls.append((resource, token_sent or None, status))
        if not allowed:
            return Response(status=401, headers={"WWW-Authenticate": "Bearer"})
        body = answer.get_data()
        return Response(body, status=status, content_type=answer.content_type)

    return app


def viewer_config(base_url: str, *frame_ancestors: str) -> ohif.OhifConfig:
    """The configuration of the launch at `SESSION_PATH`."""
    return ohif.OhifConfig(
        session_path=SESSION_PATH,
        token_path=f"{SESSION_PATH}/token",
        wado_roots=(ohif.WadoRoot(name="demo", title="Demo PACS", root=f"{base_url}{GATEWAY_PATH}"),),
        frame_ancestors=frame_ancestors,
        new_window_path=f"{SESSION_PATH}/viewer",
    )


@contextmanager
def running_viewer(viewer_dir: Path, launch: Launch, archive: Flask, *frame_ancestors: str) -> Iterator[str]:
    """The viewer's routes on a free port of `http://localhost`; yields that base URL."""
    port = free_port_number()
    base_url = f"http://localhost:{port}"
    app = viewer_app(viewer_dir, launch, archive, viewer_config(base_url, *frame_ancestors))
    with serving(app, port, host="localhost"):
        yield base_url


def archive_of(directory: Path, dicom_dir: Path) -> Flask:
    """A sandbox PACS with the files of `dicom_dir`."""
    return create_pacs(PacsSettings(base_url="http://localhost/dicom-web", data_dir=directory, import_dirs=(dicom_dir,)))


@dataclass(slots=True)
class Overheard:
    """What one page asked for and complained about."""

    requests: list[BrowserRequest] = field(default_factory=list)
    console: list[str] = field(default_factory=list)

    def listen(self, page: Page) -> None:
        page.on("request", lambda request: self.requests.append(request))
        page.on("console", lambda message: self._note(message))
        page.on("pageerror", lambda error: self.console.append(f"pageerror: {error}"))

    def _note(self, message: ConsoleMessage) -> None:
        self.console.append(f"{message.type}: {message.text}")


def launch_chromium(playwright: Playwright, chromium_path: str, *arguments: str) -> Browser:
    """Headless Chromium that draws with the software rasteriser and calls nobody by itself."""
    return playwright.chromium.launch(executable_path=chromium_path, args=[*CHROMIUM_ARGUMENTS, *arguments])
