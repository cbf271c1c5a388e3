"""The archive as a resource server of its own: it takes an EHR's SMART tokens and shows only that token's patient.

Such an archive is reached by the viewer directly, on its own origin, with the token of the launch (SMART Imaging Access).
Spec: RFC 9068 (JWT access tokens), SMART App Launch 2.2 (scopes), RFC 6750.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import jwt
from flask import request
from werkzeug.exceptions import Forbidden, NotFound

from ehr_sandbox.pacs_archive import archive

_READS_STUDIES = frozenset({"patient/ImagingStudy.rs", "patient/ImagingStudy.read", "patient/*.rs", "patient/*.read"})
_PATIENT_ID = "00100020"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmartTokens:
    """Whose tokens count: signed by the keys at `jwks_url`, of `issuer`, meant for `audience`.

    `patient_ids` says which PatientID of this archive each of the EHR's Patient ids is.
    """

    issuer: str
    jwks_url: str
    audience: str
    patient_ids: Mapping[str, str]
    _keys: list[jwt.PyJWKClient] = field(default_factory=list, repr=False)

    def patient_of(self, token: str) -> str | None:
        """The PatientID that the token may see; None when the token does not hold or names nobody known here."""
        if not self._keys:
            self._keys.append(jwt.PyJWKClient(self.jwks_url))
        try:
            key = self._keys[0].get_signing_key_from_jwt(token)
            claims = jwt.decode(token, key, algorithms=["RS256"], audience=self.audience, issuer=self.issuer)
        except jwt.PyJWTError:
            return None
        if not _READS_STUDIES & set(str(claims.get("scope", "")).split()):
            return None
        return self.patient_ids.get(str(claims.get("patient")))


def keep_to(patient_id: str) -> None:
    """Forbidden unless the request of the current context asks for this patient's images, and only reads."""
    if request.method not in ("GET", "HEAD"):
        raise Forbidden("A patient's token stores nothing here.")
    study = (request.view_args or {}).get("study_uid")
    if study is None and request.path.endswith("/studies"):
        study = request.args.get("StudyInstanceUID") or request.args.get("0020000D")
        if study is None and patient_id in (request.args.get("PatientID"), request.args.get(_PATIENT_ID)):
            return
    if study is None or not _is_of(patient_id, study):
        raise Forbidden("The token is another patient's, or the search names no patient.")


def _is_of(patient_id: str, study_uid: str) -> bool:
    try:
        first = json.loads(next(iter(archive().metadata(study_uid))))
    except (NotFound, StopIteration):
        return False
    return bool(first.get(_PATIENT_ID, {}).get("Value") == [patient_id])
