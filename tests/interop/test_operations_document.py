"""docs/operations.md: its tested commands are run as they stand there, and its links lead somewhere (STYLE 11)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from fhir_imaging.audit import AuditFilter, AuditLog
from fhir_imaging.client_keys import ClientKeys
from fhir_imaging.errors import ConfigurationError
from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import Store
from tests.conftest import CHECKOUT
from tests.interop.postgresql_actors import PostgresqlServer, a_postgresql_server, an_opening, binaries

pytestmark = pytest.mark.interop
DOCUMENT = (CHECKOUT / "docs" / "operations.md").read_text(encoding="utf-8")
STUDY = "2.25.41"


def block(name: str) -> str:
    """The commands of that name."""
    found = re.findall(rf"^```\w+ {name}\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert len(found) == 1, name
    return str(found[0])


def run(name: str, **variables: str | Path) -> None:
    """A block, as a shell runs it that stops at the first fault."""
    path = f"{binaries()}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": path, **{key: str(value) for key, value in variables.items()}}
    done = subprocess.run(["sh", "-euc", block(name)], env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    with a_postgresql_server() as running:
        yield running


def an_installation(settings: StateSettings) -> Store:
    """One study opened, client keys made; left open, as a running server has it."""
    store = Store.open(settings)
    store.migrate()
    store.check_migrated()
    AuditLog(store).append(an_opening(STUDY))
    ClientKeys.of(settings.state_dir)
    return store


def studies_on_record(settings: StateSettings) -> list[str | None]:
    store = Store.open(settings)
    try:
        store.check_migrated()
        return [one.study_instance_uid for one in AuditLog(store).find(AuditFilter())]
    finally:
        store.close()


def key_ids(state_dir: Path) -> list[str]:
    return [one.kid for one in ClientKeys.of(state_dir).published(0)]


def test_an_sqlite_installation_comes_back_from_its_backup(tmp_path: Path) -> None:
    settings, backup = StateSettings(state_dir=tmp_path / "state"), tmp_path / "backup"
    backup.mkdir()
    running = an_installation(settings)
    before = key_ids(settings.state_dir)

    run("backup-sqlite", STATE=settings.state_dir, BACKUP=backup, PYTHON=sys.executable)
    running.close()
    shutil.rmtree(settings.state_dir)
    run("restore-sqlite", STATE=settings.state_dir, BACKUP=backup)

    assert studies_on_record(settings) == [STUDY]
    assert key_ids(settings.state_dir) == before
    modes = {path.stat().st_mode & 0o077 for path in (*settings.state_dir.rglob("*"), *backup.iterdir())}
    assert modes == {0}, "nobody else may read either"


def test_a_postgresql_installation_comes_back_in_another_database(server: PostgresqlServer, tmp_path: Path) -> None:
    settings = StateSettings(state_dir=tmp_path / "state", database_url=server.new_database())
    backup = tmp_path / "backup"
    backup.mkdir()
    running = an_installation(settings)
    before = key_ids(settings.state_dir)

    run("backup-postgresql", STATE=settings.state_dir, BACKUP=backup, DATABASE=plain(settings.database_url))
    running.close()
    shutil.rmtree(settings.state_dir)
    restored = StateSettings(state_dir=settings.state_dir, database_url=server.new_database())
    run("restore-postgresql", STATE=settings.state_dir, BACKUP=backup, DATABASE=plain(restored.database_url))

    assert studies_on_record(restored) == [STUDY]
    assert key_ids(settings.state_dir) == before


def test_without_the_master_key_nothing_starts_on_a_backup(tmp_path: Path) -> None:
    settings = StateSettings(state_dir=tmp_path / "state")
    an_installation(settings).close()

    (settings.state_dir / "master.key").unlink()

    with pytest.raises(ConfigurationError, match=r"master\.key is missing"):
        studies_on_record(settings)
    assert not (settings.state_dir / "master.key").exists()


def test_a_further_machine_has_the_same_keys_and_takes_a_rotation_while_it_runs(tmp_path: Path) -> None:
    one, other, packed, new = tmp_path / "one", tmp_path / "other", tmp_path / "keys.tar", tmp_path / "new"
    an_installation(StateSettings(state_dir=one)).close()
    run("pack-keys", STATE=one, KEYS=packed)
    run("unpack-keys", STATE=other, KEYS=packed)
    running = ClientKeys.of(other)
    assert [key.kid for key in running.published(0)] == key_ids(one)
    assert not list(other.glob("*.sqlite3*"))

    ClientKeys.of(one).rotate("ES384", signs_from=100, overlap_s=50)
    run("pack-keys", STATE=one, KEYS=packed)
    run("unpack-keys", STATE=new, KEYS=packed)
    run("rotated-keys", STATE=other, NEW=new)

    assert [key.kid for key in running.published(0)] == key_ids(one)
    assert len(key_ids(one)) == 3
    assert (other / "master.key").read_bytes() == (one / "master.key").read_bytes()
    assert {path.stat().st_mode & 0o077 for path in (other, packed, *other.iterdir())} == {0}


def test_the_application_needs_no_right_to_change_tables(server: PostgresqlServer, tmp_path: Path) -> None:
    """The document's two roles: one migrates, the other serves."""
    with connected(server, "postgres", "imaging") as connection:
        for statement in block("roles").split(";"):
            connection.execute(statement)  # type: ignore[arg-type]
    with connected(server, "imaging_cds", "imaging_cds_owner") as connection:
        connection.execute(block("grants"))  # type: ignore[arg-type]
    address = f"postgresql://{{}}@127.0.0.1:{server.port}/imaging_cds"
    owner = Store.open(StateSettings(state_dir=tmp_path / "state", database_url=address.format("imaging_cds_owner")))
    owner.migrate()
    owner.close()
    settings = StateSettings(state_dir=tmp_path / "state", database_url=address.format("imaging_cds"))

    served = Store.open(settings)
    served.migrate()  # as `serve` does at each start
    served.check_migrated()
    AuditLog(served).append(an_opening(STUDY))
    served.close()

    assert studies_on_record(settings) == [STUDY]
    with (
        connected(server, "imaging_cds", "imaging_cds") as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("DROP TABLE audit_event")


def test_an_older_version_refuses_a_database_that_a_newer_one_has_migrated(tmp_path: Path) -> None:
    store = an_installation(StateSettings(state_dir=tmp_path / "state"))
    with store.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(ConfigurationError) as refused:
        store.migrate()

    store.close()
    assert "revision 9999, which this version does not know" in refused.value.problems[0]


def test_every_example_is_linked_from_the_document() -> None:
    examples = [path for path in (CHECKOUT / "docs" / "examples").rglob("*") if path.is_file()]
    names = [path.relative_to(CHECKOUT / "docs").as_posix() for path in examples]

    assert [name for name in sorted(names) if f"({name})" not in DOCUMENT] == []


def test_the_threat_model_names_tests_that_are_there() -> None:
    page = (CHECKOUT / "docs" / "threat-model.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:unit|contract|security|interop)/test_\w+\.py)`", page)

    assert len(named) > 40
    assert [name for name in named if not (CHECKOUT / "tests" / name).is_file()] == []


def plain(database_url: str | None) -> str:
    """As libpq takes it."""
    return (database_url or "").replace("postgresql+psycopg:", "postgresql:")


def connected(server: PostgresqlServer, database: str, user: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(host="127.0.0.1", port=server.port, user=user, dbname=database, autocommit=True)
