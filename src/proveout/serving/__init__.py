"""The server: programs submit documents, people read reports and answer cases. Entry points: `application`, `serve`.

The promoted release decides here as in the pipeline and the notebook, by the same code.
Covered: who may do what (`guards`), whole documents (`intake`), deciding in the background (`worker`), the API with its OpenAPI
document (`api`), pages for people (`site`), among them one for answering cases by keyboard (`reviewing`).
Not covered: TLS certificates of public names, and several machines; put a proxy in front for both.
"""

import errno
import logging
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
from proveout.serving.guards import AuthBackend, Guard, Limits, SecurityHeaders
from proveout.serving.problems import InvalidPart, answer, problem, wants_page
from proveout.serving.reviewing import reviewing
from proveout.serving.site import add_pages
from proveout.serving.worker import Worker
from proveout.workspace import Workspace

LOG = logging.getLogger("proveout.serving")


def application(space: Workspace, accounts: Accounts, limits: Limits | None = None) -> FastAPI:
    """The server of one workspace, as an ASGI application."""
    limits = limits or Limits(document=space.mission.largest_document)
    worker, backend = Worker(space), AuthBackend(accounts)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        worker.open()
        yield
        worker.close()

    app = FastAPI(
        title=f"Proveout: {space.mission.mission}",
        version=version("proveout"),
        description=space.mission.purpose,
        lifespan=lifespan,
        docs_url=None,  # these pages load from a CDN
        redoc_url=None,
        redirect_slashes=False,
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(AuthenticationMiddleware, backend=backend),
            Middleware(Guard, limits=limits),
        ],
    )
    app.state.worker, app.state.accounts = worker, accounts
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    _explain_errors(app)
    for router in (*routers(worker), reviewing(worker)):
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
    """Serve until a signal. `tls`: key and certificate. `started` is called with the address as soon as the server answers.

    Raises BadInput if there is no account, or if the address cannot be used.
    """
    import uvicorn

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
            proxy_headers=bool(proxy),  # only a trusted proxy may name the client's address
            forwarded_allow_ips=proxy or None,
            server_header=False,
            limit_concurrency=400,
            timeout_graceful_shutdown=10,
            ws="none",
            log_level="warning",
        )

        class Announced(uvicorn.Server):
            async def startup(self, sockets: Any = None) -> None:
                await super().startup(sockets)
                if self.started:
                    started(f"{'https' if tls[1] else 'http'}://{_in_url(host)}:{port}{root_path}")

        with _bound_socket(host, port) as listener:
            Announced(config).run(sockets=[listener])


def _bound_socket(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise BadInput(f"cannot listen on {host}, port {port}: {error.strerror}; change --host or --port") from error


def _in_url(host: str) -> str:
    """
    >>> _in_url("0.0.0.0"), _in_url("::1"), _in_url("proveout.example")
    ('127.0.0.1', '[::1]', 'proveout.example')
    """
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{host}]" if ":" in host else host


def _explain_errors(app: FastAPI) -> None:
    """Answer every error with a problem that says what to do. Details of an internal error go to the log only."""
    internal = "the server failed; its log says why"

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        details = {
            400: "the body is not valid multipart/form-data; send the document as its part `file`",
            404: "nothing is at this address; see the start page",
            405: "this method is not allowed here; see /openapi.json",
        }
        is_refusal = type(error) is not HTTPException  # which explains itself
        detail = error.detail if is_refusal else details.get(error.status_code, error.detail)
        return answer(request.scope, error.status_code, detail, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid_request(request: Request, error: RequestValidationError) -> Response:
        parts = [InvalidPart(where=".".join(map(str, part["loc"])), what=part["msg"]) for part in error.errors()]
        if wants_page(request.scope):
            return answer(
                request.scope, 422, "; ".join(f"{part.where.partition('.')[2]}: {part.what.lower()}" for part in parts)
            )
        return problem(422, "the request does not match /openapi.json; `errors` lists the parts", errors=parts)

    @app.exception_handler(ProveoutError)
    async def proveout_error(request: Request, error: ProveoutError) -> Response:
        match error:
            case Busy():
                return answer(request.scope, 503, str(error), {"Retry-After": "60"})
            case Changed():
                return answer(request.scope, 409, str(error))
            case NoRelease():
                return answer(request.scope, 409, "no release is promoted; ask an operator to run: proveout release promote")
            case OtherCode():
                return answer(request.scope, 503, str(error))
            case UnreadableDocument():
                status = 415 if request.method == "POST" else 409
                return answer(request.scope, status, str(error))
            case BadInput() if request.method == "POST":
                return answer(request.scope, 422, str(error))
        LOG.error("%s %s: %s", request.method, request.url.path, error)
        return answer(request.scope, 500, internal)

    @app.exception_handler(Exception)
    async def unexpected_error(request: Request, error: Exception) -> Response:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return answer(request.scope, 507, "the server's disk is full and nothing was stored; try again later")
        return answer(request.scope, 500, internal)
