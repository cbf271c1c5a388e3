"""The built wheel is the whole product: it carries its data, takes no common name, and serves a page without the checkout."""

import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.program_texts import MAKES_AN_INSTALLATION

CHECKOUT = Path(__file__).parent.parent.parent
PYPROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
PACKAGES = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
# Runs without the site module, so that no .pth file brings the checkout back onto the path.
SERVES_A_PAGE = f"""
import sys
from pathlib import Path

site, *dependencies = sys.argv[1:]
sys.path[:0] = [site]
sys.path += dependencies
{MAKES_AN_INSTALLATION}
from imaging_cds.cli import main

client = create_app(settings).test_client()
for address in ("/", "/static/app.css", "/cds-services", "/readyz"):
    with client.get(address, base_url="https://imaging.example") as answer:
        print(address, answer.status_code, len(answer.data) > 0)
with client.get("/", base_url="https://imaging.example") as page:
    print("page shows its redirect URI", "https://imaging.example/callback" in page.text)
from ehr_sandbox.ehr import create_ehr
print("describes its settings", main(["config", "--describe"]))
ours = PACKAGES
loaded = [sys.modules[name].__file__ or "" for name in list(sys.modules) if name.split(".")[0] in ours]
print("loaded from the wheel", bool(loaded) and all(Path(one).is_relative_to(site) for one in loaded))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by the declared backend from what is in the checkout; nothing is fetched."""
    directory = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True, timeout=60)
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def content(wheel: Path) -> set[str]:
    """Names of the files in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_takes_no_top_level_name_but_its_packages(content: set[str]) -> None:
    taken = {name.split("/")[0] for name in content}

    assert {name for name in taken if not name.endswith(".dist-info")} == set(PACKAGES)
    assert not taken & {"templates", "static", "tests", "docs"}


def test_the_wheel_has_every_file_of_the_packages(content: set[str]) -> None:
    wanted = {path for package in PACKAGES for path in files_below(CHECKOUT / package, package)}
    wanted |= {path for folder in ("templates", "static") for path in files_below(CHECKOUT / folder, f"imaging_cds/{folder}")}

    assert wanted - content == set()


@pytest.mark.parametrize(
    "name",
    [
        "imaging_cds/templates/smart/index.html",
        "imaging_cds/static/viewer/main.js",
        "fhir_imaging/store/migrations/script.py.mako",
        "imaging_findings/packs/lung_rads_2022.toml",
        "imaging_findings/tables/procedures.csv",
        "ehr_sandbox/fhir_parameters.toml",
        "ehr_sandbox/templates/chart/chart.html",
        "ehr_sandbox/static/chart.js",
    ],
)
def test_each_kind_of_data_is_in_the_wheel(content: set[str], name: str) -> None:
    assert name in content


def test_an_installed_wheel_serves_its_pages_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        "--no-deps",
        "--no-index",
        "--no-compile",
    ]
    subprocess.run([*pip, "--target", str(site), str(wheel)], check=True, timeout=60)
    dependencies = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    program = f"PACKAGES = {PACKAGES!r}\n{SERVES_A_PAGE}"

    # -B: the byte code of another directory's modules is of no use to anyone.
    command = [sys.executable, "-I", "-S", "-B", "-c", program, str(site), *dependencies]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert ran.returncode == 0, ran.stderr
    printed = ran.stdout.splitlines()
    assert printed[:5] == [
        "/ 200 True",
        "/static/app.css 200 True",
        "/cds-services 200 True",
        "/readyz 200 True",
        "page shows its redirect URI True",
    ]
    assert printed[-2:] == ["describes its settings 0", "loaded from the wheel True"]
    assert (site / "bin" / "imaging-cds").exists()


def files_below(directory: Path, name: str) -> set[str]:
    """The files of a directory as the wheel would name them, without what Python leaves behind."""
    return {
        f"{name}/{path.relative_to(directory).as_posix()}"
        for path in directory.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
