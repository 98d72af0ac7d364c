"""Studio's pages, rendered on the server from what the API gives; htmx fetches the parts.

Whatever comes from a book or a file name is text to the templates, which escape it.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi import Path as PathParameter
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.templating import Jinja2Templates
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from studio import api
from studio.models import ChapterText, Download, Job, ListenLine
from studio.state import Studio, studio_of
from studio.wording import (
    COOKIE,
    LANGUAGES,
    clock,
    counted,
    duration,
    in_markup,
    in_words,
    language_of,
    problem,
    size,
    texts,
)

router = APIRouter(include_in_schema=False)
Notes = Literal["skip", "inline", "chapter"]
PlacePart = Annotated[str, PathParameter(pattern=r"^-?\d{1,6}:\d{1,6}$")]
Here = Annotated[Studio, Depends(studio_of)]
_FIRST = ("m4b", "mp4", "mkv", "webm", "mp3", "opus", "flac", "epub", "srt", "vtt")
_YEAR = 365 * 24 * 60 * 60
_ACTIVE = ("running", "queued", "paused")

environment = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
environment.filters |= {"clock": clock, "size": size, "said": in_markup, "in_words": in_words}
_templates = Jinja2Templates(env=environment)


@router.get("/")
def make(here: Here, request: Request) -> Response:
    """The page where a book, a voice and the outputs are chosen."""
    values = {"limits": api.limits(here), "voices": api.voices(here), "chosen": ""}
    return _page(request, "make.html", **values)


@router.get("/parts/book/{id}")
def book_part(
    here: Here, request: Request, id: str, notes: Notes = "skip", include: str = ""
) -> Response:
    """A book's chapters and what is left out of it; `include` is a list with commas."""
    contents = api.inspect_book(here, id, notes=notes, include=include)
    included = [name for name in include.split(",") if name]
    return _page(request, "parts/book.html", id=id, book=contents, notes=notes, included=included)


@router.get("/parts/subtitles/{id}")
def subtitles_part(here: Here, request: Request, id: str) -> Response:
    """Who speaks in subtitles, and what was mended."""
    return _page(
        request,
        "parts/subtitles.html",
        id=id,
        subtitles=api.inspect_subtitles(here, id),
        limits=api.limits(here),
    )


@router.get("/parts/voices")
def voices_part(here: Here, request: Request, chosen: str = "") -> Response:
    """The registered voices to choose from."""
    return _page(request, "parts/voices.html", voices=api.voices(here), chosen=chosen)


@router.get("/watch")
def watch(here: Here, request: Request) -> Response:
    """The queue: what is made now first, what is finished last."""
    jobs = sorted(api.jobs(here), key=_order)
    pooled = bool(here.settings.queue.get_secret_value())
    return _page(request, "watch.html", jobs=jobs, pooled=pooled)


@router.get("/parts/jobs/{id}")
def job_part(here: Here, request: Request, id: str) -> Response:
    """One job's card."""
    return _page(request, "parts/job.html", job=api.job(here, id))


@router.get("/parts/jobs/{id}/progress")
def progress_part(here: Here, request: Request, id: str) -> Response:
    """How far a job is: all of its card that changes while it is made."""
    return _page(request, "parts/progress.html", job=api.job(here, id))


@router.get("/parts/jobs/{id}/changes")
def changes_part(here: Here, request: Request, id: str) -> Response:
    """How many changes are not heard yet, and what brings them in."""
    return _page(request, "parts/changes.html", job=api.job(here, id))


@router.get("/listen")
def listen_to_something(here: Here, request: Request) -> Response:
    """The player with what was finished last."""
    return _newest(here, request, "listen")


@router.get("/listen/{id}")
def listen(here: Here, request: Request, id: str, chapter: int | None = None) -> Response:
    """The player: an audiobook with its text, or a dub with its timeline."""
    job = api.job(here, id)
    if not job.listenable:
        return RedirectResponse("/watch", 303)
    others = [one for one in api.jobs(here) if one.listenable and one.id != id]
    values: dict[str, Any] = {"job": job, "others": others, "cast": api.cast(here, id)}
    if job.kind == "dub":
        names = [voice.name for voice in api.voices(here)]
        values["lexicon"] = api.lexicon(here, id)
        return _page(request, "dub.html", dub=api.dub(here, id), names=names, **values)
    values["book"] = book = api.listen(here, id)
    if not job.order.model:
        here.speaking.warm()  # for the takes of the first sentence that is chosen
    numbers = [one.number for one in book.chapters if one.audio]
    if not numbers:  # what was made before is made again, from its first line
        return RedirectResponse("/watch", 303)
    number = chapter if chapter in numbers else numbers[0]
    values["text"] = text = api.chapter(here, id, number)
    values["blocks"] = blocks_of(text)
    values["lexicon"] = api.lexicon(here, id)
    return _page(request, "listen.html", number=number, **values)


@router.get("/parts/listen/{id}/chapters/{number}")
def chapter_part(here: Here, request: Request, id: str, number: int) -> Response:
    """A chapter's text, each word with its times."""
    text = api.chapter(here, id, number)
    return _page(request, "parts/chapter.html", text=text, blocks=blocks_of(text))


@router.get("/parts/listen/{id}/chapters")
def chapters_part(here: Here, request: Request, id: str, chapter: int = 1) -> Response:
    """The chapters to choose from; `chapter` is the one that is shown."""
    book = api.listen(here, id)
    return _page(request, "parts/chapters.html", book=book, number=chapter)


@router.get("/parts/listen/{id}/suspects")
def suspects_part(here: Here, request: Request, id: str) -> Response:
    """The lines that are worth listening to."""
    return _page(request, "parts/suspects.html", book=api.listen(here, id))


@router.get("/parts/listen/{id}/lines/{place}")
def line_part(here: Here, request: Request, id: str, place: PlacePart) -> Response:
    """What can be done with a line: its takes, its pronunciation, its speaker, its pause."""
    number = int(place.partition(":")[0])
    lines = api.chapter(here, id, number).lines
    line = next((line for line in lines if line.place == place), None)
    if line is None:
        raise HTTPException(404)
    voices = api.listen(here, id).voices
    return _page(request, "parts/line.html", id=id, voices=voices, line=line)


@router.get("/parts/listen/{id}/lines/{place}/takes")
def takes_part(here: Here, request: Request, id: str, place: PlacePart) -> Response:
    """The takes of a line; the first time this takes a while, since the model is loaded."""
    return _page(request, "parts/takes.html", takes=api.takes(here, id, place))


@router.get("/parts/listen/{id}/lexicon")
def lexicon_part(here: Here, request: Request, id: str) -> Response:
    """The words that this book says in a way of their own."""
    return _page(request, "parts/lexicon.html", id=id, lexicon=api.lexicon(here, id))


@router.get("/take")
def take_something(here: Here, request: Request) -> Response:
    """The files of what was finished last."""
    return _newest(here, request, "take")


@router.get("/take/{id}")
def take(here: Here, request: Request, id: str) -> Response:
    """The files of a book or dub."""
    job = api.job(here, id)
    if not job.listenable:
        return RedirectResponse("/watch", 303)
    others = [one for one in api.jobs(here) if one.listenable and one.id != id]
    files = sorted(api.all_downloads(here, id), key=_importance)
    return _page(request, "take.html", job=job, others=others, files=files)


def lost(request: Request, error: Exception) -> Response:
    """What is answered where there is nothing: a page to people, a sentence to programs."""
    if request.url.path.startswith(("/api/", "/parts/", "/static/")):
        return problem(request, 404, getattr(error, "detail", "Not Found"))
    answer = _page(request, "lost.html")
    answer.status_code = 404
    return answer


def _page(request: Request, template: str, **values: Any) -> HTMLResponse:
    """A template rendered in the language of the request, which is remembered if it was chosen."""
    language = language_of(request)
    said = texts(language)
    values |= {
        "t": said,
        "language": language,
        "languages": LANGUAGES,
        "csrf": request.app.state.studio.csrf,
        "path": request.url.path,
        "counted": counted,
        "duration": lambda seconds: duration(seconds, said["units"]),
    }
    answer = _templates.TemplateResponse(request, template, values)
    if request.query_params.get("language") == language:
        answer.set_cookie(COOKIE, language, max_age=_YEAR, samesite="lax")
    return answer


def _newest(here: Studio, request: Request, page: str) -> Response:
    """Leads to the page of what was finished last; says so where there is none."""
    jobs = [job for job in api.jobs(here) if job.listenable]
    if not jobs:
        return _page(request, "empty.html", page=page)
    newest = max(jobs, key=lambda job: job.finished or job.added)
    return RedirectResponse(f"/{page}/{newest.id}", 303)


def _importance(file: Download) -> int:
    """Sorts files: what one listens to or looks at first, then what goes with it."""
    return _FIRST.index(file.format) if file.format in _FIRST else len(_FIRST)


def _order(job: Job) -> tuple[bool, float]:
    """Sorts the jobs that wait in their order, then the others, the youngest first."""
    active = job.state in _ACTIVE
    return not active, job.added if active else -(job.finished or job.added)


def blocks_of(text: ChapterText) -> list[tuple[str, list[ListenLine]]]:
    """A chapter's lines by paragraph, with what kind of paragraph it is."""
    blocks: list[tuple[str, list[ListenLine]]] = []
    last: int | None = None
    for line in text.lines:
        if line.block != last:
            blocks.append((line.kind, []))
            last = line.block
        blocks[-1][1].append(line)
    return blocks
