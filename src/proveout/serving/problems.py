"""Error responses: RFC 9457 `application/problem+json`, or a page for people. One sentence says what to do.

Nothing that the client sent is repeated in a response, neither values nor names.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, Field
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, Response

from proveout.serving.pages import page

PROBLEM = "application/problem+json"


class InvalidPart(BaseModel):
    """One invalid part of a request."""

    where: str = Field(examples=["query.limit"])
    what: str = Field(examples=["Input should be less than or equal to 200"])


class Problem(BaseModel):
    """RFC 9457: why a request was not served and what to do."""

    type: str = Field(default="about:blank", examples=["about:blank"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["no case has this id; see GET /api/v1/cases"])
    errors: list[InvalidPart] = Field(default=[], examples=[[]])


class Refusal(HTTPException):
    """A request that is not served; the server answers it with a problem."""


def problem(
    status: int, detail: str, headers: Mapping[str, str] | None = None, errors: list[InvalidPart] | None = None
) -> Response:
    """The response for programs. `errors`: the parts of the request that are not valid."""
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, errors=errors or [])
    return JSONResponse(body.model_dump(), status, dict(headers or {}), media_type=PROBLEM)


def answer(scope: Mapping[str, Any], status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """A page for a browser that asked for one, a problem for any other client."""
    if wants_page(scope):
        return HTMLResponse(
            page("message.html.j2", title=HTTPStatus(status).phrase, message=detail), status, dict(headers or {})
        )
    return problem(status, detail, headers)


def wants_page(scope: Mapping[str, Any]) -> bool:
    """Whether a browser asks for a page to show."""
    return "text/html" in Headers(scope=dict(scope)).get("accept", "")
