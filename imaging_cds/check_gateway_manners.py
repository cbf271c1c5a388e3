"""Whether refusals and delays are said in a way that clients understand, and browsers are told who may read.

Spec: RFC 6750 §3 (P4), SMART Imaging Access F10, W7, M13, M14; FHIR R4 §3.1.0.7 (OperationOutcome); Fetch (CORS).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress

from fhir_imaging.tolerant import as_dict
from imaging_cds.check_gateway_examination import Examination
from imaging_cds.check_gateway_places import DICOM_JSON, Kind, asked
from imaging_cds.check_gateway_probe import Question, Reply
from imaging_cds.check_gateway_report import NotOffered, NotTried, Outcome
from imaging_cds.check_gateway_requirement import Requirement, judged
from imaging_cds.check_gateway_subject import UNKNOWN_TOKEN, TokenKind

STRANGERS = ("https://imaging-cds-check.invalid", "null")
"""Origins of pages that nobody can have allowed."""
_BEARER = re.compile(r"(?:^|,)\s*bearer(?![^\s,])", re.IGNORECASE)
_NEXT_SCHEME = re.compile(r",\s*[a-z0-9-]+(?=\s+[^\s=,]|\s*,|\s*$)", re.IGNORECASE)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_ERROR = re.compile(r'(?:^|[\s,])error\s*=\s*"?([a-z_]+)"?', re.IGNORECASE)


def _both(exam: Examination, token: str | None) -> Iterator[tuple[str, Reply]]:
    """A search, and metadata of a study where the images are known."""
    named = exam.subject.patient or exam.subject.foreign_patient
    yield "search", exam.search(("patient", named), token=token)
    try:
        images = exam.images
    except NotTried:
        return
    yield "images", exam.ask(asked(images, Kind("metadata", f"{images.study_path}/metadata", DICOM_JSON), token))


def _no_credentials(exam: Examination) -> Outcome:
    return _challenged(exam, None, 401, None)


def _bad_token(exam: Examination) -> Outcome:
    return _challenged(exam, UNKNOWN_TOKEN, 401, "invalid_token")


def _small_scope(exam: Examination) -> Outcome:
    return _challenged(exam, exam.subject.token(TokenKind.UNSCOPED), 403, "insufficient_scope")


def _challenged(exam: Examination, token: str | None, status: int, error: str | None) -> Outcome:
    told = list(_both(exam, token))
    problems = [f"{name} {words}" for name, reply in told for words in _challenge_problems(reply, status, error)]
    stated = f', error="{error}"' if error else ""
    return judged(problems, f"{' and '.join(name for name, _ in told)}: {status}, WWW-Authenticate: Bearer{stated}.")


def _challenge_problems(reply: Reply, status: int, error: str | None) -> Iterator[str]:
    challenge = reply.headers.get("www-authenticate", "")
    bearer = _BEARER.search(challenge)  # other schemes may stand beside it
    stated = _ERROR.search(_own_words(challenge[bearer.end() :])) if bearer else None
    if reply.status != status:
        yield f"answers {reply.said} where {status} is asked for"
    elif bearer is None:
        yield f"answers {status} without WWW-Authenticate: Bearer"
    elif (stated[1] if stated else None) != error:
        yield f"says error={stated[1] if stated else 'nothing'} where {error or 'no error'} is asked for"


def _own_words(behind: str) -> str:
    """What belongs to a challenge, of what stands behind its scheme: up to the next scheme, such as DPoP."""
    # Whatever a quoted value holds, it is no scheme: it keeps its place and loses its commas.
    plain = _QUOTED.sub(lambda found: found[0].replace(",", "_").replace(" ", "_"), behind)
    following = _NEXT_SCHEME.search(plain)
    return plain[: following.start()] if following else plain


def _outcomes(exam: Examination) -> Outcome:
    bad = []
    refusals = [reply for reply in exam.probe.replies if _is_search(exam, reply) and reply.is_refused]
    for reply in refusals:
        if as_dict(reply.json()).get("resourceType") != "OperationOutcome":
            bad.append(f"a search refused with {reply.said} says so as {reply.content_type or 'nothing'}")
    if not refusals:
        raise NotTried("No search was refused.")
    return judged(bad, f"{len(refusals)} refused searches, each with an OperationOutcome.")


def _search_delays(exam: Examination) -> Outcome:
    return _delays([reply for reply in exam.probe.replies if _is_search(exam, reply)])


def _image_delays(exam: Examination) -> Outcome:
    return _delays([reply for reply in exam.probe.replies if not _is_search(exam, reply)])


def _delays(replies: list[Reply]) -> Outcome:
    """Judged by every answer of this check: a delay cannot be asked for."""
    delayed = [reply for reply in replies if reply.status == 503]
    odd = [f"503 with Retry-After: {reply.headers['retry-after']}" for reply in delayed if _is_odd(reply)]
    odd += [f"{reply.said} with Retry-After" for reply in replies if reply.status == 500 and "retry-after" in reply.headers]
    if not delayed and not odd:
        raise NotOffered("No answer was 503.")
    if delayed and all("retry-after" not in reply.headers for reply in delayed):
        odd.append("503 without Retry-After: nobody knows when to come back")
    return judged(odd, f"{len(delayed)} answers of 503 with Retry-After in whole seconds; asked again, unchanged.")


def _is_odd(reply: Reply) -> bool:
    stated = reply.headers.get("retry-after")
    return stated is not None and not stated.isdecimal()


def _strangers(exam: Examination) -> Outcome:
    problems, told, failed = [], 0, ""
    for origin in STRANGERS:
        for name, reply in _from_page(exam, origin):
            told += reply.status is not None
            failed = reply.failure or failed
            allowed = reply.headers.get("access-control-allow-origin")
            credentials = reply.headers.get("access-control-allow-credentials", "").lower() == "true"
            if allowed == "*" and credentials:
                problems.append(f"{name}: Access-Control-Allow-Origin * together with credentials")
            elif allowed == origin and credentials:
                problems.append(f"{name}: pages of {origin} are allowed, with credentials")
    if not told:
        raise NotTried(f"No answer: {failed}.")
    return judged(problems, f"{told} answers; no page of a stranger may read with credentials.")


def _from_page(exam: Examination, origin: str) -> Iterator[tuple[str, Reply]]:
    """A search and metadata as a browser's page of that origin asks: with the preflight first."""
    urls = [("search", f"{exam.subject.base}/ImagingStudy?patient={exam.subject.patient or 'none'}")]
    with suppress(NotTried):
        urls.append(("images", exam.images.url(f"{exam.images.study_path}/metadata")))
    wish = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    token = exam.subject.tokens.get(TokenKind.GOOD)
    for name, url in urls:
        yield f"{name} preflight", exam.ask(Question(url=url, method="OPTIONS", headers={"Origin": origin, **wish}))
        yield name, exam.ask(Question(url=url, token=token, headers={"Origin": origin}))


def _kept(exam: Examination) -> Outcome:
    told = [(name, reply) for name, reply in _both(exam, exam.good) if reply.is_served]
    if not told:
        raise NotTried("Nothing was served.")
    bad = [f"{name}: Cache-Control is {_cache(reply)}" for name, reply in told if not _stays_private(reply)]
    # Every kind of answer of this check: pictures and files, which never change, are kept most readily.
    with_token = [one for one in exam.probe.replies if one.question.token is not None and one.is_served]
    bad += [f"{one.content_type}: Cache-Control is {_cache(one)}" for one in with_token if not _stays_private(one)]
    return judged(
        bad, ", ".join(f"{name}: {_cache(reply) or 'nothing said, so shared caches keep nothing'}" for name, reply in told)
    )


def _stays_private(reply: Reply) -> bool:
    """RFC 9111 §3.5: what was asked for with a token is kept by shared caches only where the answer says so."""
    words = {word.partition("=")[0].strip() for word in _cache(reply).split(",")}
    return bool(words & {"no-store", "private"}) or not words & {"public", "s-maxage", "must-revalidate"}


def _cache(reply: Reply) -> str:
    return reply.headers.get("cache-control", "").lower()


def _is_search(exam: Examination, reply: Reply) -> bool:
    is_asked = reply.question.method in ("GET", "POST")  # a browser's preflight is no search
    return is_asked and reply.question.url.startswith(f"{exam.subject.base}/ImagingStudy")


MANNER_REQUIREMENTS = (
    Requirement(
        ids="P4 M13",
        name="no-credentials",
        asks="Without a token: 401 with WWW-Authenticate: Bearer and no error attribute.",
        remedy="Answer as RFC 6750 says; clients tell sign-in from refusal by it.",
        check=_no_credentials,
    ),
    Requirement(
        ids="P4 M13",
        name="invalid-token",
        asks='With a bad token: 401 with WWW-Authenticate: Bearer error="invalid_token".',
        remedy="Answer 401 invalid_token, so that clients refresh instead of giving up.",
        check=_bad_token,
    ),
    Requirement(
        ids="P4 M13",
        name="insufficient-scope",
        asks="With too small a scope: 403 with insufficient_scope.",
        remedy="Say insufficient_scope in WWW-Authenticate, so that the missing scope is found at once.",
        check=_small_scope,
    ),
    Requirement(
        ids="M14 P3",
        name="strangers",
        asks="Pages of unknown origins (and null) may not read with credentials (CORS). Audit cannot be seen from outside.",
        remedy="List the viewers' origins; never * with credentials, never the caller's own word.",
        check=_strangers,
    ),
    Requirement(
        ids="P4",
        name="caching",
        asks="Studies and images are kept by no shared cache (Cache-Control).",
        remedy="Send Cache-Control: private, no-store with every answer that needs a token.",
        check=_kept,
    ),
)

DELAY_REQUIREMENTS = (
    Requirement(
        ids="M13",
        name="outcome",
        asks="Refused searches carry an OperationOutcome.",
        remedy="Say what is wrong as FHIR does; a bare text hides it from every client.",
        check=_outcomes,
    ),
    Requirement(
        ids="F10 M13",
        name="delay",
        asks="A search that takes its time is 503 with Retry-After in whole seconds.",
        remedy="Send 503 (never 500) and an integer.",
        check=_search_delays,
    ),
    Requirement(
        ids="W7 M13",
        name="delay",
        asks="Images that take their time are 503 with Retry-After in whole seconds.",
        remedy="Send 503 (never 500) and an integer.",
        check=_image_delays,
    ),
)
