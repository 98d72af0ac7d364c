"""Who may ask: host names, the token, our own pages alone; and the headers of every answer."""

import stat

import pytest
from fastapi.testclient import TestClient

from studio.app import create_app
from studio.security import CSRF_HEADER, TOKEN_COOKIE, secret
from tests.studio.conftest import debug_engine

TOKEN = "0123456789abcdef"


@pytest.fixture
def guarded(settings):
    """A Studio that other machines may reach."""
    app = create_app(settings, TOKEN, load=debug_engine)
    with TestClient(app, base_url="http://studio.example:8000") as client:
        yield client


@pytest.mark.parametrize("host", ["localhost", "localhost:8643", "127.0.0.1:1", "[::1]:8643"])
def test_this_machine_may_ask(page, host):
    assert page.client.get("/api/jobs", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "10.0.0.1:8643", "["])
def test_a_name_that_was_bound_to_this_machine_may_not(page, host):
    answer = page.client.get("/api/jobs", headers={"host": host})
    assert answer.status_code == 403 and "localhost" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/uploads?kind=book"),
        ("POST", "/api/jobs"),
        ("DELETE", "/api/voices/ada"),
        ("PUT", "/api/jobs/0/cast"),
        ("PATCH", "/api/jobs/0/lines/1:1"),
    ],
)
def test_what_changes_something_needs_the_secret_of_our_pages(page, method, path):
    good = page.client.headers[CSRF_HEADER]
    for value in ("", "0" * 64, good[:-1]):
        answer = page.client.request(method, path, headers={CSRF_HEADER: value}, content=b"x")
        assert answer.status_code == 403
    for origin in ("https://evil.example", "null", "http://localhost:1"):
        answer = page.client.request(method, path, headers={"origin": origin}, content=b"x")
        assert answer.status_code == 403
    own = {"origin": "http://localhost"}
    assert page.client.request(method, path, headers=own, content=b"").status_code != 403


def test_no_other_origin_is_let_in(page):
    answer = page.client.get("/api/limits", headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers
    asked = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    answer = page.client.options("/api/jobs", headers=asked)
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/api/limits", "/api/jobs/none", "/nowhere", "/static/none"])
def test_every_answer_is_fenced_in(page, path):
    headers = page.client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy
    assert "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["/", "/api/limits", "/api/jobs", "/static/none", "/api/events"])
def test_other_machines_need_the_token(guarded, path):
    assert guarded.get(path).status_code == 403
    assert guarded.get(f"{path}?token=wrong").status_code == 403
    assert guarded.get(path, headers={"authorization": "Bearer wrong"}).status_code == 403


def test_the_address_with_the_token_lets_in_for_good(guarded):
    answer = guarded.get(f"/?a=1&token={TOKEN}", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/?a=1")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    assert guarded.cookies[TOKEN_COOKIE] == TOKEN
    assert guarded.get("/api/jobs").status_code == 200


@pytest.mark.parametrize("path", ["//evil.example", "/\\evil.example"])
def test_the_token_leads_nowhere_else(guarded, path):
    answer = guarded.get(f"http://studio.example:8000{path}?token={TOKEN}", follow_redirects=False)
    assert not answer.headers.get("location", "").startswith(("//", "/\\", "http"))


def test_programs_bring_the_token_along(guarded):
    headers = {"authorization": f"Bearer {TOKEN}"}
    csrf = guarded.get("/api/limits", headers=headers).json()["csrf"]
    assert guarded.delete("/api/voices/ada", headers=headers).status_code == 403
    assert (
        guarded.delete("/api/voices/ada", headers=headers | {CSRF_HEADER: csrf}).status_code == 404
    )


def test_a_secret_is_kept_for_its_owner(tmp_path):
    first = secret(tmp_path / "new", "csrf")
    assert len(first) == 64 and secret(tmp_path / "new", "csrf") == first
    assert secret(tmp_path / "new", "token") != first
    assert stat.S_IMODE((tmp_path / "new" / "csrf").stat().st_mode) == 0o600


def test_the_api_is_described(page):
    described = page.client.get("/api/openapi.json").json()
    operations = [
        one for path in described["paths"].values() for one in path.values() if "responses" in one
    ]
    assert len(operations) > 35
    assert all(one.get("description") for one in operations)
    assert all(path.startswith("/api/") for path in described["paths"])
