"""The server's own pages: plain HTML from templates beside this file, one stylesheet, no script, nothing from elsewhere.

Covered: text from documents and visitors (escaped), a server under a path of a proxy (`root`).
"""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

STYLE = Path(__file__).with_name("style.css")


def page(template: str, **said: Any) -> str:
    return _environment().get_template(template).render({"root": "", "visitor": None, **said})


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
