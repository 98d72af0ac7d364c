"""Studio's application: the API, the pages, and what guards both."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles

from configs.errors import UserError
from configs.settings import Settings
from studio import api, pages
from studio.security import Guard, csrf_token

STATIC = Path(__file__).with_name("static")


@dataclass(frozen=True)
class Studio:
    """What the routes work with, as `request.app.state.studio`."""

    settings: Settings
    home: Path
    csrf: str


def create_app(settings: Settings, token: str = "") -> FastAPI:
    """Studio over the home folder of `settings`. With a `token` everybody must show it; without
    one the application answers to the names of this machine only."""
    home = settings.home / "studio"
    home.mkdir(parents=True, exist_ok=True)
    studio = Studio(settings, home, csrf_token(home))
    app = FastAPI(
        title="Voxloom Studio",
        version=version("voxloom"),
        openapi_url="/api/openapi.json",
        docs_url=None,  # they load scripts from elsewhere
        redoc_url=None,
    )
    app.state.studio = studio
    app.add_middleware(Guard, csrf=studio.csrf, token=token)
    app.add_exception_handler(UserError, _told)
    app.include_router(api.router)
    app.include_router(pages.router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app


def _told(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 400)
