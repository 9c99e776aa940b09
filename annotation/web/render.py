"""Pages from templates: escaped, and in the visitor's language."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from trivox.annotation.people.principal import Principal
from trivox.annotation.web.words import Words, chosen_language

HERE = Path(__file__).parent
LANGUAGE_COOKIE = "trivox_language"
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).disable("image")


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["zip"] = lambda first, second: zip(first, second, strict=True)
    return made


_TEMPLATES = _environment()


def words_of(request: Request) -> Words:
    """The language that this browser asked for."""
    kept = request.cookies.get(LANGUAGE_COOKIE)
    return Words(chosen_language(kept, request.headers.get("accept-language")))


def markdown(text: str) -> Markup:
    """Markdown as HTML; HTML in it is shown as text, images of elsewhere are not loaded."""
    return Markup(_MARKDOWN.render(text))


def data(value: Any) -> Markup:
    """JSON for a script element of type application/json: nothing in it can end the element."""
    told = json.dumps(value, ensure_ascii=False)
    return Markup(told.replace("<", "\\u003c").replace("&", "\\u0026"))


def html(request: Request, template: str, **names: Any) -> str:
    """A template filled in, in the visitor's language."""
    return _TEMPLATES.get_template(template).render(t=words_of(request), **names)


def page(
    request: Request, template: str, who: Principal | None, status: int = 200, **names: Any
) -> HTMLResponse:
    """A whole page. who: None where nobody is signed in."""
    frame = {
        "csrf": who.csrf if who else "",
        "name": who.name if who else "",
        "here": _here(request),
    }
    return HTMLResponse(html(request, template, **frame, **names), status)


def _here(request: Request) -> str:
    return request.url.path if request.method == "GET" else "/"


def own_path(back: str) -> str:
    """A place on this server to go back to; the start page for anything else."""
    plain = back.startswith("/") and not back.startswith("//") and back.isprintable()
    return back if plain and "\\" not in back else "/"


def sections(words: Words, names: Iterable[str]) -> Markup:
    """Catalogue sections as data for the page's scripts."""
    return data({key: text for name in names for key, text in words.section(name).items()})
