"""Reports on file: concluded, signed, and closed; in the journal, on the command line, and on the server's pages."""

import json
import shutil
from contextlib import nullcontext
from datetime import date, timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from fastapi.testclient import TestClient

from proveout import mission as missions
from proveout import monitoring
from proveout.cli.watching import verify_reports
from proveout.errors import BadInput, Changed
from proveout.identity import Accounts
from proveout.journal import APPROVAL, ERASURE, SECOND_READING, SIGNATURE, Event, Journal
from proveout.journal.prose import event_line
from proveout.monitoring import signing
from proveout.monitoring.alerts import Alerts, SigningAlerts
from proveout.monitoring.signing import Conclusion, FiledReport, Reports
from proveout.records import Person, Role
from proveout.serving import application
from proveout.serving.guards import COOKIE, Limits
from proveout.workspace import Workspace
from test_monitoring import CHANGE, World, pair

ROOT = Path(__file__).parent.parent
MISSION = ROOT / "pipelines/invoices/mission.yaml"
RITA, ROB, ADA = Person("rita", Role.REVIEWER), Person("rob", Role.REVIEWER), Person("ada", Role.OPERATOR)
PASSWORD = "correct horse battery"
KNOWN, READ = Conclusion.KNOWN_CAUSE, "I read it all."


@pytest.fixture(scope="module")
def logs():
    reference, log = pair(3, World(drift_from=CHANGE, worse_segment="east"))
    return reference, log.assign(release="f30dcc53b2b6" + 52 * "0")  # as long as a real one


@pytest.fixture(scope="module")
def written(logs, tmp_path_factory):
    """Writes the report on the first so many cases, by these rules of signing, and gives its page."""

    def write(cases: int | None = None, **rules: object) -> Path:
        folder = tmp_path_factory.mktemp("report")
        alerts, reference, log = Alerts(signing=SigningAlerts(**rules)), *logs
        findings = monitoring.compare(reference, log[:cases], missions.load(MISSION), alerts)
        monitoring.write_page(findings, folder / "report.html", folder / "report.json", {})
        return folder / "report.html"

    return write


@pytest.fixture
def journal(tmp_path):
    with Journal(tmp_path / "journal.db") as opened:
        yield opened


@pytest.fixture
def reports(tmp_path, journal) -> Reports:
    return Reports(tmp_path / "reports", journal)


def file(reports: Reports, page: Path) -> FiledReport:
    return reports.file(page, MISSION, "release", position=0)


def concluded(reports: Reports, report: FiledReport, person: Person = RITA) -> FiledReport:
    return reports.conclude(report.id, [*report.findings], KNOWN, "the new season", person)


def signed(reports: Reports, report: FiledReport, person: Person = RITA) -> FiledReport:
    filed = concluded(reports, report, person)
    return reports.sign(filed.id, person, filed.digest, READ)


def test_a_report_is_filed_once_with_its_findings(reports, written, journal):
    page = written()
    first, again = file(reports, page), file(reports, page)
    assert first == again and reports.list() == [first] and journal.position == 1
    assert first.id == signing.sha256_of(page.with_name("report.json"))
    assert "segment east" in first.findings and any(key.startswith("drift of ") for key in first.findings)
    assert first.open_findings == tuple(first.findings) and first.objectives["automation rate"]["measured"] < 1
    quiet = file(reports, written(20))
    assert (quiet.findings, quiet.settled, quiet.state(date(2030, 1, 1))) == ({}, True, "nothing to sign")


def test_a_signature_needs_a_conclusion_on_every_finding_a_reason_and_what_was_seen(reports, written, journal):
    report = file(reports, written())
    with pytest.raises(BadInput, match="findings have no conclusion yet"):
        reports.sign(report.id, RITA, report.digest, READ)
    with pytest.raises(BadInput, match="needs a note that says why"):
        reports.conclude(report.id, [*report.findings], KNOWN, "  ", RITA)
    with pytest.raises(BadInput, match="no finding `drift of nothing`"):
        reports.conclude(report.id, ["drift of nothing"], KNOWN, "why", RITA)
    with pytest.raises(BadInput, match="tick at least one"):
        reports.conclude(report.id, [], KNOWN, "why", RITA)
    seen = concluded(reports, report)
    with pytest.raises(BadInput, match="needs a reason"):
        reports.sign(report.id, RITA, seen.digest, " ")
    changed = reports.conclude(report.id, ["segment east"], Conclusion.ASSIGNED, "to ada", ROB)
    with pytest.raises(Changed, match="nothing was signed"):
        reports.sign(report.id, RITA, seen.digest, READ)
    assert str(changed.conclusions["segment east"]).startswith("assigned: to ada (rob, ")
    done = reports.sign(report.id, RITA, changed.digest, READ)
    assert done.state(date.today()) == "signed by rita" and done.signed and done.settled
    (event,) = journal.of_kind(SIGNATURE)
    assert event_line(event) == f"report {report.id[:12]} signed by rita, reviewer: {READ}"
    assert event.payload["files"] == dict(report.files) and journal.verify().whole


def test_what_is_signed_can_no_longer_change(reports, written):
    report = signed(reports, file(reports, written()))
    for change in (
        lambda: reports.conclude(report.id, ["segment east"], KNOWN, "another", ADA),
        lambda: reports.sign(report.id, ADA, report.digest, READ),
    ):
        with pytest.raises(BadInput, match="this report is signed, so nothing about it can change"):
            change()
    assert reports.find(report.id) == report


def test_a_reader_may_not_sign_nor_a_reviewer_where_an_operator_is_asked_for(reports, written):
    ron, report = Person("ron", Role.READER), file(reports, written(role="operator"))
    for person in (ron, RITA):
        with pytest.raises(BadInput, match=f"the role operator; {person.name} has the role {person.role}"):
            concluded(reports, report, person)
    assert signed(reports, report, ADA).signed


def test_four_eyes(reports, written):
    report = signed(reports, file(reports, written(signatures=2)))
    assert not report.signed and report.state(report.day) == f"1 more signature by {report.due}"
    with pytest.raises(BadInput, match="rita has signed it already; the next signature is another person's"):
        reports.sign(report.id, RITA, report.digest, READ)
    with pytest.raises(BadInput, match="rita has signed these conclusions"):
        concluded(reports, report, ROB)
    both = reports.sign(report.id, ROB, report.digest, READ)
    assert both.signed and both.state(date.today()) == "signed by rita and rob"


def answers(journal: Journal, by: str, *cases: str) -> None:
    journal.append([Event(case, APPROVAL, {"what": "approved", "by": by, "role": "reviewer"}) for case in cases])


def reads_again(journal: Journal, by: str, case: str, **agrees: bool) -> None:
    journal.append([Event(case, SECOND_READING, {"by": by, "agrees": agrees}, key=f"second {case}")])


def test_whoever_signs_first_reads_cases_again_that_another_person_answered(reports, written, journal):
    answers(journal, "rob", "a", "b", "c")
    answers(journal, "rita", "d")
    report = concluded(reports, file(reports, written()))
    first, second = report.unread("rita")
    assert {first, second} < {"a", "b", "c"} and report.unread("rob") == ("d",) and len(report.unread("ada")) == 2
    with pytest.raises(BadInput, match="read 2 more cases again first, blind"):
        reports.sign(report.id, RITA, report.digest, READ)
    reads_again(journal, "rita", first, advertiser=True, total=False)
    reads_again(journal, "ada", second, advertiser=True, total=True)
    with pytest.raises(Changed, match="the conclusions or readings changed"):
        reports.sign(report.id, RITA, report.digest, READ)
    read = reports.find(report.id)
    assert read.agreement == "2 cases read again, blind: 3 of 4 values agree with the first reader's"
    assert read.readings[first].others == ("total",)
    done = reports.sign(report.id, RITA, read.digest, READ)
    (signature,) = journal.of_kind(SIGNATURE)
    assert signature.payload["readings"] == {first: ["rita", 1, 2], second: ["ada", 2, 2]}
    reads_again(journal, "rob", "d", total=True)
    assert reports.find(report.id) == done, "what is signed stays as it is"
    assert f"{read.agreement}." in signing.followed(journal, done, [])
    later = file(reports, written(within_days=50))
    assert {*later.again} == {"a", "b", "c"} - {first, second}, "what was read again is not asked for again"
    journal.append([Event(case, ERASURE, {"by": "ada", "emptied": []}, key=case) for case in later.again])
    assert reports.find(later.id).unread("rita") == Reports(reports.filed.parent, journal).find(later.id).unread("rita") == ()


def test_the_cases_to_read_are_of_each_finding_in_turn(reports, written):
    report = file(reports, written())
    data = reports.data(report)
    cases = signing.examples(data, 3)
    assert len(cases) == 3 and next(iter(cases)) == data["worse_off"][0]["examples"][0]["case"]
    assert any(case in cases for drift in data["drifted"] for case in [example["case"] for example in drift["examples"]])
    quiet = file(reports, written(20))
    assert signing.examples(reports.data(quiet), 3) == {} and quiet.again == {}


@pytest.mark.parametrize("name", ["report.html", "report.json", "mission.yaml"])
def test_any_changed_byte_is_noticed(reports, written, name):
    report = concluded(reports, file(reports, written()))
    path = reports.filed / report.id / name
    content = path.read_bytes()
    path.write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
    assert reports.changed(report) == (f"{name} was changed after it was filed",)
    with pytest.raises(BadInput, match=f"cannot be signed: {name} was changed"):
        reports.sign(report.id, RITA, report.digest, READ)
    with pytest.raises(BadInput, match=f"cannot be concluded on: {name} was changed .*proveout monitor"):
        concluded(reports, report)
    path.unlink()
    assert reports.changed(report) == (f"{name} is missing",)
    with pytest.raises(BadInput, match=r"report\.json is missing") if name == "report.json" else nullcontext():
        reports.data(report)
    assert file(reports, written()) == report and path.read_bytes() == content and not reports.changed(report)


def test_a_report_of_another_version_is_not_called_changed_though_it_is_rendered_otherwise(space, written, monkeypatch, capsys):
    shutil.rmtree(space.reports / "filed", ignore_errors=True)
    monkeypatch.setattr(Reports, "render_again", lambda *_: ("report.html",))
    with Journal(space.home / "journal.db") as opened:
        reports = Reports(space.reports, opened)
        mine = file(reports, written(cases=7))
        monkeypatch.setattr(signing, "code_digest", lambda: "of another version")
        other = file(reports, written(cases=8))
    assert not verify_reports(space, mine.id, render=True)
    assert "report.html is another when it is rendered again" in capsys.readouterr().out
    assert verify_reports(space, other.id, render=True)
    assert "unchanged; this version of Proveout renders it otherwise than the one that wrote it" in capsys.readouterr().out


def test_an_unsigned_report_is_overdue_until_it_or_a_later_one_is_signed(reports, written):
    first, second = file(reports, written(400)), file(reports, written())
    late = first.due + timedelta(1)
    assert not reports.overdue(first.due) and reports.overdue(late) == first
    assert first.state(late) == f"overdue since {late}"
    signed(reports, second)
    assert reports.overdue(late) is None
    assert reports.find(first.id).state(late) == f"settled by report {second.id[:12]}"


def test_a_report_is_found_by_the_start_of_its_id(reports, written):
    with pytest.raises(BadInput, match="no report is on file"):
        reports.find("latest")
    report = file(reports, written())
    assert reports.find(report.id[:12]) == reports.find("latest") == report
    for wrong in ("", "zz"):
        with pytest.raises(BadInput, match="list them: proveout report list"):
            reports.find(wrong)


# --- the pages ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def space(tmp_path_factory) -> Workspace:
    return Workspace.find("invoices", tmp_path_factory.mktemp("signing") / "home", start=ROOT)


@pytest.fixture(scope="module")
def accounts(space):
    with Accounts(space.accounts, hasher=PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)) as opened:
        for person in (RITA, ROB, ADA, Person("ron", Role.READER)):
            opened.add(person.name, person.role, PASSWORD)
        yield opened


@pytest.fixture(scope="module")
def client(space, accounts):
    return TestClient(application(space, accounts, Limits(per_second=1e9, burst=1e9)), follow_redirects=False)


@pytest.fixture
def on_file(space, written) -> FiledReport:
    """A new report of the server's workspace, with nothing said of it yet."""
    shutil.rmtree(space.reports / "filed", ignore_errors=True)
    with Journal(space.home / "journal.db") as opened:
        reports = Reports(space.reports, opened)
        return file(reports, written(within_days=30 + len(reports.list())))  # each with rules of its own, so another


def session(client: TestClient, name: str) -> dict[str, str]:
    came_in = client.post("/login", data={"name": name, "password": PASSWORD, "next": "/"})
    client.cookies.clear()
    return {"Cookie": f"{COOKIE}={came_in.cookies[COOKIE]}"}


def test_a_person_concludes_and_signs_on_the_page(client, space, on_file):
    rita, address = session(client, "rita"), f"/reports/{on_file.id}"
    page = client.get(address, headers=rita).text
    assert all(sentence.replace("<", "&lt;") in page for sentence in on_file.findings.values())
    assert "findings have no conclusion yet" in page and f"to sign by {on_file.due}" in page
    form = {"finding": [*on_file.findings], "what": "known cause", "note": "the campaign ended"}
    assert client.post(f"{address}/conclude", data=form, headers=rita).status_code == 303
    page = client.get(address, headers=rita).text
    assert page.count("known cause: the campaign ended (rita, ") == len(on_file.findings)
    digest = page.partition('name="digest" value="')[2].partition('"')[0]
    assert client.post(f"{address}/sign", data={"digest": digest, "because": READ}, headers=rita).status_code == 303
    page = client.get(address, headers=rita).text
    assert "signed by rita" in page and READ in page and "Signed: neither the report" in page
    assert "signed by rita" in client.get("/reports", headers=rita).text
    assert "signed by rita" in client.get("/", headers=rita).text
    assert client.get("/reports/latest", headers=rita).headers["location"] == address


def test_the_page_gives_the_cases_to_read_and_those_to_read_again_blind(client, space, written):
    with Journal(space.home / "journal.db") as opened:
        answers(opened, "rita", "e" * 64)
        reports = Reports(space.reports, opened)
        report = concluded(reports, file(reports, written(within_days=20)))
        cases = signing.examples(reports.data(report), 3)
    ada, address = session(client, "ada"), f"/reports/{report.id}"
    page = client.get(address, headers=ada).text
    assert all(f'/cases/{case}">case {case[:12]}</a>: ' in page for case in cases)
    assert f'/review/?case={"e" * 64}">Read case eeeeeeeeeeee again</a>, blind: you do not see the first answer' in page
    assert "read 1 more case again</a>, blind" in page and 'name="because"' not in page
    refused = client.post(f"{address}/sign", data={"digest": report.digest, "because": READ}, headers=ada)
    assert refused.status_code == 422 and "Not signed: read 1 more case again first, blind: eeeeeeeeeeee" in refused.text
    assert 'name="because"' in client.get(address, headers=session(client, "rita")).text, "her own answers she cannot judge"
    with Journal(space.home / "journal.db") as opened:
        reads_again(opened, "ada", "e" * 64, total=False)
    page = client.get(address, headers=ada).text
    assert "read again by ada: another total" in page and "0 of 1 values agree" in page and 'name="because"' in page


def test_a_refused_form_says_why_and_keeps_what_was_typed(client, on_file):
    rita, address = session(client, "rita"), f"/reports/{on_file.id}"
    refused = client.post(f"{address}/conclude", data={"what": "assigned", "note": "to ada <b>"}, headers=rita)
    assert (
        refused.status_code == 422 and "no finding is ticked" in refused.text and "to ada &lt;b&gt;</textarea>" in refused.text
    )
    refused = client.post(f"{address}/sign", data={"digest": "old", "because": "I agree"}, headers=rita)
    assert refused.status_code == 422 and "Not signed: the conclusions or readings changed" in refused.text
    unknown = client.post(f"{address}/conclude", data={"what": "nonsense", "finding": ["segment east"]}, headers=rita)
    assert unknown.status_code == 422 and "Nothing was recorded: choose a conclusion from the list." in unknown.text


def test_a_reader_reads_and_other_sites_cannot_sign(client, on_file):
    ron, rita, address = session(client, "ron"), session(client, "rita"), f"/reports/{on_file.id}"
    page = client.get(address, headers=ron).text
    assert "A report is signed by a person with the role reviewer" in page and "<textarea" not in page
    for act in ("conclude", "sign"):
        assert client.post(f"{address}/{act}", data={}, headers=ron).status_code == 403
        assert client.post(f"{address}/{act}", data={}, headers=rita | {"Origin": "https://evil.example"}).status_code == 403
        assert client.post(f"{address}/{act}", data={}).status_code == 401
    assert client.get(f"/reports/{'0' * 64}", headers=ron).status_code == 404


def test_a_conclusion_stops_effects_for_an_operator_alone_and_only_if_it_is_recorded(client, space, on_file):
    address = f"/reports/{on_file.id}/conclude"
    stop = {"finding": ["segment east"], "what": "effects stopped", "note": "east is paid wrongly"}
    stopped = space.home / "STOP"
    refused = client.post(address, data=stop, headers=session(client, "rita"))
    assert refused.status_code == 422 and "needs the role operator" in refused.text and not stopped.exists()
    ada = session(client, "ada")
    assert client.post(address, data=stop | {"note": ""}, headers=ada).status_code == 422 and not stopped.exists()
    assert client.post(address, data=stop, headers=ada).status_code == 303
    assert json.loads(stopped.read_text())["because"] == "east is paid wrongly"
    stopped.unlink()
    back = client.post(address, data=stop | {"what": "release rolled back"}, headers=ada)
    assert back.status_code == 422 and "there is nothing to roll back to" in back.text


def test_a_changed_report_is_not_relied_on(client, space, on_file):
    path = space.reports / "filed" / on_file.id / "report.html"
    path.write_text(path.read_text().replace("since", "<b>Since</b>", 1)[:9_000])
    page = client.get(f"/reports/{on_file.id}", headers=session(client, "ron")).text
    assert "It is not shown, as it is not what was filed." in page and "<b>Since" not in page
    assert "Do not rely on this report: report.html was changed after it was filed." in page
    rita, form = (
        session(client, "rita"),
        {"finding": [*on_file.findings], "what": "threshold tightened", "note": "so", "confidence": "99"},
    )
    page = client.get(f"/reports/{on_file.id}", headers=rita).text
    assert "<textarea" not in page and "once its files are as they were filed" in page
    refused = client.post(f"/reports/{on_file.id}/conclude", data=form, headers=session(client, "ada"))
    assert refused.status_code == 422 and "Nothing was recorded: report.html was changed after it was filed" in refused.text


def test_the_page_names_what_is_new_what_ended_and_what_was_concluded_before(client, space, written):
    with Journal(space.home / "journal.db") as opened:
        reports = Reports(space.reports, opened)
        before = concluded(reports, file(reports, written(400)))
        now = file(reports, written(within_days=99))
    page = client.get(f"/reports/{now.id}", headers=session(client, "ron")).text
    new, gone = (
        [key for key in now.findings if key not in before.findings],
        [k for k in before.findings if k not in now.findings],
    )
    assert page.count("last time: known cause: the new season (rita, ") == len(now.findings) - len(new)
    assert page.count("new since the report of") == len(new) and ("No longer found" in page) == bool(gone)
    other = client.get(f"/reports/{now.id}?against={now.id}", headers=session(client, "ron")).text
    assert "new since the report of" not in other


def test_in_a_browser_it_is_read_and_signed_by_keyboard_and_printed_whole(
    client, space, accounts, on_file, serve, chromium, tmp_path
):
    """At three widths nothing overflows, in light and dark no rule of accessibility is broken, and the PDF has every column."""
    import pypdfium2
    from axe_playwright_python.sync_playwright import Axe

    address = serve(application(space, accounts, Limits(per_second=1e9, burst=1e9)))
    for width, scheme in ((1440, "light"), (768, "dark"), (390, "light")):
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True)
        page = context.new_page()
        page.goto(f"{address}/login?next=/reports/{on_file.id}")
        page.fill("[name=name]", "rita")
        page.fill("[name=password]", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{address}/reports/{on_file.id}")
        for path in (f"/reports/{on_file.id}", "/reports"):
            page.goto(f"{address}{path}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            violations = Axe().run(page).response["violations"]
            assert {one["id"]: one["nodes"][0]["html"] for one in violations if one["impact"] in ("serious", "critical")} == {}
        if width == 1440:
            page.goto(f"{address}/reports/{on_file.id}")
            page.pdf(path=tmp_path / "report.pdf", prefer_css_page_size=True)
            page.locator("[name=finding]").first.focus()
            for _ in on_file.findings:
                page.keyboard.press("Space")
                page.keyboard.press("Tab")
            page.keyboard.type("seasonal")
            page.keyboard.press("Tab")
            page.keyboard.type("as every spring")
            page.keyboard.press("Tab")
            page.keyboard.press("Enter")
            page.wait_for_selector("text=seasonal: as every spring")
            page.locator("[name=because]").focus()
            page.keyboard.type(READ)
            page.keyboard.press("Tab")
            page.keyboard.press("Enter")
            page.wait_for_selector("text=signed by rita")
        context.close()
    with pypdfium2.PdfDocument(tmp_path / "report.pdf") as pdf:
        text = " ".join(" ".join(page.get_textpage().get_text_bounded() for page in pdf).split())
    assert [column for column in ("burn rate", "in the reference", "p-value", "largest change") if column not in text] == []
