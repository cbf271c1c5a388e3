"""What stands over every answer of the gateway: CORS for configured viewers, nothing kept by anybody, nothing run by a browser.

Spec: SMART Imaging Access groups 18, 21 and 22; Fetch standard §3.2 (CORS protocol).
"""

METHODS = "GET, HEAD, OPTIONS"
REQUEST_HEADERS = "Authorization, Accept, Range, If-Range, X-Request-Id"
EXPOSED_HEADERS = (
    "Content-Type, Content-Length, Content-Range, Content-Location, Accept-Ranges, Retry-After, Warning, "
    "WWW-Authenticate, X-Request-Id"
)
GUARDING_HEADERS = (("Cache-Control", "private, no-store"), ("Content-Security-Policy", "default-src 'none'; sandbox"))
VARIES_BY = ("Authorization", "Origin")
