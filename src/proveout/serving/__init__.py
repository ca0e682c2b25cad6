"""The server: programs hand in documents and ask for decisions, people read reports and answer. Doors: `application`, `serve`.

The release that decides here is the one that decides in the pipeline and in the notebook, by the same code.
Covered: who may do what (`guards`), documents that come in whole (`intake`), deciding in the background (`worker`), the API
with its OpenAPI document (`api`), pages without a script of our own (`pages`), the reviewers' notebook behind the same door.
Not covered: TLS certificates of public names, and several machines; a proxy in front does both.
"""

import errno
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware

from proveout.errors import BadInput, Busy, Changed, NoRelease, OtherCode, ProveoutError, UnreadableDocument
from proveout.identity import Accounts
from proveout.serving.api import describe, routers
from proveout.serving.guards import AuthBackend, Guard, Limits, Sealed
from proveout.serving.problems import InvalidPart, answer, problem
from proveout.serving.site import add_pages
from proveout.serving.worker import Worker
from proveout.workspace import Workspace

LOG = logging.getLogger("proveout.serving")


def application(space: Workspace, accounts: Accounts, limits: Limits | None = None) -> FastAPI:
    """The whole server of one workspace, as an ASGI application."""
    limits = limits or Limits(document=space.mission.largest_document)
    worker, signs = Worker(space), AuthBackend(accounts)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        worker.open()
        yield
        if sessions := getattr(app.state, "sessions", None):
            await sessions.shutdown()  # their threads would keep the process from ending
        worker.close()

    app = FastAPI(
        title=f"Proveout: {space.mission.mission}",
        version=version("proveout"),
        description=space.mission.purpose,
        lifespan=life,
        docs_url=None,  # they load from a CDN
        redoc_url=None,
        redirect_slashes=False,
        middleware=[
            Middleware(Sealed),
            Middleware(AuthenticationMiddleware, backend=signs),
            Middleware(Guard, signs=signs, limits=limits),
        ],
    )
    app.state.worker, app.state.accounts = worker, accounts
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    _explain_errors(app)
    for router in routers(worker):
        app.include_router(router)
    add_pages(app, worker, accounts)
    return app


def serve(
    space: Workspace,
    host: str,
    port: int,
    *,
    root_path: str = "",
    proxy: str = "",
    tls: tuple[Path | None, Path | None] = (None, None),
    started: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve until a signal ends it. `tls`: key and certificate. `started` is called with the address, once there is an answer.

    Raises BadInput where nobody could sign in.
    """
    import uvicorn

    os.environ |= {"PROVEOUT_MISSION": space.name, "PROVEOUT_HOME": str(space.home)}  # for the reviewers' notebook
    with Accounts(space.accounts) as accounts:
        if not len(accounts):
            raise BadInput("there is no account; to add one: proveout user add NAME --role operator")
        config = uvicorn.Config(
            application(space, accounts),
            host=host,
            port=port,
            root_path=root_path,
            ssl_keyfile=tls[0],
            ssl_certfile=tls[1],
            proxy_headers=bool(proxy),  # nobody else may say from which address a request comes
            forwarded_allow_ips=proxy or None,
            server_header=False,
            limit_concurrency=400,
            timeout_graceful_shutdown=10,
            ws_max_size=1 << 20,
            log_level="warning",
        )

        class Announced(uvicorn.Server):
            async def startup(self, sockets: Any = None) -> None:
                await super().startup(sockets)
                if self.started:
                    started(f"{'https' if tls[1] else 'http'}://{_shown(host)}:{port}{root_path}")

        with _listening(host, port) as listening:
            Announced(config).run(sockets=[listening])


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise BadInput(f"cannot listen on {host}, port {port}: {error.strerror}; name another with --host, --port") from error


def _shown(host: str) -> str:
    """
    >>> _shown("0.0.0.0"), _shown("::1"), _shown("proveout.example")
    ('127.0.0.1', '[::1]', 'proveout.example')
    """
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{host}]" if ":" in host else host


def _explain_errors(app: FastAPI) -> None:
    """Every fault is a problem with a sentence that says what to do; what went wrong inside is in the log alone."""

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        torn = "the body cannot be taken apart; send the document as the part `file` of multipart/form-data"
        detail = {
            400: torn,
            404: "there is nothing here; see the first page",
            405: "this cannot be done here; see /openapi.json",
        }
        said = error.detail if type(error) is not HTTPException else detail.get(error.status_code, error.detail)
        return answer(request.scope, error.status_code, said, error.headers)

    @app.exception_handler(RequestValidationError)
    async def unfit(request: Request, error: RequestValidationError) -> Response:
        slips = [InvalidPart(where=".".join(map(str, one["loc"])), what=one["msg"]) for one in error.errors()]
        return problem(422, "the request does not fit what /openapi.json describes; errors says where", errors=slips)

    @app.exception_handler(ProveoutError)
    async def known(request: Request, error: ProveoutError) -> Response:
        match error:
            case Busy():
                return answer(request.scope, 503, str(error), {"Retry-After": "60"})
            case Changed():
                return answer(request.scope, 409, str(error))
            case NoRelease():
                return answer(request.scope, 409, "no release is promoted; an operator promotes one: proveout release promote")
            case OtherCode():
                return answer(request.scope, 503, str(error))
            case UnreadableDocument():
                kind = 415 if request.method == "POST" else 409
                return answer(request.scope, kind, str(error))
            case BadInput() if request.method == "POST":
                return answer(request.scope, 422, str(error))
        LOG.error("%s %s: %s", request.method, request.url.path, error)
        return answer(request.scope, 500, "this fails on the server; its log says why")

    @app.exception_handler(Exception)
    async def unknown(request: Request, error: Exception) -> Response:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return answer(request.scope, 507, "the server's disk is full; nothing was taken, try again when there is space")
        return answer(request.scope, 500, "this fails on the server; its log says why")
