"""The key pair by which the sandbox EHR signs its CDS calls."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ehr_sandbox.cds_keys import load_or_make_key


def test_key_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "state" / "key.pem"

    made, loaded = load_or_make_key(path), load_or_make_key(path)

    assert made.kid == loaded.kid
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["key.pem"]


def test_processes_that_start_together_share_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        keys = list(pool.map(lambda _: load_or_make_key(tmp_path / "key.pem"), range(4)))

    assert len({key.kid for key in keys}) == 1


def test_published_key_is_the_public_half_only(tmp_path: Path) -> None:
    (jwk,) = load_or_make_key(tmp_path / "key.pem").public_jwks()["keys"]

    assert set(jwk) == {"kty", "crv", "x", "y", "kid", "alg", "use"}
    assert (jwk["kty"], jwk["crv"], jwk["alg"]) == ("EC", "P-384", "ES384")
