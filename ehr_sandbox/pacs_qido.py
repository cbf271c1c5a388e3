"""QIDO-RS: searches at study, series and instance level, everywhere or within a study or series.

Spec: PS3.18 §10.6. A search without matches is 204 without a body (§10.6.3.1); dicomweb-client and OHIF
both take it for an empty list.
"""

import itertools
from collections.abc import Generator

from flask import Blueprint, Response, request

from ehr_sandbox.dicomweb_accept import DICOM_JSON
from ehr_sandbox.dicomweb_attributes import Level
from ehr_sandbox.dicomweb_query import parse_search
from ehr_sandbox.pacs_archive import archive
from ehr_sandbox.pacs_search import Scope, Search
from ehr_sandbox.pacs_wado import acceptable, json_array

blueprint = Blueprint("pacs_qido", __name__)

_FUZZY_WARNING = '299 {service} "The fuzzymatching parameter is not supported. Only literal matching has been performed."'


@blueprint.get("/studies")
def search_studies() -> Response:
    """All studies that match."""
    return _answer(Level.STUDY, Scope())


@blueprint.get("/series")
@blueprint.get("/studies/<uid:study_uid>/series")
def search_series(study_uid: str | None = None) -> Response:
    """Series that match, everywhere or in one study."""
    return _answer(Level.SERIES, Scope(study_uid=study_uid))


@blueprint.get("/instances")
@blueprint.get("/studies/<uid:study_uid>/instances")
@blueprint.get("/studies/<uid:study_uid>/series/<uid:series_uid>/instances")
def search_instances(study_uid: str | None = None, series_uid: str | None = None) -> Response:
    """Instances that match, everywhere, in one study or in one series."""
    return _answer(Level.INSTANCE, Scope(study_uid=study_uid, series_uid=series_uid))


def _answer(level: Level, scope: Scope) -> Response:
    media_type = acceptable().select_plain([DICOM_JSON, "application/json"])
    query = parse_search(request.args.items(multi=True))
    search = Search(level=level, scope=scope, query=query, urls=archive().urls, on_tape=archive().tape.studies())
    results = _results(search)
    first = next(results, None)
    if first is None:
        response = Response(status=204)
        del response.headers["Content-Type"]
    else:
        response = Response(json_array(itertools.chain([first], results)), content_type=media_type)
    # Also for HEAD and for a client that goes away, when nobody reads the results to their end.
    response.call_on_close(results.close)
    if query.fuzzy_matching:
        response.headers["Warning"] = _FUZZY_WARNING.format(service=archive().urls.base_url)
    return response


def _results(search: Search) -> Generator[str, None, None]:
    with archive().index.reading() as connection:
        yield from search.results(connection)
