"""All pages for people, to be mounted by the app."""

from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles

from trivox.annotation.web.check_pages import check_routes
from trivox.annotation.web.home_pages import home_routes
from trivox.annotation.web.house import House
from trivox.annotation.web.local import local_routes
from trivox.annotation.web.render import page, words_of
from trivox.annotation.web.sign_pages import sign_routes
from trivox.annotation.web.work_pages import work_routes

STATIC = Path(__file__).with_name("static")


def add_pages(app: FastAPI, house: House) -> None:
    """Routes, static files and error pages. The app guards its routes and has a Door in its state."""
    app.state.house, app.state.error_page = house, error_page
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    for router in (
        sign_routes(),
        local_routes(),
        home_routes(house),
        *check_routes(house),
        work_routes(house),
    ):
        app.include_router(router)


def error_page(request: Request, status: int, text: str) -> Response:
    """What people see instead of a page; text says what went wrong and the way out."""
    words = words_of(request)
    if status == 404:
        return page(
            request,
            "message.html",
            None,
            404,
            title=words("error.missing"),
            text=words("error.missing_help"),
        )
    title = words("error.refused" if status == 403 else "error.title")
    return page(request, "message.html", None, status, title=title, text=text)
