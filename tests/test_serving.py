"""The server on a small mission: who gets what, documents that come in, decisions that equal the pipeline's, and attacks."""

import contextlib
import csv
import io
import json
import re
import shutil
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import schemathesis
from argon2 import PasswordHasher
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance
from starlette.routing import Mount
from starlette.websockets import WebSocketDisconnect

from proveout.cli import acting, output, watching
from proveout.documents import sha256_of
from proveout.errors import BadInput, Busy
from proveout.identity import Accounts, Role
from proveout.journal import Journal
from proveout.live import Live, alone
from proveout.release import Releases
from proveout.serving import application, site
from proveout.serving.guards import COOKIE, DOCUMENTS, OPEN, Limits
from proveout.workspace import Workspace

PASSWORD = "correct horse battery"
PEOPLE = {"ron": Role.READER, "rita": Role.REVIEWER, "ada": Role.OPERATOR}
QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
UNBOUNDED = Limits(per_second=1e9, burst=1e9)
NOWHERE = "0" * 64


@pytest.fixture(scope="module")
def space(bills) -> Workspace:
    """A mission that was just begun, built and promoted; two of its examples are decided, and its reports are there."""
    workspace = Workspace.find("bills", start=bills)
    (workspace.home / "inbox").mkdir()
    for number in (1, 2):
        shutil.copy(example(workspace, number), workspace.home / "inbox")
    Live(Releases(workspace.releases).open("latest"), workspace.home / "inbox", workspace.home, workspace.cache).run()
    (workspace.reports / "drift").mkdir(parents=True)
    (workspace.reports / "report.html").write_text("<p>what changed</p>")
    (workspace.reports / "drift" / "drift.html").write_text(HOSTILE)
    return workspace


HOSTILE = """<p id=told>nothing</p><script>
const told = document.getElementById('told');
const say = text => told.textContent = text;
fetch('/api/v1/cases', {credentials: 'include'}).then(answer => say('read ' + answer.status), () => say('refused'));
</script>"""


@pytest.fixture(scope="module")
def accounts(space):
    with Accounts(space.accounts, hasher=QUICK) as opened:
        for name, role in PEOPLE.items():
            opened.add(name, role, PASSWORD)
        yield opened


@pytest.fixture(scope="module")
def tokens(accounts) -> dict[str, dict[str, str]]:
    headers = {name: {"Authorization": f"Bearer {accounts.new_token(name, 'tests')}"} for name in PEOPLE}
    return {"nobody": {}, **headers}


@pytest.fixture(scope="module")
def app(space, accounts):
    return application(space, accounts, UNBOUNDED)


@pytest.fixture(scope="module")
def client(app):
    with TestClient(app, follow_redirects=False, raise_server_exceptions=False) as opened:
        yield opened


@pytest.fixture
def ada(tokens) -> dict[str, str]:
    return tokens["ada"]


def example(space: Workspace, number: int) -> Path:
    return sorted((space.design / "examples").glob("*.txt"))[number]


def bill(number: int, total: str = "$120.00") -> bytes:
    return f"""Northgate Water
Invoice no. NW-{number}     Issued 2026-05-{number % 28 + 1:02}
Amount payable {total}
Payment due 2026-06-20
""".encode()


def signed_in(client: TestClient, name: str) -> dict[str, str]:
    """The cookie that a browser would send."""
    came_in = client.post("/login", data={"name": name, "password": PASSWORD, "next": "/"})
    assert came_in.status_code == 303
    client.cookies.clear()
    return {"Cookie": f"{COOKIE}={came_in.cookies[COOKIE]}"}


def decided(client: TestClient, case: str, sign: dict[str, str]) -> dict:
    until = time.monotonic() + 120
    while (answer := client.get(f"/api/v1/cases/{case}", headers=sign).json())["state"] == "waiting":
        assert time.monotonic() < until, client.get("/ready", headers=sign).json()
        time.sleep(0.1)
    return answer


# --- who gets what -----------------------------------------------------------------------------------------------------


ROOMS = [
    ("GET", "/health", None),
    ("GET", "/login", None),
    ("GET", "/openapi.json", None),
    ("GET", "/style.css", None),
    ("GET", "/", "ron"),
    ("GET", "/api", "ron"),
    ("GET", "/ready", "ron"),
    ("GET", f"/cases/{NOWHERE}", "ron"),
    ("GET", "/reports/report.html", "ron"),
    ("GET", "/nowhere", "ron"),
    ("GET", "/api/v1/cases", "ron"),
    ("GET", f"/api/v1/cases/{NOWHERE}", "ron"),
    ("GET", f"/api/v1/cases/{NOWHERE}/decision", "ron"),
    ("GET", f"/api/v1/cases/{NOWHERE}/explanation", "ron"),
    ("GET", f"/api/v1/cases/{NOWHERE}/page/0.png", "ron"),
    ("GET", "/api/v1/release", "ron"),
    ("GET", "/review", "rita"),
    ("GET", "/review/", "rita"),
    ("GET", "/review/review.js", "rita"),
    ("GET", "/api/v1/reviews", "ron"),
    ("GET", f"/api/v1/cases/{NOWHERE}/review", "ron"),
    ("GET", f"/api/v1/cases/{NOWHERE}/page/0.json", "ron"),
    ("GET", f"/cases/{NOWHERE}/shown", "ron"),
    ("POST", f"/api/v1/cases/{NOWHERE}/approve", "rita"),
    ("POST", f"/api/v1/cases/{NOWHERE}/expected", "rita"),
    ("POST", f"/api/v1/cases/{NOWHERE}/reject", "rita"),
    ("POST", f"/api/v1/cases/{NOWHERE}/undo", "rita"),
    ("POST", f"/api/v1/cases/{NOWHERE}/take", "rita"),
    ("POST", f"/api/v1/cases/{NOWHERE}/put_back", "rita"),
    ("POST", f"/cases/{NOWHERE}/again", "rita"),
    ("POST", f"/cases/{NOWHERE}/put_back", "rita"),
    ("POST", f"/cases/{NOWHERE}/assign", "ada"),
    ("POST", "/api/v1/cases", "ada"),
    ("POST", "/api/v1/preview", "ada"),
    ("POST", "/api/v1/lift", "ada"),
    ("PUT", "/api/v1/cases", "ada"),
    ("POST", "/", "ada"),
    ("DELETE", "/reports/report.html", "ada"),
]


@pytest.mark.parametrize("who", ["nobody", *PEOPLE])
@pytest.mark.parametrize(("method", "path", "lowest"), ROOMS, ids=[f"{method} {path[:30]}" for method, path, _ in ROOMS])
def test_a_room_is_open_to_a_role_and_those_above(client, tokens, who, method, path, lowest):
    status = client.request(method, path, headers=tokens[who]).status_code
    if who == "nobody":
        assert (status == 401) == (lowest is not None)
    else:
        allowed = lowest is None or list(PEOPLE).index(who) >= list(PEOPLE).index(lowest)
        assert (status not in (401, 403)) == allowed


def test_no_route_is_forgotten(app, client):
    """Whatever is added to the server later asks who comes, unless it is named as open."""
    paths = {path + ("/x" if isinstance(route, Mount) else "") for path, route in routes(app.routes)}
    assert {"/reports/x", "/review/", "/api/v1/cases", "/cases/{case}"} <= paths
    for path in paths - OPEN:
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"):
            assert client.request(method, path).status_code == 401, (method, path)


@pytest.mark.parametrize(
    "path",
    [
        "//login",
        "/login/",
        "/login/../",
        "/Login",
        "/health/../api/v1/cases",
        "/review;/",
        "/%72eview/",
        "/./review/",
        "/login%2f",
    ],
)
def test_another_spelling_opens_nothing(client, path):
    assert client.get(path).status_code == 401


def routes(some, before: str = ""):
    for route in some:
        if hasattr(route, "path"):
            yield before + route.path, route
        else:
            yield from routes(route.original_router.routes, before)


def test_the_document_says_what_each_call_needs(app):
    for path, calls in app.openapi()["paths"].items():
        for method, call in calls.items():
            assert bool(call["security"]) == (path not in OPEN), (method, path)
            assert {"429", "503"} <= set(call["responses"])


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer pvo_wrong"},
        {"Authorization": "Basic YWRhOmNvcnJlY3QgaG9yc2UgYmF0dGVyeQ=="},
        {"Authorization": "Bearer \xff"},
        {"Cookie": f"{COOKIE}="},
        {"Cookie": f"{COOKIE}=' OR 1=1 --"},
        {"Cookie": f"{COOKIE}=a; {COOKIE}=b"},
    ],
    ids=str,
)
def test_a_wrong_sign_is_no_sign(client, headers):
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    assert client.get("/api/v1/cases", headers=raw).status_code == 401


def test_a_wrong_token_is_not_mended_by_a_right_cookie(client):
    both = {**signed_in(client, "ada"), "Authorization": "Bearer pvo_wrong"}
    assert client.get("/api/v1/cases", headers=both).status_code == 401


def test_a_revoked_token_and_a_removed_account_are_out_at_once(client, accounts):
    accounts.add("eve", Role.OPERATOR, PASSWORD)
    first, second = accounts.new_token("eve", "one"), accounts.new_token("eve", "two")
    cookie = signed_in(client, "eve")
    accounts.revoke("eve", "one")
    assert client.get("/ready", headers={"Authorization": f"Bearer {first}"}).status_code == 401
    assert client.get("/ready", headers=cookie).status_code == 200
    accounts.remove("eve")
    assert client.get("/ready", headers=cookie).status_code == 401
    assert client.get("/ready", headers={"Authorization": f"Bearer {second}"}).status_code == 401


# --- signing in ----------------------------------------------------------------------------------------------------------


def test_a_browser_is_sent_to_sign_in_and_comes_back(client):
    sent = client.get("/reports/report.html?a=1", headers={"Accept": "text/html"})
    assert (sent.status_code, sent.headers["location"]) == (303, "/login?next=/reports/report.html%3Fa%3D1")
    form = client.get(sent.headers["location"])
    assert 'value="/reports/report.html?a=1"' in form.text
    came_in = client.post("/login", data={"name": "ron", "password": PASSWORD, "next": "/reports/report.html?a=1"})
    assert (came_in.status_code, came_in.headers["location"]) == (303, "/reports/report.html?a=1")
    client.cookies.clear()


@pytest.mark.parametrize(
    "wanted", ["https://evil.example", "//evil.example", "/\\evil.example", "/\t/evil.example", "javascript:alert(1)"]
)
def test_nobody_is_sent_to_another_server(client, wanted):
    came_in = client.post("/login", data={"name": "ron", "password": PASSWORD, "next": wanted})
    client.cookies.clear()
    assert came_in.headers["location"] == "/"


@pytest.mark.parametrize(("base", "secure"), [("http://127.0.0.1", False), ("https://proveout.example", True)])
def test_a_session_is_for_this_server_and_no_script(app, base, secure):
    browser = TestClient(app, base_url=base, follow_redirects=False)
    cookie = browser.post("/login", data={"name": "ron", "password": PASSWORD}).headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie and "path=/" in cookie
    assert ("secure" in cookie) == secure


def test_signing_out_ends_the_session_on_the_server(client):
    cookie = signed_in(client, "ron")
    assert client.post("/logout", headers=cookie).status_code == 303
    assert client.get("/", headers=cookie).status_code == 401


def test_every_sign_in_has_a_session_of_its_own(client):
    planted = {"Cookie": f"{COOKIE}=planted-by-somebody"}
    came_in = client.post("/login", data={"name": "ron", "password": PASSWORD}, headers=planted)
    assert came_in.cookies[COOKIE] != "planted-by-somebody"
    client.cookies.clear()
    assert client.get("/", headers=planted).status_code == 401


def test_a_guesser_waits_and_learns_nothing(client, accounts):
    accounts.add("mia", Role.READER, PASSWORD)
    responses = {}
    for name in ("mia", "nobody-of-that-name"):
        answers = [client.post("/login", data={"name": name, "password": "wrong"}) for _ in range(6)]
        responses[name] = [(response.status_code, response.text.replace(name, "")) for response in answers]
    assert responses["mia"] == responses["nobody-of-that-name"]
    assert [status for status, _ in responses["mia"]] == [401] * 5 + [429]


def test_a_form_with_markup_in_it_is_shown_as_text(client):
    form = client.post("/login", data={"name": '"><script>alert(1)</script>', "password": "x", "next": '/"><script>'})
    assert "<script>" not in form.text


# --- pages of other sites -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "served"),
    [
        ({}, True),
        ({"Origin": "http://testserver"}, True),
        ({"Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "http://testserver:8000"}, False),
        ({"Origin": "https://testserver"}, False),
        ({"Origin": "null"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
    ],
    ids=str,
)
def test_a_page_of_another_site_changes_nothing(client, headers, served):
    cookie = signed_in(client, "ada")
    stopped = client.post("/api/v1/stop", json={"because": "a test"}, headers=cookie | headers)
    assert (stopped.status_code == 200) == served
    client.post("/api/v1/lift", headers=cookie)
    assert (client.post("/login", data={"name": "ron", "password": PASSWORD}, headers=headers).status_code == 303) == served
    client.cookies.clear()


def test_no_answer_may_be_read_framed_or_sniffed_elsewhere(client, ada):
    for path in ("/", "/login", "/nowhere", "/reports/report.html", "/review/", "/review/review.js", "/api/v1/cases"):
        headers = client.get(path, headers={**ada, "Origin": "http://evil.example"}).headers
        assert not [name for name in headers if name.startswith("access-control-")], path
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"


def test_a_report_runs_its_scripts_without_a_session(client, ada):
    assert "script-src" not in client.get("/reports/report.html", headers=ada).headers["content-security-policy"]
    policy = client.get("/reports/drift/drift.html", headers=ada).headers["content-security-policy"]
    assert "sandbox allow-scripts" in policy and "allow-same-origin" not in policy and "connect-src" not in policy


# --- documents come in ------------------------------------------------------------------------------------------------------


def test_a_document_that_is_handed_in_is_decided_as_the_agent_and_extract_do(client, space, ada, tmp_path, capsys):
    """Value by value, by the same release over the same memory."""
    path = example(space, 7)
    previewed = client.post("/api/v1/preview", files={"file": path.open("rb")}, headers=ada).json()
    release = Releases(space.releases).open("latest")
    (decision,) = Live(release, space.home / "inbox", space.home, space.cache).agent().batch([path])
    acting.extract(space, alone_in(tmp_path, path), tmp_path / "out.json")
    extracted = json.loads((tmp_path / "out.json").read_text())[path.stem]

    handed_in = client.post("/api/v1/cases", files={"file": path.open("rb")}, headers=ada)
    assert handed_in.status_code == 202
    case = handed_in.json()["id"]
    assert handed_in.headers["location"] == f"/api/v1/cases/{case}"
    assert case == sha256_of(path)
    decided(client, case, ada)
    live = client.get(f"/api/v1/cases/{case}/decision", headers=ada).json()
    for answer in (previewed, live):
        assert answer["route"] == decision.route == "act"
        assert answer["because"] == list(decision.because)
        assert set(answer["fields"]) == set(decision.fields) == set(extracted)
        for name, field in answer["fields"].items():
            value = decision.fields[name]
            assert field["text"] == value.text == extracted[name]["value"]
            assert field["confidence"] == value.confidence
            assert field["box"] == asdict(value.place.box)
            assert field["automated"] == (name in decision.automated) == extracted[name]["automated"]
            assert round(field["confidence"], 4) == extracted[name]["confidence"]
        assert [(action["name"], action["allowed"]) for action in answer["actions"]] == [("file_document", True)]
    explained = client.get(f"/api/v1/cases/{case}/explanation", headers=ada).json()
    capsys.readouterr()
    acting.show(space, case, again=False)
    printed = capsys.readouterr().out.partition("\n\n")[2].rstrip().replace(f"{output.short(space.home)}/", "")
    assert explained["text"] == printed
    assert str(space.home) not in json.dumps(explained)


def alone_in(folder: Path, path: Path) -> Path:
    (folder / "alone").mkdir()
    return Path(shutil.copy(path, folder / "alone")).parent


def test_the_same_bytes_are_the_same_case(client, space, ada):
    first = client.post("/api/v1/cases", files={"file": ("a.txt", bill(1))}, headers=ada)
    again = client.post("/api/v1/cases", files={"file": ("b.pdf", bill(1))}, headers=ada)
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.headers["location"] == again.headers["location"]
    decided(client, first.json()["id"], ada)
    later = client.post("/api/v1/cases", files={"file": ("c.txt", bill(1))}, headers=ada)
    assert (later.status_code, later.json()["state"]) == (200, "decided")
    assert len(list((space.home / "inbox").glob(f"{first.json()['id']}*"))) == 1


def test_handed_in_by_many_at_once_a_document_is_one_case(client, space, ada):
    answers = []

    def hand_in() -> None:
        answers.append(client.post("/api/v1/cases", files={"file": ("a.txt", bill(2))}, headers=ada))

    threads = [threading.Thread(target=hand_in) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {one.status_code for one in answers} <= {200, 202}
    (case,) = {one.json()["id"] for one in answers}
    assert len(list((space.home / "inbox").glob(f"{case}*"))) == 1


def test_what_is_known_of_a_document_reaches_its_decision(client, ada):
    about = {"day": "2026-02-03", "segment": "water & sewage"}
    case = client.post("/api/v1/cases", files={"file": ("a.txt", bill(3))}, data=about, headers=ada).json()["id"]
    answer = decided(client, case, ada)
    assert (answer["day"], answer["segment"], answer["document"]) == ("2026-02-03", "water & sewage", "a.txt")


@pytest.mark.parametrize(
    "name", ["../../../etc/passwd", "..\\..\\x.txt", "/abs.txt", ".hidden", "inbox.csv", "a\nb,c.txt", "é" * 300]
)
def test_no_name_leaves_the_inbox(client, space, ada, name):
    outside = {*space.home.iterdir(), *space.home.parent.iterdir()}
    case = client.post("/api/v1/cases", files={"file": (name, bill(sum(map(ord, name))))}, headers=ada).json()["id"]
    (path,) = (space.home / "inbox").glob(f"{case}*")
    assert path.parent == space.home / "inbox" and path.name.isprintable() and len(path.name) < 140
    assert decided(client, case, ada)["state"] == "decided"
    assert {*space.home.iterdir(), *space.home.parent.iterdir()} == outside


@pytest.mark.parametrize(
    ("content", "data", "status", "detail"),
    [
        (b"", {}, 422, "empty"),
        (b"\x00\x01\x02\x03" * 50, {}, 415, "expected PDF, PNG, JPEG, TIFF or plain text"),
        (b"Invoice", {"day": "yesterday"}, 422, "body.day"),
        (b"Invoice", {"day": "0001-01-01"}, 422, "body.day"),
        (b"Invoice", {"day": "86400"}, 422, "body.day"),
        (b"Invoice", {"segment": "=HYPERLINK(1)"}, 422, "body.segment"),
        (b"Invoice", {"segment": "a\nb"}, 422, "body.segment"),
        (b"Invoice", {"segment": "x" * 65}, 422, "body.segment"),
    ],
    ids=["empty", "unknown kind", "no day", "day of no calendar", "seconds", "formula", "two lines", "too long"],
)
def test_what_cannot_be_a_case_is_refused_and_nothing_is_kept(client, space, ada, content, data, status, detail):
    before = sorted((space.home / "inbox").iterdir())
    answer = client.post("/api/v1/cases", files={"file": ("a.bin", content)}, data=data, headers=ada)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert detail in answer.text
    assert sorted((space.home / "inbox").iterdir()) == before
    assert not list((space.home / "incoming").iterdir())


def test_a_document_that_is_too_large_is_turned_away_while_it_comes(space, accounts, ada):
    small = TestClient(application(space, accounts, replace(UNBOUNDED, document=100_000)))
    before = sorted((space.home / "inbox").iterdir())

    def endless():
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
        for _ in range(5_000):
            yield b"a" * 10_000

    for path in ("/api/v1/cases", "/api/v1/preview"):
        refused = small.post(path, files={"file": ("a.txt", b"a" * 200_000)}, headers=ada)
        assert refused.status_code == 413
        multipart = {"Content-Type": "multipart/form-data; boundary=x"}
        assert small.post(path, content=endless(), headers=ada | multipart).status_code == 413
    assert small.post("/login", content=b"name=" + b"a" * 100_000).status_code == 413
    assert sorted((space.home / "inbox").iterdir()) == before
    assert not list((space.home / "incoming").iterdir())


def test_nobody_sends_a_body_before_saying_who(client):
    taken = 0

    def body():
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield b"a" * 1000

    for sign in ({}, {"Authorization": "Bearer pvo_wrong"}):
        assert client.post("/api/v1/cases", content=body(), headers=sign).status_code == 401


def test_who_asks_too_often_waits(space, accounts, tokens):
    busy = TestClient(application(space, accounts, replace(UNBOUNDED, per_second=0.01, burst=25)))
    statuses = [busy.get("/ready", headers=tokens["ron"]).status_code for _ in range(30)]
    assert statuses == [200] * 25 + [429] * 5
    assert busy.get("/ready", headers=tokens["rita"]).status_code == 200, "somebody else does not wait"
    assert [busy.post("/api/v1/lift", headers=tokens["ada"]).status_code for _ in range(3)] == [200, 200, 429]
    assert int(busy.get("/ready", headers=tokens["ron"]).headers["retry-after"]) > 0
    assert [busy.get("/health").status_code for _ in range(26)][-1] == 429, "an address waits too"


def test_a_request_that_takes_too_long_is_ended(space, accounts, tokens, monkeypatch):
    slow = application(space, accounts, replace(UNBOUNDED, seconds=0.05))

    @slow.get("/slow")
    async def slowly() -> None:
        import asyncio

        await asyncio.sleep(30)

    answer = TestClient(slow).get("/slow", headers=tokens["ron"])
    assert answer.status_code == 503 and "took too long" in answer.text


def test_a_preview_writes_nothing_down(client, space, ada):
    with Journal(space.home / "journal.db") as journal:
        before = journal.position
        for memory in ("live", "release"):
            answer = client.post(f"/api/v1/preview?memory={memory}", files={"file": ("x.txt", bill(9000))}, headers=ada)
            assert answer.status_code == 200
        assert journal.position == before
    assert not list((space.home / "incoming").iterdir())
    assert client.get(f"/api/v1/cases/{answer.json()['case']}", headers=ada).status_code == 404


# --- what is read ----------------------------------------------------------------------------------------------------------


def test_cases_come_newest_first_page_by_page(client, tokens):
    sign = tokens["ron"]
    whole = client.get("/api/v1/cases?limit=200", headers=sign).json()
    assert whole["total"] == len(whole["cases"]) >= 3 and whole["next"] is None
    assert [one["at"] for one in whole["cases"]] == sorted((one["at"] for one in whole["cases"]), reverse=True)
    paged, path = [], "/api/v1/cases?limit=2"
    while path:
        page = client.get(path, headers=sign).json()
        paged += page["cases"]
        path = page["next"]
    assert paged == whole["cases"]
    for route in ("act", "review", "refuse"):
        some = client.get(f"/api/v1/cases?route={route}&limit=200", headers=sign).json()["cases"]
        assert some == [one for one in whole["cases"] if one["route"] == route]


def test_what_is_laid_into_the_inbox_and_answered_elsewhere_is_seen(client, space, tokens):
    sign, path = tokens["ron"], example(space, 20)
    case = sha256_of(path)
    shutil.copy(path, space.home / "inbox")
    client.app.state.worker.wake()
    assert decided(client, case, sign)["state"] == "decided"
    rows = list(csv.DictReader((space.design / "examples" / "labels.csv").open()))
    with (space.home / "labels.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(row for row in rows if row["file_id"] == path.stem)
    watching.label(space, space.home / "labels.csv")
    assert client.get(f"/api/v1/cases/{case}", headers=sign).json()["state"] == "labelled"
    assert case in {one["id"] for one in client.get("/api/v1/cases?state=labelled", headers=sign).json()["cases"]}


def test_a_page_of_a_case_is_a_picture(client, space, tokens):
    case = sha256_of(example(space, 1))
    picture = client.get(f"/api/v1/cases/{case}/page/0.png", headers=tokens["ron"])
    assert picture.headers["content-type"] == "image/png" and picture.content.startswith(b"\x89PNG")
    assert client.get(f"/api/v1/cases/{case}/page/9.png", headers=tokens["ron"]).status_code == 404


@pytest.mark.parametrize(
    "path",
    ["..", "../../accounts.db", "%2e%2e%2faccounts.db", "A" * 64, "0" * 63, "0" * 65, "*" * 64, f"{'0' * 64}%0a", "%00"],
)
@pytest.mark.parametrize("rest", ["", "/decision", "/explanation", "/page/0.png"])
def test_only_an_id_names_a_case(client, ada, path, rest):
    answer = client.get(f"/api/v1/cases/{path}{rest}", headers=ada)
    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "path", ["../accounts.db", "%2e%2e/accounts.db", "..%2faccounts.db", "drift/../../journal.db", "//etc/passwd"]
)
def test_reports_are_all_that_is_under_reports(client, ada, path):
    assert client.get(f"/reports/{path}", headers=ada).status_code == 404


def test_a_link_out_of_the_reports_leads_nowhere(client, space, ada):
    (space.reports / "out.html").symlink_to(space.accounts)
    assert client.get("/reports/out.html", headers=ada).status_code == 404


def test_no_fault_repeats_what_was_sent(client, ada):
    secret = "s3cret-of-somebody"
    faults = [
        client.get(f"/api/v1/cases/{secret}", headers=ada),
        client.get(f"/api/v1/cases?limit={secret}&state={secret}", headers=ada),
        client.post("/api/v1/stop", json={"because": [secret]}, headers=ada),
        client.post("/api/v1/stop", content=secret, headers=ada),
        client.post("/api/v1/cases", data={"day": secret, "segment": f"!{secret}"}, headers=ada),
        client.get(f"/{secret}", headers=ada),
        client.get("/", headers={"Authorization": f"Bearer {secret}"}),
        client.post("/login", data={"name": "ron", "password": secret}),
    ]
    for fault in faults:
        assert 400 <= fault.status_code < 500
        assert secret not in fault.text


def test_health_tells_nothing_private(client):
    assert set(client.get("/health").json()) == {"status", "version"}


# --- the control plane --------------------------------------------------------------------------------------------------------


def test_what_is_allowed_while_stopped_waits_until_the_stop_is_lifted(client, space, ada):
    stopped = client.post("/api/v1/stop", json={"because": "amounts look wrong"}, headers=ada).json()["stopped"]
    assert stopped.startswith("stopped by ada at ") and stopped.endswith("amounts look wrong")
    case = client.post("/api/v1/cases", files={"file": example(space, 30).open("rb")}, headers=ada).json()["id"]
    assert decided(client, case, ada)["effects"] == {"file_document": "waiting"}
    assert client.post("/api/v1/lift", headers=ada).json() == {"stopped": ""}
    until = time.monotonic() + 60
    while client.get(f"/api/v1/cases/{case}", headers=ada).json()["effects"] != {"file_document": "done"}:
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_case_waits_while_another_process_is_at_work(client, space, ada):
    until = time.monotonic() + 60
    with contextlib.ExitStack() as stack:
        while True:  # this test is the other process, as soon as the server has nothing to do
            try:
                stack.enter_context(alone(space.home))
                break
            except Busy:
                assert time.monotonic() < until
                time.sleep(0.05)
        case = client.post("/api/v1/cases", files={"file": ("w.txt", bill(77))}, headers=ada).json()["id"]
        time.sleep(1.5)
        assert client.get(f"/api/v1/cases/{case}", headers=ada).json()["state"] == "waiting"
        early = client.get(f"/api/v1/cases/{case}/decision", headers=ada)
        assert early.status_code == 409 and early.headers["retry-after"]
    assert decided(client, case, ada)["state"] == "decided"


def test_without_a_release_nothing_is_decided_and_it_says_so(space, accounts, ada, tmp_path):
    empty = replace(space, home=tmp_path)
    with TestClient(application(empty, accounts, UNBOUNDED)) as client:
        assert client.get("/api/v1/release", headers=ada).status_code == 409
        assert client.post("/api/v1/preview", files={"file": ("x.txt", bill(1))}, headers=ada).status_code == 409
        case = client.post("/api/v1/cases", files={"file": ("x.txt", bill(1))}, headers=ada).json()["id"]
        client.get("/", headers=ada)
        until = time.monotonic() + 30
        while client.get("/ready", headers=ada).json()["ready"]:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert "promote" in client.get("/ready", headers=ada).json()["because"]
        shutil.copytree(space.releases, tmp_path / "releases", dirs_exist_ok=True)
        client.app.state.worker.wake()
        assert decided(client, case, ada)["release"] == Releases(space.releases).current()


# --- what no page needs ----------------------------------------------------------------------------------------------------


def test_no_websocket_is_opened_to_anybody(client, ada):
    with pytest.raises(WebSocketDisconnect) as refused, client.websocket_connect("/review/ws", headers=ada):
        pass
    assert refused.value.code == 1008


# --- in a browser ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address(app, serve):
    return serve(app)


def type_in(page, name: str) -> None:
    """With the keyboard alone."""
    page.locator("#account:focus").wait_for()
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")


def test_a_person_signs_in_reads_and_leaves_by_keyboard_without_a_script(client, chromium, address, space):
    context = chromium.new_context(java_script_enabled=False)
    page, elsewhere = context.new_page(), []
    page.on("request", lambda request: request.url.startswith((address, "data:")) or elsewhere.append(request.url))
    page.goto(f"{address}/")
    assert page.url == f"{address}/login?next=/"
    type_in(page, "ron")
    page.wait_for_url(f"{address}/")
    assert page.locator("h1").inner_text() == "bills"
    assert page.get_by_text("decided", exact=True).count() == 1
    assert page.get_by_role("link", name="Review").count() == 0, "that is for reviewers"
    case = sha256_of(example(space, 1))
    page.goto(f"{address}/cases/{case}")
    assert "and no check failed: the agent may act" in page.locator("main").inner_text()
    page.wait_for_load_state("networkidle")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.locator("button:focus").count():
            break
    page.keyboard.press("Enter")
    page.wait_for_url(f"{address}/login")
    assert elsewhere == []
    context.close()


def test_cases_are_searched_listed_by_page_and_taken_along_as_a_table(client, ada):
    listed = client.get("/cases", headers=ada).text
    (total,) = re.findall(r"(\d+) cases", listed)
    rows = list(csv.DictReader(io.StringIO(client.get("/cases.csv", headers=ada).text)))
    assert len(rows) == int(total) == client.get("/api/v1/cases", headers=ada).json()["total"]
    some = next(row for row in rows if row["sender"])
    wanted = {"q": some["sender"].upper(), "route": some["route"], "document_class": some["class"]}
    alike = client.get("/api/v1/cases", params=wanted, headers=ada).json()["cases"]
    assert {one["id"] for one in alike} == {
        row["case"] for row in rows if all(row[name] == some[name] for name in ("sender", "route", "class"))
    }
    page = client.get("/cases", params=wanted, headers=ada).text
    assert some["case"] in page and page.count("<tr>") == 1 + len(alike)
    assert client.get("/cases", params={"q": some["case"][:10]}, headers=ada).text.count("<tr>") == 2
    assert client.get("/cases", params={"since": "2200-01-01"}, headers=ada).text.count("<tr>") == 0
    for bad in ({"route": "sideways"}, {"since": "yesterday"}):
        refused = client.get("/cases", params=bad, headers=ada)
        assert refused.status_code == 422 and "use the form" in refused.text


def test_pages_of_a_list_hold_each_case_once(client, ada, monkeypatch):
    monkeypatch.setattr(site, "LISTED", 3)
    rows = list(csv.DictReader(io.StringIO(client.get("/cases.csv", headers=ada).text)))
    listed, page = [], 1
    while True:
        text = client.get("/cases", params={"page": page}, headers=ada).text
        listed += re.findall(r'href="/cases/([0-9a-f]{64})"', text)
        if f"page={page + 1}" not in text:
            break
        page += 1
    assert listed == [row["case"] for row in rows] and page > 1


def test_a_hostile_report_reads_nothing_with_its_readers_session(client, chromium, address):
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{address}/login?next=/reports/drift/drift.html")
    type_in(page, "ron")
    page.wait_for_url("**/drift.html")
    page.get_by_text("refused").wait_for()
    context.close()


def test_a_reviewer_is_known_on_the_review_page_until_signing_out(client, chromium, address):
    context = chromium.new_context()
    page, elsewhere = context.new_page(), []
    page.on("request", lambda request: request.url.startswith((address, "data:", "blob:")) or elsewhere.append(request.url))
    page.goto(f"{address}/review/")
    type_in(page, "rita")
    page.wait_for_url("**/review/")
    page.get_by_text("you answered 0 here").wait_for()
    assert elsewhere == []
    other = context.new_page()
    other.goto(f"{address}/")
    other.get_by_role("button", name="Sign out").click()
    other.wait_for_url("**/login")
    assert context.request.get(f"{address}/review/review.js").status == 401
    page.locator("#order").select_option("doubt")
    page.wait_for_url("**/login?next=**")  # the session is over, so the page asks for the password
    context.close()


# --- by its own description ------------------------------------------------------------------------------------------------


def drawn(app, examples: int, call, *, afresh: bool = False) -> None:
    """Calls with what the description allows and with what it does not, for every operation; the same ones each time."""
    config = schemathesis.Config()
    # Who asks is the caller's to say; a parameter that nobody knows is passed over.
    config.projects.default.generation.update(with_security_parameters=False, allow_extra_parameters=False)
    schema = schemathesis.openapi.from_dict(app.openapi(), config=config)
    for operation in schema.get_all_operations():
        for mode in schemathesis.GenerationMode:
            if mode.is_negative and not [*operation.ok().iter_parameters(), *operation.ok().body]:
                continue  # nothing that could be wrong

            @given(case=operation.ok().as_strategy(generation_mode=mode))
            @settings(
                max_examples=examples,
                derandomize=not afresh,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                database=None,
            )
            def check(case):
                if isinstance(case.body, dict) and not isinstance(case.body.get("file", ""), str | bytes):
                    case.body = case.body | {"file": str(case.body["file"])}  # what is sent as a file arrives as its bytes
                call(case)

            check()


def kept_to(address: str, sign: dict[str, str]):
    def check(case) -> None:
        # A description cannot say which bytes are a document, nor how large a whole body may be.
        response = case.call(base_url=address, headers=sign)
        beyond = [positive_data_acceptance] if case.path in DOCUMENTS or response.status_code == 413 else []
        case.validate_response(response, excluded_checks=beyond, headers=sign)

    return check


def test_the_server_keeps_to_its_description(app, client, address, tokens):
    drawn(app, 6, kept_to(address, tokens["ada"]))


def test_without_a_session_nothing_described_is_answered(app, client, address):
    def refused(case) -> None:
        if case.path not in OPEN:
            assert case.call(base_url=address).status_code == 401

    drawn(app, 3, refused)


@pytest.mark.slow
def test_the_server_keeps_to_its_description_whatever_is_sent(app, client, address, tokens):
    drawn(app, 300, kept_to(address, tokens["ada"]), afresh=True)


# --- the command line --------------------------------------------------------------------------------------------------------


def test_a_server_into_which_nobody_could_come_is_not_started(space, tmp_path, monkeypatch):
    from proveout import serving

    for name in ("PROVEOUT_MISSION", "PROVEOUT_HOME"):
        monkeypatch.setenv(name, "")  # put back at the end: the server says where its pages are to look
    with pytest.raises(BadInput, match="there is no account; to add one: proveout user add"):
        serving.serve(replace(space, home=tmp_path), "127.0.0.1", 0)
