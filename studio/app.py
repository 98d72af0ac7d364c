"""Studio's application: the API, the pages, and what guards both."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import anyio.to_thread
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles

from configs.errors import UserError
from configs.settings import Settings
from flows.work import engine_of
from studio import api, pages
from studio.jobs import PROGRAM, LocalJobs, uploads_of
from studio.listen import Listen
from studio.security import Guard, secret
from studio.speaking import LoadEngine, Speaking
from studio.state import Studio
from studio.uploads import Uploads
from studio.wording import problem

STATIC = Path(__file__).with_name("static")


def create_app(
    settings: Settings,
    token: str = "",
    program: Sequence[str] = PROGRAM,
    load: LoadEngine = engine_of,
) -> FastAPI:
    """Studio over the home folder of `settings`. With a `token` everybody must show it; without
    one the application answers to the names of this machine only. `program` is the command line
    that jobs run, `load` loads the engine of previews."""
    home = settings.home / "studio"
    uploads = Uploads(home / "uploads")
    pool = settings if settings.queue.get_secret_value() else None
    jobs = LocalJobs(home / "jobs", uploads, program, pool)
    speaking = Speaking(settings, home / "previews", load)
    studio = Studio(
        settings, home, secret(home, "csrf"), uploads, jobs, speaking, Listen(settings, speaking)
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        jobs.start()
        uploads.forget(id for job in jobs.all() for id in uploads_of(job))
        yield
        await anyio.to_thread.run_sync(jobs.stop)

    app = FastAPI(
        title="Voxloom Studio",
        version=version("voxloom"),
        openapi_url="/api/openapi.json",
        docs_url=None,  # they load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.studio = studio
    app.add_middleware(Guard, csrf=studio.csrf, token=token)
    app.add_exception_handler(UserError, _told)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(404, pages.lost)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.include_router(api.router)
    app.include_router(pages.router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app


def _told(request: Request, error: Exception) -> JSONResponse:
    return problem(request, 400, str(error))


def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return problem(request, error.status_code, error.detail)


def _invalid(request: Request, error: Exception) -> JSONResponse:
    """The first thing that is wrong with a request, as a sentence like all others."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:])
    return problem(request, 422, f"{where}: {first['msg']}" if where else first["msg"])
