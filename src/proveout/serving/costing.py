"""The page of costs: what a case costs, on average and at most, by group, and what a number of cases will cost.

Covered: other prices and volumes, by a form that records nothing; use without scripts.
Not covered: what is counted and how; see `evaluation.costs`.
"""

import threading
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from proveout.evaluation.costs import GROUPS, KINDS, CaseCost, Prices, costs, dollars, forecast, grouped, mean, tail
from proveout.serving.reporting import Respond
from proveout.serving.worker import Worker

LISTED = 50  # groups
Amount = Annotated[float, Query(ge=0, le=1_000_000)]


def cost_pages(worker: Worker, respond: Respond) -> APIRouter:
    """The page under /costs."""
    pages, lock = APIRouter(prefix="/costs"), threading.Lock()
    last: dict[tuple[int, Prices, float], list[CaseCost]] = {}  # those of the last visit

    @pages.get("")
    def page(
        request: Request,
        volume: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
        minutes: Amount = 2.0,
        person: Amount = Prices.person_hour,
        machine: Amount = Prices.machine_hour,
        storage: Amount = Prices.gigabyte_year,
    ) -> Response:
        prices = Prices(person, machine, storage)
        wanted = (worker.journal.position, prices, minutes)
        with lock:
            if wanted not in last:
                last.clear()
                last[wanted] = costs(worker.journal, lambda one: worker.originals.size(one.case.sha256), prices, minutes)
            cases = last[wanted]
        groups = {by: [*grouped(cases, by)] for by in GROUPS}
        return respond(
            request,
            "costs.html.j2",
            groups={"": [("all cases", cases)], **groups} if cases else {},
            listed=LISTED,
            kinds=KINDS,
            mean=mean,
            tail=tail,
            dollars=dollars,
            assumed=sum(not one.measured for one in cases),
            hours=sum(one.minutes for one in cases) / 60,
            expected=forecast(cases, volume or len(cases)) if cases else None,
            wanted={
                "volume": volume or len(cases),
                "minutes": minutes,
                "person": person,
                "machine": machine,
                "storage": storage,
            },
        )

    return pages
