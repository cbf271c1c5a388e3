"""What the archive's operators do: move a study to tape, and bring it back. No DICOMweb: each archive has its own way for it.

A page of a foreign origin can send neither: PUT and DELETE are asked for before they are sent (Fetch, CORS preflight), and the
archive lets foreign origins only read and store.
"""

from flask import Blueprint, Response

from ehr_sandbox.pacs_archive import archive

blueprint = Blueprint("pacs_tape", __name__)

_STUDY = "/tape/<uid:study_uid>"


@blueprint.put(_STUDY)
def move_to_tape(study_uid: str) -> Response:
    """From now on the study is OFFLINE; 404 for one that the archive does not know."""
    archive().check_known(study_uid)
    archive().tape.take(study_uid)
    return Response(status=204)


@blueprint.delete(_STUDY)
def bring_back(study_uid: str) -> Response:
    """From now on it is ONLINE; 404 for one that the archive does not know."""
    archive().check_known(study_uid)
    archive().tape.give_back(study_uid)
    return Response(status=204)
