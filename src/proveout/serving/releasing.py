"""The pages of releases: all of them, two side by side, and the buttons that promote and roll back.

Covered: use without scripts; a release that is worse is promoted only by a person who ticks that.
Not covered: building a release. The build pipeline does that, on a machine with the data.
"""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from proveout.errors import BadInput, BadModel, NoRelease, OtherCode
from proveout.evaluation.comparison import compare, faults, flips, require_mission, text_changes
from proveout.live.trial import promote as promoted
from proveout.live.trial import refusal, roll_back, trials
from proveout.records import Role
from proveout.release import Release
from proveout.serving.pages import root_of
from proveout.serving.problems import Refusal
from proveout.serving.reporting import Respond
from proveout.serving.worker import Worker

FLIPS = 200  # of the calibration cases, on a page


def release_pages(worker: Worker, respond: Respond) -> APIRouter:
    """The pages under /releases."""
    pages = APIRouter(prefix="/releases")

    def opened(release: str) -> Release:
        try:
            return worker.releases.open(release)
        except NoRelease as error:
            raise Refusal(404, "no release has this id; see the list of releases") from error
        except (BadModel, OtherCode) as error:
            raise Refusal(409, str(error)) from error

    @pages.get("")
    def listed(request: Request) -> Response:
        return respond(
            request,
            "releases.html.j2",
            releases=[each for each in worker.releases.list() if each.mission in ("", worker.space.mission.mission)],
            history=[*worker.releases.history()][::-1],
            may_promote=request.user.role.includes(Role.OPERATOR),
        )

    @pages.post("/rollback")
    def rollback(request: Request, because: Annotated[str, Form()] = "") -> Response:
        if not because.strip():
            raise Refusal(422, "say why the release has to go back; the history keeps it")
        roll_back(worker.releases, worker.journal, request.user.name, because.strip())
        worker.wake()
        return RedirectResponse(f"{root_of(request)}/releases", 303)

    @pages.get("/{release}")
    def one(request: Request, release: str, against: str = "") -> Response:
        return answer(request, release, against)

    def answer(request: Request, release: str, against: str = "", message: str = "", because: str = "") -> Response:
        candidate = opened(release)
        releases = worker.releases.list()
        others = [each for each in releases if each.id != candidate.id and each.parts]
        promoted = next((each for each in others if each.promoted), None)
        default = promoted or next(iter(others), None)
        chosen = next((each for each in others if against and each.id.startswith(against)), default)
        before = opened(chosen.id) if chosen else None
        changed = flips(before, candidate) if before else []
        return respond(
            request,
            "release.html.j2",
            422 if message else 200,
            release=next(each for each in releases if each.id == candidate.id),
            other=chosen,
            others=others,
            changes=compare(before, candidate) if before else None,
            trials=[*trials(worker.journal, candidate.id)],
            not_offered=refusal(worker.journal, candidate.id, promoted.id) if promoted else "",
            texts=text_changes(before, candidate) if before else {},
            flips=changed[:FLIPS],
            more=max(0, len(changed) - FLIPS),
            differences=candidate.differences(),
            faults=faults(candidate),
            history=[each for each in worker.releases.history() if each["release"] == candidate.id],
            may_promote=request.user.role.includes(Role.OPERATOR),
            message=message,
            because=because,
        )

    @pages.post("/{release}/trial")
    def trial(request: Request, release: str) -> Response:
        candidate = opened(release)
        try:
            worker.try_release(candidate.id, request.user.name)
        except (BadInput, OtherCode) as error:
            return answer(request, candidate.id, message=f"Not tried: {error}.")
        return RedirectResponse(f"{root_of(request)}/releases/{candidate.id}#trial", 303)

    @pages.post("/{release}/promote")
    def promote(
        request: Request,
        release: str,
        because: Annotated[str, Form()] = "",
        worse: Annotated[str, Form()] = "",
    ) -> Response:
        candidate = opened(release)
        try:
            _may_replace(worker, candidate, bool(worse), because.strip())
        except BadInput as error:
            return answer(request, candidate.id, message=f"Not promoted: {error}.", because=because)
        promoted(worker.releases, worker.journal, candidate.id, request.user.name, because.strip())
        worker.wake()
        return RedirectResponse(f"{root_of(request)}/releases", 303)

    return pages


def _may_replace(worker: Worker, candidate: Release, although_worse: bool, because: str) -> None:
    """Raises BadInput for a release of another mission, without a reason, and for a worse one unless that is accepted.

    One whose evaluation names a fault is worse.
    """
    require_mission(candidate, worker.space.mission.mission)
    if not because:
        raise BadInput("say why it should decide from now on; the history keeps it")
    if not although_worse and (wrong := faults(candidate)):
        raise BadInput(f"it {wrong[0]}{f', and {len(wrong) - 1} more' if wrong[1:] else ''}; tick that you accept this")
    try:
        changes = compare(worker.releases.promoted(), candidate)
        reason = refusal(worker.journal, candidate.id, worker.releases.current())
    except (NoRelease, BadModel):
        return  # nothing to be worse than
    if reason and not although_worse:
        raise BadInput(f"{reason}; try it below, or tick that you accept this")
    if not although_worse and (losses := [change for change in changes or () if change.is_loss]):
        raise BadInput(f"it is worse in {len(losses)} of its measures; tick that you accept this")
