"""Recorded cases with one thing changed: what would have gone another way, checked against plain counts."""

import csv
import hashlib
import html
import json
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from argon2 import PasswordHasher
from fastapi.testclient import TestClient

from program import PROVEOUT
from proveout.cli.what_if import with_words
from proveout.errors import BadInput, BadMission
from proveout.identity import Accounts, Role
from proveout.journal import Journal
from proveout.live import Live
from proveout.live.what_if import Change, Compared, Summary, what_if
from proveout.models import Extractor
from proveout.records import Route
from proveout.release import Releases
from proveout.serving import application
from proveout.serving.guards import Limits
from proveout.workspace import Workspace

ROOT = Path(__file__).parent.parent
LOOSE = 0.7  # the small demo has too few labels to automate anything at the promise of its mission
NOBODY = "forbid (principal, action, resource);\n"


@pytest.fixture(scope="module")
def decided(once, demo_once, tmp_path_factory):
    """A home of the small demo, and its decisions."""
    home = shutil.copytree(demo_once / "home", tmp_path_factory.mktemp("what-if") / "home")
    with Journal(home / "journal.db") as journal:
        return home, list(journal.decisions()), journal.answers()


def changed(decided, change: Change) -> list[Compared]:
    home, decisions, _ = decided
    return list(what_if(home, {one.case.key for one in decisions}, change, ROOT / "work" / "cache"))


def release_of(decided):
    home, decisions, _ = decided
    return Releases(home / "releases").open(decisions[0].decision.release)


def test_what_is_not_changed_stays_to_the_bit(decided, tmp_path):
    release = release_of(decided)
    for change in (Change(release=release.id), Change(policy=release.path("policy"))):
        compared = changed(decided, change)
        assert [one.decided.case.key for one in compared] == [one.case.key for one in decided[1]]
        assert all(one.after and one.after.decision == one.decided.decision for one in compared)
        assert not [one.changes for one in compared if one.changes]


def test_a_looser_promise_sends_fewer_cases_to_people_and_a_stricter_one_all(decided):
    before = sum(one.decision.route is Route.ACT for one in decided[1])
    summaries = {share: Summary.of(changed(decided, Change(precision=share))) for share in (LOOSE, 0.9999)}
    assert all(summary.acts[0] == before for summary in summaries.values())
    assert summaries[0.9999].acts[1] == 0 and summaries[0.9999].cents[1] == 0
    assert summaries[LOOSE].acts[1] > before and summaries[LOOSE].cents[1] > 0


def test_thresholds_of_another_promise_decide_as_a_plain_comparison_does(decided):
    """Every automated value, and no other, has a raw confidence at or above the new threshold's."""
    release = release_of(decided)
    slo = release.mission.slo.model_copy(update={"precision": 0.8})
    calibrations = release.calibrations.promising(slo)
    compared = changed(decided, Change(precision=0.8))
    flips = [(one, name) for one in compared for name in one.after.decision.automated - one.decided.decision.automated]
    assert len(flips) >= 5
    for one, name in flips:
        output = one.after.decision.fields[name]
        assert output.text == one.decided.decision.fields[name].text
        assert output.confidence >= calibrations.floor(output.tier, name)
        assert output.confidence < (release.calibrations.floor(output.tier, name) or 2)
        assert any(line.startswith(f"{name}: ") and "(automated)" in line for line in one.changes)


def test_errors_are_counted_against_labels(decided):
    _, decisions, answers = decided
    compared = changed(decided, Change(precision=0.6))
    summary = Summary.of(compared)

    def wrong(decision) -> set[str]:
        """The values are those that people judged: a promise changes no value."""
        right = answers[decision.case].right if decision.case in answers else {}
        return {name for name in decision.automated if right.get(name) is False}

    assert summary.labelled == len(answers.keys() & {one.case.key for one in decisions}) > 0
    assert summary.wrong[0] == sum(len(wrong(one.decision)) for one in decisions)
    assert summary.wrong[1] == sum(len(wrong(one.after.decision)) for one in compared)
    assert summary.wrong[1] - summary.wrong[0] == summary.gained - summary.lost


def test_a_policy_changes_actions_and_money_but_no_decision(decided, tmp_path):
    (tmp_path / "nobody.cedar").write_text(NOBODY)
    allowed, denied = (changed(decided, Change(precision=LOOSE, policy=file)) for file in (None, tmp_path / "nobody.cedar"))
    assert [one.after.decision for one in allowed] == [one.after.decision for one in denied]
    assert not any(one.after.effects for one in denied) and Summary.of(denied).cents == [0, 0]
    acting = [one for one in allowed if one.after.effects]
    assert acting and all("actions: none → " in "; ".join(one.changes) for one in acting)
    spent = sum(ruling.cents for one in acting for ruling in one.after.rulings if ruling.verdict.allowed)
    assert Summary.of(allowed).cents[1] == spent > 0
    judged_again = changed(decided, Change(policy=tmp_path / "nobody.cedar"))
    assert all(one.after.decision is one.decided.decision for one in judged_again)


def test_only_cases_with_allowed_actions_need_no_person(decided, tmp_path):
    (tmp_path / "people.cedar").write_text(
        release_of(decided).path("policy").read_text() + "forbid (principal is Release, action, resource);\n"
    )
    summary = Summary.of(changed(decided, Change(precision=LOOSE, policy=tmp_path / "people.cedar")))
    assert summary.acts[1] == summary.cents[1] == 0


def test_cases_that_are_not_chosen_spend_what_they_spent(decided):
    home = decided[0]
    after = next(one.after for one in changed(decided, Change(precision=LOOSE)) if one.after.cents)
    with Journal(home / "journal.db") as journal:
        control = release_of(decided).control(home, journal, lambda case: home, "a run")
    control.calibrations = Change(precision=LOOSE).calibrations(release_of(decided))
    most = control.mission.budget.amount_per_run * 100
    ruling = next(one for one in after.rulings if one.verdict.allowed)
    control.count([replace(ruling, action=replace(ruling.action, key="another"), cents=most)])
    (rulings,) = control.judge([after.decision])
    denied = [one.verdict.because for one in rulings if not one.verdict.allowed]
    assert denied and all("$0.00 left of this run's budget" in because for because in denied)


def test_a_file_that_was_changed_is_not_decided(decided, tmp_path):
    home = shutil.copytree(decided[0], tmp_path / "home")
    changed_one = next(one for one in decided[1] if one.decision.route is Route.REVIEW)
    (file,) = (home / "originals").rglob(f"*{changed_one.case.sha256}*")
    file.write_bytes(file.read_bytes() + b" ")
    (one,) = what_if(home, {changed_one.case.key}, Change(precision=LOOSE))
    assert one.after is None and "is another by now" in one.because


def test_nothing_is_recorded_and_nothing_happens(decided):
    home = decided[0]

    def state() -> dict[str, bytes]:
        return {str(file): file.read_bytes() for file in home.rglob("*") if file.is_file() and ".db" not in file.name}

    with Journal(home / "journal.db") as journal:
        before, position = state(), journal.position
        changed(decided, Change(precision=0.7))
        assert state() == before and journal.position == position


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (Change(precision=1.2), r"a precision of 1\.2 cannot be promised; expected a share between 0\.5 and 1"),
        (Change(confidence=0.3), r"a confidence of 0\.3 cannot be promised"),
        (Change(policy=Path("/nowhere/policy.cedar")), "cannot be read"),
    ],
)
def test_what_cannot_be_changed_so_is_said(decided, change, message):
    with pytest.raises(BadInput, match=message):
        changed(decided, change)


def test_a_file_that_is_not_kept_is_named_and_the_others_go_on(decided, tmp_path):
    home = shutil.copytree(decided[0], tmp_path / "home")
    gone = next(one for one in decided[1] if one.decision.route is Route.REVIEW)
    for file in (home / "originals").rglob(f"*{gone.case.sha256}*"):
        file.unlink()
    compared = list(what_if(home, {one.case.key for one in decided[1]}, Change(precision=0.7), ROOT / "work" / "cache"))
    assert [(one.decided.case.key, one.because) for one in compared if one.after is None] == [
        (gone.case.key, "its file is not kept, or is another by now")
    ]
    assert Summary.of(compared).not_decided == 1


def test_the_command_prints_the_summary_and_writes_every_change(decided, tmp_path):
    home = decided[0]

    def proveout(*words: object) -> subprocess.CompletedProcess[str]:
        command = [*PROVEOUT, "what-if", *map(str, words), "--home", str(home)]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)

    run = proveout("--all", "--precision", 0.7, "--csv", tmp_path / "changes.csv")
    assert run.returncode == 0, run.stderr
    assert "no person needed" in run.stdout and "nothing was recorded, nothing happened" in run.stdout
    rows = list(csv.DictReader((tmp_path / "changes.csv").open(encoding="utf-8")))
    assert len(rows) == Summary.of(changed(decided, Change(precision=0.7))).changed > 0
    assert all("→" in row["changes"] for row in rows)
    assert "nothing is changed" in proveout("--all").stderr
    assert "name a case" in proveout("--precision", 0.7).stderr
    assert "no decided case" in proveout("zzz", "--precision", 0.7).stderr
    assert "no release" in proveout("--all", "--release", "zzz").stderr


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("promt=x", "did you mean `prompt`"),
        ("precision", "expected a name, =, and a value"),
        ("precision=high", "expected a number"),
        ("prompt=/nowhere", "no such file or folder"),
    ],
)
def test_a_word_that_changes_nothing_is_refused(word, message):
    with pytest.raises(BadInput, match=message):
        with_words(Change(), [word])


def test_other_prompts_are_refused_where_no_tier_reads_them(decided):
    words = [f"prompt={release_of(decided).path('prompts')}", "tier=e_invoice"]
    with pytest.raises(BadInput, match=r"no tier of e_invoice reads prompts; add one that does"):
        changed(decided, with_words(Change(), words))


def test_other_phrases_are_what_a_ranker_looks_for(decided, tmp_path):
    release = release_of(decided)
    same = changed(decided, with_words(Change(), [f"prompt={release.path('prompts')}"]))
    assert all(one.after.decision == one.decided.decision for one in same), "its own prompts change nothing"
    drafts = _without_phrases(release, tmp_path / "prompts")
    compared = changed(decided, with_words(Change(), [f"prompt={drafts}"]))
    _agrees_with_a_stored_model(decided, drafts, tmp_path, compared)


def test_other_prompts_reach_a_language_model(decided, tmp_path):
    from proveout.models.scripted_endpoint import ScriptedEndpoint

    drafts = shutil.copytree(release_of(decided).path("prompts"), tmp_path / "prompts", copy_function=shutil.copyfile)
    with ScriptedEndpoint(rules=lambda text: json.dumps({"document_class": "other", "fields": {}})) as endpoint:
        (drafts / "model.yaml").write_text(f"endpoint: {endpoint.url}\nmodel: scripted\n")
        words = [f"prompt={drafts}", "tier=ranker,language_model"]
        compared = changed(decided, with_words(Change(), words))
        assert len(endpoint.requests) >= len(compared) > 0
    assert all(one.after.decision.automated == one.decided.decision.automated for one in compared), "nothing calibrated it"


def test_a_tier_that_nothing_calibrated_is_a_witness_and_automates_nothing(decided):
    release = release_of(decided)
    with_invoice = with_words(Change(precision=LOOSE), ["tier=ranker"])
    alone = changed(decided, with_invoice)
    assert [one.after.decision for one in alone] == [one.after.decision for one in changed(decided, Change(precision=LOOSE))]
    with pytest.raises(BadMission, match="unknown tier `rankr`; did you mean `ranker`"):
        changed(decided, with_words(Change(), ["tier=rankr"]))
    assert release.mission.tiers[-1] == "person"


def test_edited_steps_are_tried_on_a_month(decided, tmp_path):
    notebook = tmp_path / "decide.py"
    text = (ROOT / "notebooks" / "invoices" / "decide.py").read_text()
    assert all(not one.changes for one in changed(decided, with_words(Change(), [f"steps={_written(notebook, text)}"])))
    line = "certain = mission.required <= draft.automated"
    edited = _written(notebook, text.replace(line, f"{line} or draft.document_class == 'invoice'"))
    before, after = Summary.of(()), Summary.of(changed(decided, with_words(Change(), [f"steps={edited}"])))
    assert after.changed > before.changed and after.acts[1] == 0 and after.cents[1] == 0, (
        "what is not certified is not acted on"
    )


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_the_page_links_every_case_that_changes(decided):
    home = decided[0]
    space = Workspace.find("invoices", home, ROOT)
    with Accounts(space.accounts, hasher=PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)) as accounts:
        accounts.add("ada", Role.OPERATOR, "correct horse battery")
        accounts.add("ron", Role.READER, "correct horse battery")
        headers = {name: {"Authorization": f"Bearer {accounts.new_token(name, 'tests')}"} for name in ("ada", "ron")}
        client = TestClient(application(space, accounts, Limits(per_second=1e9, burst=1e9)), raise_server_exceptions=False)
        ask = lambda **form: client.post("/what_if", data=form, headers=headers["ada"] | {"Accept": "text/html"})  # noqa: E731
        text = ask(precision=str(LOOSE)).text
        compared = changed(decided, Change(precision=LOOSE))
        assert all(f"/cases/{one.decided.case.id}" in text for one in compared if one.changes)
        assert all(html.escape(line) in text for line in Summary.of(compared).lines())
        for form, why in (
            ({}, "Nothing is changed"),
            ({"precision": "high"}, "Expected a share"),
            ({"precision": "2"}, "cannot be promised"),
        ):
            answer = ask(**form)
            assert answer.status_code == 422 and why in answer.text
        assert client.post("/what_if", data={"precision": "0.9"}, headers=headers["ron"]).status_code == 403
        assert "An operator may try" in client.get("/what_if", headers=headers["ron"]).text


MINUTE = 60.0  # seconds
PAY = "pay_invoice"


@pytest.fixture(scope="module")
def month(month_once, tmp_path_factory):
    """The home of a whole demo, its decisions and its answers."""
    home = shutil.copytree(month_once / "home", tmp_path_factory.mktemp("month") / "home")
    with Journal(home / "journal.db") as journal:
        return home, list(journal.decisions()), journal.answers()


def within_a_minute(month, tmp_path, *words: object) -> dict[str, dict[str, str]]:
    """What the command prints of a whole month, by case: the rows of its table of changes."""
    command = [*PROVEOUT, "what-if", "--all", *map(str, words), "--csv", tmp_path / "changes.csv", "--home", month[0]]
    began = time.perf_counter()
    run = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, cwd=ROOT)
    seconds = time.perf_counter() - began
    assert run.returncode == 0, run.stderr
    assert seconds < MINUTE, f"{seconds:.0f} s for {len(month[1])} cases"
    with (tmp_path / "changes.csv").open(encoding="utf-8") as file:
        rows = {row["case"]: row for row in csv.DictReader(file)}
    assert f"{len(month[1])} cases, {len(rows)} of them with another outcome" in run.stdout
    return rows


@pytest.mark.slow
def test_a_threshold_for_a_month_takes_less_than_a_minute_and_changes_what_lies_between(month, tmp_path):
    """Each value that changes has a recorded confidence on the other side of the new threshold, computed from the release."""
    rows = within_a_minute(month, tmp_path, "--precision", 0.95)
    old, new = release_of(month).calibrations, Change(precision=0.95).calibrations(release_of(month))
    flips = 0
    for one in month[1]:
        for name, output in one.decision.fields.items():
            before, after = (calibrations.floor(output.tier, name) for calibrations in (old, new))
            assert before is None or after <= before, "a looser promise has a lower threshold"
            is_flip = f"{name}: {output.text} (to review) → {output.text} (automated)"
            if is_flip in rows.get(one.case.id, {"changes": ""})["changes"].split("; "):
                assert after <= output.confidence and (before is None or output.confidence <= before)
                flips += 1
            elif name not in one.decision.automated:
                assert after is None or not output.calibrated or output.confidence <= after
    assert flips >= 5
    acting = [row for row in rows.values() if row["changes"].startswith("review → act")]
    assert len(acting) >= 5


@pytest.mark.slow
def test_a_policy_for_a_month_takes_less_than_a_minute_and_stops_the_payments_above_its_limit(month, tmp_path):
    """The payments that stop are those that were allowed and are larger than the new limit; nothing else changes."""
    policy = release_of(month).path("policy").read_text()
    assert policy.count("1000000") == 3
    (tmp_path / "strict.cedar").write_text(policy.replace("1000000", "500000"))
    rows = within_a_minute(month, tmp_path, "--with", f"policy={tmp_path / 'strict.cedar'}")
    paid = {
        one.case.id: ruling.cents
        for one in month[1]
        for ruling in one.rulings
        if ruling.action.name == PAY and ruling.verdict.allowed
    }
    above = {case for case, cents in paid.items() if cents > 500_000}
    assert rows.keys() == above and len(above) >= 5
    for case in above:
        assert rows[case]["changes"] == f"actions: file_document, {PAY} → file_document"
        assert float(rows[case]["dollars before"]) == paid[case] / 100 and float(rows[case]["dollars after"]) == 0


@pytest.mark.slow
def test_phrases_for_a_month_take_less_than_a_minute_and_read_as_a_model_that_was_stored_with_them(month, tmp_path):
    """What changes is what a copy of the model whose files hold the other phrases reads in those documents, one at a time."""
    drafts = _without_phrases(release_of(month), tmp_path / "prompts")
    rows = within_a_minute(month, tmp_path, "--with", f"prompt={drafts}")
    assert len(rows) >= 5
    _agrees_with_a_stored_model(month, drafts, tmp_path, changed(month, Change(prompts=drafts)))


def _without_phrases(release, folder: Path) -> Path:
    """The release's prompts with one phrase for each field, and none for wrong answers."""
    drafts = shutil.copytree(release.path("prompts"), folder, copy_function=shutil.copyfile)
    fields = yaml.safe_load((drafts / "fields.yaml").read_text())
    for prompt in fields.values():
        prompt |= {"labels": prompt["labels"][:1], "not_labels": []}
    (drafts / "fields.yaml").write_text(yaml.safe_dump(fields, sort_keys=False))
    return drafts


def _agrees_with_a_stored_model(decided, drafts: Path, folder: Path, compared: list[Compared]) -> None:
    release = release_of(decided)
    model = shutil.copytree(release.path("model"), folder / "model", copy_function=shutil.copyfile)
    stored, manifest = (json.loads((model / name).read_text()) for name in ("prompts.json", "manifest.json"))
    for name, prompt in yaml.safe_load((drafts / "fields.yaml").read_text()).items():
        stored["fields"][name] = {"labels": prompt["labels"], "not_labels": prompt["not_labels"]}
    (model / "prompts.json").write_text(json.dumps(stored, ensure_ascii=False))
    manifest["files"]["prompts.json"] = hashlib.sha256((model / "prompts.json").read_bytes()).hexdigest()
    (model / "manifest.json").write_text(json.dumps(manifest))
    corrected = Live(release, decided[0] / "inbox", decided[0], ROOT / "work" / "cache")
    changes = [one for one in compared if one.changes]
    assert len(changes) >= 5
    for one in changes[:5]:
        (content,) = corrected.kind.read([corrected.originals.path(one.decided.case.sha256)], corrected.cache)
        (extraction,) = Extractor.load(model).extract([content])
        after = one.after.decision
        assert {name: value.text for name, value in extraction.fields.items()} == {
            name: output.text for name, output in after.fields.items()
        }
