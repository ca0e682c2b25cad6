"""Who has which case: opened or assigned, for a time, by one person only, however many servers give cases away."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from proveout.errors import BadInput
from proveout.journal import APPROVAL, ASSIGNMENT, LABEL, UNDOING, Event, Journal
from proveout.journal.prose import event_line
from proveout.records import Person, Role
from proveout.review.assignments import Assignments, current

RITA, ROB = Person("rita", Role.REVIEWER), Person("rob", Role.REVIEWER)
ADA = Person("ada", Role.OPERATOR)
CASE = "c" * 64


def opened(folder: Path, minutes: float = 30) -> Assignments:
    return Assignments(Journal(folder / "journal.db"), timedelta(minutes=minutes), timedelta(hours=24))


def holder(assignments: Assignments) -> str:
    assignment = current(assignments.journal.events(CASE))
    return assignment.to if assignment else ""


def test_who_opens_a_case_first_has_it_also_after_a_restart(tmp_path):
    assert opened(tmp_path).take(CASE, RITA).to == "rita"
    again = opened(tmp_path)
    assert again.take(CASE, ROB).to == "rita"
    assert again.take(CASE, RITA).to == "rita"
    assert again.journal.position == 1, "only the first opening is an event"


def test_after_its_time_a_case_is_back_in_the_queue(tmp_path):
    late = opened(tmp_path, minutes=-1)
    late.take(CASE, RITA)
    assert holder(late) == ""
    assert opened(tmp_path).take(CASE, ROB).to == "rob"


def test_who_opens_a_case_again_near_the_end_of_its_time_keeps_it(tmp_path):
    first = opened(tmp_path, minutes=10).take(CASE, RITA)
    assert opened(tmp_path, minutes=30).take(CASE, RITA).until > first.until


@pytest.mark.parametrize(("kind", "ended"), [(LABEL, True), (APPROVAL, True), (UNDOING, False)])
def test_an_answer_ends_an_assignment(tmp_path, kind, ended):
    assignments = opened(tmp_path)
    assignments.take(CASE, RITA)
    assignments.journal.append([Event(CASE, kind, {"by": "rita"})])
    assert (holder(assignments) == "") == ended


def test_an_operator_assigns_and_puts_back_and_a_reviewer_only_puts_back_the_own_one(tmp_path):
    assignments = opened(tmp_path)
    assignments.take(CASE, RITA)
    assert assignments.assign(CASE, ROB, ADA, Role.REVIEWER).by == "ada" and holder(assignments) == "rob"
    with pytest.raises(BadInput, match="rob has this case; an operator may put it back"):
        assignments.put_back(CASE, RITA)
    assignments.put_back(CASE, ROB)
    assignments.put_back(CASE, ROB)
    assert holder(assignments) == ""
    assignments.assign(CASE, ROB, ADA, Role.REVIEWER)
    assignments.put_back(CASE, ADA)
    assert holder(assignments) == ""
    lines = [event_line(event).partition(" until")[0] for event in assignments.journal.events(CASE)]
    assert lines == [
        "opened by rita, who has it",
        "assigned to rob",
        "put back in the queue by rob",
        "assigned to rob",
        "put back in the queue by ada",
    ]


def test_a_case_that_needs_an_operator_is_assigned_to_no_reviewer(tmp_path):
    with pytest.raises(BadInput, match="this case needs the role operator; rob has the role reviewer"):
        opened(tmp_path).assign(CASE, ROB, ADA, Role.OPERATOR)


def test_of_two_servers_one_gives_a_case_away(tmp_path):
    servers, cases = [opened(tmp_path), opened(tmp_path)], [f"{number:064}" for number in range(10)]
    people = [Person(f"reviewer{number}", Role.REVIEWER) for number in range(4)]
    asked = [(servers[number % 2], case, person) for case in cases for number, person in enumerate(people)]
    with ThreadPoolExecutor(8) as threads:
        holders = list(threads.map(lambda ask: (ask[1], ask[0].take(ask[1], ask[2]).to), asked))
    assert len(set(holders)) == len(cases), "everybody hears of the same person"
    assert len(list(servers[0].journal.of_kind(ASSIGNMENT))) == len(cases)
