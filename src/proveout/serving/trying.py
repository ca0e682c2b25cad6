"""The page of what-if: recorded cases with one thing changed, each of those that change linked to its page.

Covered: two people who ask at the same time (the second waits for the first to end, or is told so); use without scripts.
Not covered: prompts, tiers, policies and steps, which are files: `proveout what-if` tries those.
"""

import threading
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from proveout.errors import ProveoutError
from proveout.live.what_if import Change, Summary, what_if
from proveout.records import Role
from proveout.serving import answers
from proveout.serving.problems import Refusal
from proveout.serving.reporting import Respond
from proveout.serving.worker import Worker

NEWEST = 500  # cases that are decided again; a minute or less
LISTED = 200  # of those that change


def what_if_pages(worker: Worker, respond: Respond) -> APIRouter:
    """The page under /what_if."""
    pages, one_at_a_time = APIRouter(prefix="/what_if"), threading.Lock()

    def answer(request: Request, status: int = 200, **values: Any) -> Response:
        return respond(
            request,
            "what_if.html.j2",
            status,
            releases=[each for each in worker.releases.list() if each.parts],
            may_try=request.user.role.includes(Role.OPERATOR),
            newest=NEWEST,
            **{"wanted": {}, "message": "", "summary": None, **values},
        )

    @pages.get("")
    def form(request: Request) -> Response:
        return answer(request)

    @pages.post("")
    def tried(
        request: Request,
        precision: Annotated[str, Form(max_length=20)] = "",
        confidence: Annotated[str, Form(max_length=20)] = "",
        release: Annotated[str, Form(max_length=64)] = "",
    ) -> Response:
        wanted = {"precision": precision.strip(), "confidence": confidence.strip(), "release": release}
        if not one_at_a_time.acquire(timeout=5):
            raise Refusal(409, "somebody else asks what if at this moment; try again in a minute")
        try:
            share, sure = (float(wanted[name]) if wanted[name] else None for name in ("precision", "confidence"))
            change = Change(worker.releases.find(release) if release else "", share, sure)
            if change == Change():
                return answer(
                    request, 422, wanted=wanted, message="Nothing is changed: give a precision, a confidence or a release."
                )
            keys = [decided.case.key for decided in worker.journal.decisions()][-NEWEST:]
            compared = list(what_if(worker.space.home, set(keys), change, worker.space.cache))
        except ValueError:
            return answer(request, 422, wanted=wanted, message="Expected a share such as 0.99.")
        except ProveoutError as error:
            message = answers.without_home(str(error), worker.space.home)
            return answer(request, 422, wanted=wanted, message=f"This cannot be tried: {message}.")
        finally:
            one_at_a_time.release()
        changed = [one for one in compared if one.changes]
        return answer(
            request,
            wanted=wanted,
            summary=Summary.of(compared),
            changed=changed[:LISTED],
            more=max(0, len(changed) - LISTED),
            because=answers.without_home(next((one.because for one in compared if one.because), ""), worker.space.home),
        )

    return pages
