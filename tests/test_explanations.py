"""Why a case was decided so, for three readers, and where a decision comes from and a document went."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from proveout.agent.steps import Steps
from proveout.cli import explaining
from proveout.documents import Originals, sha256_of
from proveout.errors import BadInput
from proveout.journal import Journal
from proveout.live import explanations
from proveout.live.lineage import Lineage
from proveout.live.what_if import Change, what_if
from proveout.records import Check, Decided, Route
from proveout.release import Release, Releases
from proveout.workspace import Workspace

ROOT = Path(__file__).parent.parent
LOOSE = 0.7  # the small demo has too few labels to automate anything at the promise of its mission


@pytest.fixture(scope="module")
def space(small_home) -> Workspace:
    return Workspace.find("invoices", small_home, ROOT)


@pytest.fixture(scope="module")
def decided(space) -> list[Decided]:
    with Journal(space.home / "journal.db") as journal:
        return list(journal.decisions())


def loose(space, decided) -> tuple[Release, list[Decided]]:
    """A release that promises less, and what it would have decided."""
    release = Releases(space.releases).open(decided[0].decision.release)
    change = Change(precision=LOOSE)
    release.__dict__["calibrations"] = change.calibrations(release)
    compared = what_if(space.home, {one.case.key for one in decided}, change)
    return release, [replace(one.decided, decision=one.after.decision) for one in compared if one.after]


def test_a_person_reads_two_sentences_and_what_would_have_changed_the_outcome(space, decided):
    release, again = loose(space, decided)
    assert {one.decision.route for one in again} == {Route.ACT, Route.REVIEW}
    for one in again:
        first, second = explanations.for_person(one, [], release)
        assert first.endswith(".") and second.endswith(".") and "_" not in first + second
        if one.decision.route is Route.ACT:
            assert "by itself" in first and "A person would have decided it if the" in second and "less than" in second
        else:
            failed = [check.name for check in one.decision.checks if check.passed is False]
            open_fields = [name for name in release.mission.required if name not in one.decision.automated]
            named = [name.replace("_", " ") for name in (*failed, *open_fields)]
            assert "passed it to a person" in first and named
            if one.decision.document_class == "other":
                assert "one decides all documents like it" in first and "the rules say who decides" in second
            else:
                assert all(name in second for name in named) or "only if all of" in second


def test_a_change_is_named_only_if_it_turns_the_route(space, decided, monkeypatch):
    release, again = loose(space, decided)
    one = next(each for each in again if each.decision.route is Route.REVIEW)
    monkeypatch.setattr(explanations, "Steps", _Stubborn)
    assert "Nothing in how it was read would have changed that" in explanations.for_person(one, [], release)[1]


class _Stubborn(Steps):
    @classmethod
    def load(cls, file):
        return Steps(route=lambda draft, mission: Route.REVIEW)


def test_of_several_obstacles_the_least_that_turns_it_is_named(space, decided):
    release, again = loose(space, decided)
    one = next(each for each in again if each.decision.route is Route.ACT)
    failed = (*one.decision.checks, Check("adds up", False, "5 and 6 do not make 12"))
    blocked = replace(one, decision=replace(one.decision, route=Route.REVIEW, checks=failed))
    second = explanations.for_person(blocked, [], release)[1]
    assert second == ("It would have been decided without a person if the check “adds up” had passed (5 and 6 do not make 12).")


def test_a_file_that_cannot_be_read_is_explained_too(space, decided):
    release = Releases(space.releases).open(decided[0].decision.release)
    refused = replace(decided[0].decision, route=Route.REFUSE, fields={}, because=("Refused: it is encrypted.", ""))
    sentences = explanations.for_person(replace(decided[0], decision=refused), [], release)
    assert sentences[0] == "The file could not be read: it is encrypted."


def test_an_auditor_gets_hashes_that_can_be_computed_again(space, decided):
    one = decided[0]
    release = Releases(space.releases).open(one.decision.release)
    with Journal(space.home / "journal.db") as journal:
        events = list(journal.events(one.case.id))
        text = "\n".join(explanations.for_auditor(one, events, release))
        for _, proof in journal.lines(one.case.id, journal.position):
            assert hashlib.sha256(proof["line"].encode()).hexdigest() in text
    assert f"file {sha256_of(Originals(space.originals).path(one.case.sha256))}" in text
    assert all(id in text for id in release.manifest["content"]["parts"].values())
    other = replace(one, decision=replace(one.decision, route=Route.REFUSE))
    lines = explanations.for_auditor(other, events, release)
    assert [line.split()[0] for line in lines if line not in text.splitlines()] == ["route"], "one step has another hash"


def test_a_reviewer_gets_every_value_with_its_place_and_the_confidence_it_needed(space, decided):
    release, again = loose(space, decided)
    one = next(each for each in again if each.decision.fields)
    text = "\n".join(explanations.for_reviewer(one, release))
    assert all(repr(value.text) in text and f"page {value.place.page + 1}" in text for value in one.decision.fields.values())
    assert all(check.because in text for check in one.decision.checks) and "needed" in text


def test_a_training_document_leads_to_the_releases_and_decisions_that_used_it(space, decided):
    with Journal(space.home / "journal.db") as journal:
        lineage = Lineage(space, journal)
        back = lineage.backward(decided[-1])
        assert back.learned and back.calibrated and not back.learned & back.calibrated
        case = next(similar.case for one in decided for similar in one.decision.similar if similar.case in back.learned)
        forward = lineage.forward(case)
        assert [use.release for use in forward.uses] == [decided[0].decision.release] and forward.uses[0].learned
        assert forward.uses[0].decisions == len(decided) and not forward.uses[0].calibrated
        expected = [one.case.id for one in decided if case in {similar.case for similar in one.decision.similar}]
        assert [one.case.id for one in forward.recalled] == expected and expected
        held_out = lineage.forward(min(back.calibrated))
        assert held_out.uses[0].calibrated and not held_out.uses[0].learned and not held_out.recalled
        answered = next(iter(journal.answers()))
        assert lineage.forward(answered).answered and lineage.forward("0" * 64).uses == []


def test_the_commands_print_it_and_refuse_what_they_do_not_know(space, decided, capsys, tmp_path):
    case = decided[0].case.id
    explaining.explain(space, case[:16], "person")
    assert len(capsys.readouterr().out.splitlines()) == 2
    field = next(iter(decided[0].decision.fields))
    explaining.lineage(space, case, field)
    printed = capsys.readouterr().out
    assert f"{field} {decided[0].decision.fields[field].text!r}" in printed and printed.count("read by") == 1
    copy = next(iter((space.home / "synthetic" / "pdf").iterdir()))
    explaining.lineage(space, str(copy), "")
    assert f"document {sha256_of(copy)}" in capsys.readouterr().out
    for call, why in (
        (lambda: explaining.explain(space, case, "king"), "expected one of person, reviewer, auditor"),
        (lambda: explaining.explain(space, "zz", "person"), "no decided cases"),
        (lambda: explaining.lineage(space, "zz", ""), "0 documents and cases start with it"),
        (lambda: explaining.lineage(space, case, "colour"), "has no field 'colour'; it has"),
    ):
        with pytest.raises(BadInput, match=why):
            call()
