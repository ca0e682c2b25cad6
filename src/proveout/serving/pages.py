"""Renders the server's own pages from the templates beside this file. Nothing external; only the review page has a script.

Covered: text from documents and visitors (escaped), a server under a path of a proxy (`root`).
"""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import Request
    from jinja2 import Environment

STYLE = Path(__file__).with_name("style.css")


def page(template: str, **values: Any) -> str:
    """A page as HTML. Raises jinja2's UndefinedError if the template needs a value that is not given."""
    return _environment().get_template(template).render({"root": "", "visitor": None, **values})


def root_of(request: "Request") -> str:
    """The path under which a proxy serves this server."""
    return str(request.scope.get("root_path", ""))


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("proveout.serving", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
