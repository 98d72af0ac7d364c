"""Who may ask what: token, own pages only (CSRF), host names, and headers that fence the page in.

The server listens on this machine alone unless it is given a token. A page of somebody else's in
the same browser can reach it all the same, so whatever changes something must carry a header that
only our own pages know, and come from our own origin; and a name that is not this machine's (DNS
rebinding) is refused.
"""

import hmac
import os
import secrets
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from studio.wording import problem

CSRF_HEADER = "x-csrf-token"
TOKEN_COOKIE = "voxloom_token"
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
_SAFE = ("GET", "HEAD", "OPTIONS")
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "media-src 'self' blob:; connect-src 'self'; font-src 'self'; manifest-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# A page that is not ours to trust: no scripts, an origin of its own, its own style alone.
SANDBOX = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
}


def secret(home: Path, name: str) -> str:
    """A random secret in a file of its own; the same after a restart, so that open pages go on."""
    path = home / name
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32))
    return path.read_text(encoding="ascii").strip()


class Guard:
    """ASGI middleware: refuses what is not allowed and sets the headers of every answer."""

    def __init__(self, app: ASGIApp, csrf: str, token: str) -> None:
        self._app = app
        self._csrf = csrf
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def fenced(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if scope["path"].startswith("/api/"):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refused = self._refusal(scope)
        await (refused or self._app)(scope, receive, fenced)

    def _refusal(self, scope: Scope) -> Response | None:
        headers, request = Headers(scope=scope), Request(scope)
        if not self._token and _name(headers.get("host", "")) not in LOCAL_NAMES:
            return problem(request, 403, "Studio answers to localhost only; open it by that name.")
        if self._token and not _same(_cookie(headers) or _bearer(headers), self._token):
            return self._login(scope)
        if scope["method"] not in _SAFE:
            origin = headers.get("origin")
            if origin is not None and urlsplit(origin).netloc != headers.get("host"):
                return problem(
                    request, 403, "This request comes from another page; use Studio's own."
                )
            if not _same(headers.get(CSRF_HEADER, ""), self._csrf):
                return problem(request, 403, "This page is out of date; load it again.")
        return None

    def _login(self, scope: Scope) -> Response:
        """The address with the token in it becomes a cookie, and an address without it."""
        request = Request(scope)
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if scope["method"] == "GET" and _same(dict(query).get("token", ""), self._token):
            rest = urlencode([pair for pair in query if pair[0] != "token"])
            path = "/" + scope["path"].lstrip("/\\")
            answer = RedirectResponse(path + (f"?{rest}" if rest else ""), 303)
            answer.set_cookie(TOKEN_COOKIE, self._token, httponly=True, samesite="strict")
            return answer
        return problem(
            request, 403, "Open the address with the token that voxloom studio has printed."
        )


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())


def _name(host: str) -> str:
    """The name in a Host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(TOKEN_COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _bearer(headers: Headers) -> str:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""
