"""The Content-Security-Policy of the viewer's page and of its workers, and the headers that go with them."""

from smart_app.ohif_config import OhifConfig, origin_of


def page_policy(config: OhifConfig) -> str:
    """The policy of the viewer's page.

    Scripts come from us alone and none is built from text; images and requests go to us and to this launch's DICOMweb
    servers; only the EHR and ourselves may frame it.
    """
    servers = dict.fromkeys([*(origin_of(root.root) for root in config.wado_roots), *config.connect_origins])
    return _joined(
        {
            "default-src": "'none'",
            "script-src": "'self' 'wasm-unsafe-eval'",
            "worker-src": "'self'",
            "img-src": "'self' data: blob:",
            "style-src": "'self' 'unsafe-inline'",
            "font-src": "'self'",
            "connect-src": " ".join(["'self'", *servers]),
            "frame-ancestors": " ".join(["'self'", *config.frame_ancestors]),
            "base-uri": "'none'",
            "form-action": "'none'",
            "object-src": "'none'",
        }
    )


def worker_policy(*, is_codec_worker: bool) -> str:
    """The policy in a worker bundle's own response.

    The codecs for JPEG 2000, JPEG-LS and HTJ2K call `new Function` (embind), without which compressed images stay
    black; they may, inside their worker, which reaches nothing but our own files.
    """
    evaluation = "'unsafe-eval'" if is_codec_worker else "'wasm-unsafe-eval'"
    return _joined(
        {"default-src": "'none'", "script-src": f"'self' {evaluation}", "connect-src": "'self'", "worker-src": "'self'"}
    )


def page_headers(config: OhifConfig) -> dict[str, str]:
    """Headers of the shell page."""
    return {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": page_policy(config),
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }


def _joined(directives: dict[str, str]) -> str:
    return "; ".join(f"{name} {value}" for name, value in directives.items())
