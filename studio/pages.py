"""Studio's pages, rendered on the server."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

router = APIRouter(include_in_schema=False)


@router.get("/")
def home(request: Request) -> HTMLResponse:
    """The first page."""
    return HTMLResponse("<!doctype html><title>Voxloom Studio</title><h1>Voxloom Studio</h1>")
