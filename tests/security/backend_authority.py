"""An authorization server's SMART Backend Services, strict: it believes an assertion only after every check.

Spec: SMART App Launch 2.2 "Backend Services" and "Client Authentication: Asymmetric"; RFC 7523.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jwt
from flask import Response, jsonify, request

from tests.security.gateway_stubs import StubEhr

CLIENT = "imaging-server-of-the-site"
_KIND = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass
class BackendAuthority:
    """The token endpoint of one EHR. ``faults`` say what was wrong with each request, ``issued`` are its tokens."""

    ehr: StubEhr
    published: Callable[[], dict[str, Any]]
    """The client's JWKS, as it registered it."""
    issued: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    forms: list[dict[str, str]] = field(default_factory=list)
    lifetime: object = 300
    instead: Callable[[], Response] | None = None
    slow_s: float = 0.0
    _seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.ehr.answers["/auth/token"] = self._answer

    @property
    def url(self) -> str:
        return f"{self.ehr.issuer}/token"

    def _answer(self) -> Response:
        self.forms.append(request.form.to_dict())
        time.sleep(self.slow_s)
        if self.instead is not None:
            return self.instead()
        fault = self._fault()
        if fault is not None:
            self.faults.append(fault)
            return Response('{"error": "invalid_client"}', 400, content_type="application/json")
        token = f"own-token-{len(self.issued)}-{time.perf_counter_ns()}"
        self.issued.append(token)
        answer: dict[str, object] = {"access_token": token, "token_type": "bearer", "scope": request.form["scope"]}
        answer["expires_in"] = self.lifetime
        return jsonify({name: value for name, value in answer.items() if value is not None})

    def _fault(self) -> str | None:
        form = request.form
        if request.method != "POST" or request.query_string or "Authorization" in request.headers:
            return "not a POST of a form alone"
        if form.get("grant_type") != "client_credentials" or form.get("client_assertion_type") != _KIND:
            return "grant_type or client_assertion_type"
        if set(form) != {"grant_type", "scope", "client_assertion_type", "client_assertion"}:
            return f"parameters {sorted(form)}"
        try:
            claims = self._signed(form["client_assertion"])
        except (jwt.PyJWTError, StopIteration) as exc:
            return f"signature: {exc}"
        return self._fault_of(claims)

    def _signed(self, assertion: str) -> dict[str, Any]:
        header = jwt.get_unverified_header(assertion)
        key = next(one for one in self.published()["keys"] if one["kid"] == header["kid"])
        assert (header["typ"], header["alg"]) == ("JWT", key["alg"])
        return dict(
            jwt.decode(
                assertion,
                jwt.PyJWK(key),
                algorithms=["ES384", "RS384"],
                audience=self.url,
                issuer=CLIENT,
                options={"require": ["iss", "sub", "aud", "exp", "jti"], "strict_aud": True},
            )
        )

    def _fault_of(self, claims: dict[str, Any]) -> str | None:
        if claims["sub"] != CLIENT:
            return "sub"
        if claims["exp"] - time.time() > 300:
            return "exp more than five minutes away"
        if claims["jti"] in self._seen:
            return "jti seen before"
        self._seen.add(claims["jti"])
        return None
