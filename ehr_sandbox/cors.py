"""Which browser origins may call what: discovery is for everyone, tokens and FHIR for registered origins."""

from flask import Request, Response

ALLOWED_METHODS = "GET, HEAD, POST, PUT, DELETE, OPTIONS"
ALLOWED_HEADERS = (
    "Accept, Authorization, Content-Type, If-Match, If-Modified-Since, If-None-Exist, If-None-Match, Prefer, X-Requested-With"
)
EXPOSED_HEADERS = "Content-Location, ETag, Last-Modified, Location, Retry-After, WWW-Authenticate"
PREFLIGHT_AGE_S = "600"


def allow_any_origin(response: Response) -> Response:
    """Public documents: readable by any page, never with credentials."""
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response


def allow_registered_origin(request: Request, response: Response, origins: frozenset[str]) -> Response:
    """Let a page of a registered origin read the answer; others get no CORS header and are stopped by the browser."""
    response.headers.add("Vary", "Origin")
    origin = request.headers.get("Origin", "")
    if origin.lower() not in origins:
        return response
    response.headers["Access-Control-Allow-Origin"] = origin
    response.headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
    if request.method == "OPTIONS":
        response.headers["Access-Control-Allow-Methods"] = ALLOWED_METHODS
        response.headers["Access-Control-Allow-Headers"] = ALLOWED_HEADERS
        response.headers["Access-Control-Max-Age"] = PREFLIGHT_AGE_S
        # A page on a public https origin that calls loopback asks this first (Private Network Access).
        if request.headers.get("Access-Control-Request-Private-Network") == "true":
            response.headers["Access-Control-Allow-Private-Network"] = "true"
    return response
