"""The page of one case: its verdict and values, what led to them, what happened since.

It can be run again, assigned and erased there.
Covered: cases that wait, cases without pages, use without scripts.
Not covered: answering the case. `reviewing` and the review page do that.
"""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from proveout.errors import BadInput, BadModel, Busy, NoRelease, OtherCode
from proveout.identity import Accounts
from proveout.journal.codec import canonical
from proveout.journal.log import utf8
from proveout.live import erasure, explanations
from proveout.live.lineage import Lineage
from proveout.records import Person, Role
from proveout.review.approvals import CaseView
from proveout.serving import answers
from proveout.serving.api import CaseId
from proveout.serving.case_index import CaseStatus
from proveout.serving.pages import root_of
from proveout.serving.problems import Refusal
from proveout.serving.reporting import Respond
from proveout.serving.reviewing import to_answer
from proveout.serving.worker import Worker

PAGES = 5  # shown of a document
MOST_CHARACTERS = 300  # of a value that differs


def case_pages(worker: Worker, accounts: Accounts, respond: Respond) -> APIRouter:
    """The pages under /cases/{case}."""
    pages = APIRouter(prefix="/cases/{case}")

    @pages.get("")
    def one_case(request: Request, case: CaseId) -> Response:
        return answer(request, case)

    @pages.post("/again")
    def run_again(request: Request, case: CaseId) -> Response:
        """Decides the case again with its own release, and shows the first step that differs. Records nothing."""
        if (history := worker.history(case)) is None:
            raise Refusal(409, "no decided case has this id, or it was erased, so there is nothing to run again")
        began = time.perf_counter()
        again = worker.run_again(history.decided)
        values = [again.difference.recorded, again.difference.again] if again.difference else []
        compared = [utf8(canonical(value))[:MOST_CHARACTERS] for value in values]
        because = answers.without_home(again.because, worker.space.home)
        return answer(request, case, again=again, because=because, compared=compared, seconds=time.perf_counter() - began)

    @pages.post("/assign")
    def assign(request: Request, case: CaseId, to: Annotated[str, Form(max_length=100)] = "") -> Response:
        account = next((account for account in accounts if account.name == to), None)
        summary = worker.index.find(case)
        if summary is None or not summary.asks:
            raise Refusal(409, "this case does not wait for a person, so it cannot be assigned")
        if account is None:
            raise Refusal(422, "no account has this name; choose one of the list")
        worker.assignments.assign(case, Person(account.name, account.role), request.user.person, summary.answered_with)
        return RedirectResponse(f"{root_of(request)}/cases/{case}", 303)

    @pages.post("/put_back")
    def put_back(request: Request, case: CaseId) -> Response:
        worker.assignments.put_back(case, request.user.person)
        return RedirectResponse(f"{root_of(request)}/cases/{case}", 303)

    @pages.get("/erase")
    def ask_to_erase(request: Request, case: CaseId) -> Response:
        """What erasing the case removes, what stays, and the form to do it."""
        return erasing(request, case)

    @pages.post("/erase")
    def erase(
        request: Request,
        case: CaseId,
        because: Annotated[str, Form(max_length=500)] = "",
        sure: Annotated[str, Form()] = "",
    ) -> Response:
        if not because.strip() or not sure:
            missing = "tick that you want it to be erased for ever" if because.strip() else "say why it is erased"
            return erasing(request, case, f"Not erased: {missing}.", because)
        try:
            worker.erase(case, request.user.person, because)
        except (BadInput, Busy) as error:
            raise Refusal(409, str(error)) from error
        return RedirectResponse(f"{root_of(request)}/cases/{case}", 303)

    def erasing(request: Request, case: str, message: str = "", because: str = "") -> Response:
        try:
            planned = erasure.plan(worker.space, worker.journal, case)
        except BadInput as error:
            raise Refusal(409, str(error)) from error
        summary = worker.index.find(case)
        values = {"case": summary, "plan": planned, "message": message, "because": because}
        return respond(request, "erase.html.j2", 422 if message else 200, **values)

    def answer(request: Request, case: str, **values: Any) -> Response:
        summary = worker.index.find(case)
        if summary is None:
            raise Refusal(404, "no case has this id; the list of cases has a search")
        if summary.status is CaseStatus.WAITING:
            return respond(request, "case.html.j2", case=summary, answer=None, history=[])
        if summary.status is CaseStatus.ERASED:
            history = answers.happened(worker.journal.events(case), worker.space.home)
            return respond(request, "case.html.j2", case=summary, answer=None, history=history)
        person, view = request.user.person, worker.approvals.show(case)
        holder, may_assign = summary.holder, person.role.includes(Role.OPERATOR) and summary.asks
        values |= {
            "holder": holder,
            "may_erase": person.role.includes(Role.OPERATOR),
            "may_put_back": holder and (may_assign or holder.to == person.name),
            "reviewers": [one.name for one in accounts if one.role.includes(summary.answered_with)] if may_assign else [],
        }
        return respond(request, "case.html.j2", case=summary, **{"again": None, **_parts(worker, view), **values})

    @pages.get("/explained")
    def explained(request: Request, case: CaseId, forward: bool = False) -> Response:
        """For the person concerned and for an auditor, and where the decision comes from.

        `forward`: also where it went, for which all decisions are read.
        """
        if (history := worker.history(case)) is None:
            raise Refusal(404, "no decided case has this id")
        lineage = Lineage(worker.space, worker.journal)
        try:
            back = lineage.backward(history.decided)
        except (BadModel, NoRelease, OtherCode) as error:
            because = answers.without_home(str(error), worker.space.home)
            raise Refusal(409, f"the release that decided it cannot be read: {because}") from error
        return respond(
            request,
            "explained.html.j2",
            case=history.decided.case,
            person=explanations.for_person(history.decided, history.events, back.release),
            auditor=explanations.for_auditor(history.decided, history.events, back.release),
            backward=list(back.lines()),
            forward=[answers.without_home(line, worker.space.home) for line in lineage.forward(case).lines()]
            if forward
            else [],
        )

    @pages.get("/shown")
    def framed_case(case: CaseId) -> Response:
        """A case of a kind without pages, for a frame of the review page."""
        history = worker.history(case)
        if history is None or (path := worker.file(case)) is None:
            raise Refusal(404, "no decided case has this id")
        return HTMLResponse(worker.index.kind.show(history.decided.decision, path, worker.space.cache))

    return pages


def _parts(worker: Worker, view: CaseView) -> dict[str, Any]:
    """What the page shows of a decided case."""
    answer, decision = to_answer(worker, view, None), view.decided.decision
    marks = [
        [(field.name, field.certain, field.spot.box) for field in answer.fields if field.spot and field.spot.page == number]
        for number in range(min(len(answer.pages), PAGES))
    ]
    return {
        "answer": answer,
        "decision": decision,
        "actions": answers.actions(view.decided.rulings),
        "history": answers.happened(worker.journal.events(decision.case), worker.space.home),
        "similar": [(one, worker.index.find(one.case)) for one in decision.similar],
        "marks": marks,
        "more": len(answer.pages) + answer.more_pages - PAGES,
    }
