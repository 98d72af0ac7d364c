"""Studio's HTTP API under /api: the page uses the same; /api/openapi.json describes it.

Every request that changes something carries the header X-CSRF-Token with the value that
/api/limits tells (and the pages, from `request.app.state.studio.csrf`). What goes wrong is a
`Problem`: 400 (what was asked for), 403 (token), 404, 409 (not now), 413 (too large), 415 (not
that kind of file).
"""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, Response, StreamingResponse

from studio.models import (
    BookContents,
    CastMember,
    ChapterText,
    Download,
    DubListening,
    Estimate,
    Job,
    LexiconEntry,
    LexiconWord,
    Limits,
    LineEdit,
    Listening,
    NewVoice,
    Order,
    Preview,
    PreviewRequest,
    SubtitleContents,
    TakeChoice,
    Takes,
    Upload,
    UploadKind,
    Voice,
)

router = APIRouter(prefix="/api")


@router.get("/limits")
def limits(request: Request) -> Limits:
    """How large uploads may be, which files are taken, and what there is to choose."""
    raise NotImplementedError


@router.post("/uploads", status_code=201)
async def upload(
    request: Request, kind: UploadKind, name: Annotated[str, Query(max_length=255)] = ""
) -> Upload:
    """Takes a file: its bytes are the body of the request. The type is told by the content."""
    raise NotImplementedError


@router.delete("/uploads/{id}", status_code=204)
def remove_upload(request: Request, id: str) -> None:
    """Forgets an uploaded file that no job needs."""
    raise NotImplementedError


@router.get("/uploads/{id}/book")
def inspect_book(
    request: Request, id: str, notes: str = "skip", include: str = "", exclude: str = ""
) -> BookContents:
    """What would be read of a book, and what not."""
    raise NotImplementedError


@router.get("/uploads/{id}/subtitles")
def inspect_subtitles(request: Request, id: str) -> SubtitleContents:
    """What would be spoken of subtitles."""
    raise NotImplementedError


@router.get("/voices")
def voices(request: Request) -> list[Voice]:
    """The registered voices."""
    raise NotImplementedError


@router.post("/voices", status_code=201)
def add_voice(request: Request, voice: NewVoice) -> Voice:
    """Registers a voice."""
    raise NotImplementedError


@router.get("/voices/{name}/audio", response_class=FileResponse)
def voice_audio(request: Request, name: str) -> Response:
    """The sample of a registered voice."""
    raise NotImplementedError


@router.delete("/voices/{name}", status_code=204)
def remove_voice(request: Request, name: str) -> None:
    """Removes a registered voice."""
    raise NotImplementedError


@router.post("/previews", status_code=201)
def preview(request: Request, asked: PreviewRequest) -> Preview:
    """Speaks a sentence of a book in a voice; answers when it is spoken."""
    raise NotImplementedError


@router.get("/previews/{id}", response_class=FileResponse)
def preview_audio(request: Request, id: str) -> Response:
    """The sound of a preview, WAV."""
    raise NotImplementedError


@router.post("/estimates")
def estimate(request: Request, order: Order) -> Estimate:
    """How long something would be, and how long making it takes."""
    raise NotImplementedError


@router.post("/jobs", status_code=201)
def submit(request: Request, order: Order) -> Job:
    """Puts a book or a dub into the queue."""
    raise NotImplementedError


@router.get("/jobs")
def jobs(request: Request) -> list[Job]:
    """All jobs, in the order in which they were given."""
    raise NotImplementedError


@router.get("/jobs/{id}")
def job(request: Request, id: str) -> Job:
    """One job."""
    raise NotImplementedError


@router.post("/jobs/{id}/pause")
def pause(request: Request, id: str) -> Job:
    """Stops a job for now; what is done is kept."""
    raise NotImplementedError


@router.post("/jobs/{id}/resume")
def resume(request: Request, id: str) -> Job:
    """Queues a job again: one that is paused, failed or cancelled, or finished with changes."""
    raise NotImplementedError


@router.post("/jobs/{id}/cancel")
def cancel(request: Request, id: str) -> Job:
    """Stops a job for good; what is done is kept until it is removed."""
    raise NotImplementedError


@router.delete("/jobs/{id}", status_code=204)
def remove(request: Request, id: str) -> None:
    """Removes a job that does not run, with its files."""
    raise NotImplementedError


@router.get("/events", response_class=StreamingResponse)
async def events(request: Request) -> Response:
    """Server-sent events: `job` with a `Job` as JSON whenever one changes (first all of them), and
    `removed` with an id."""
    raise NotImplementedError


@router.get("/jobs/{id}/listen")
def listen(request: Request, id: str) -> Listening:
    """An audiobook's chapters and suspects."""
    raise NotImplementedError


@router.get("/jobs/{id}/chapters/{number}")
def chapter(request: Request, id: str, number: int) -> ChapterText:
    """A chapter's lines and words with their times."""
    raise NotImplementedError


@router.get("/jobs/{id}/chapters/{number}/audio", response_class=FileResponse)
def chapter_audio(request: Request, id: str, number: int) -> Response:
    """A chapter's sound, FLAC; supports Range."""
    raise NotImplementedError


@router.get("/jobs/{id}/lines/{place}/takes")
def takes(request: Request, id: str, place: str) -> Takes:
    """The takes of a line that have been made."""
    raise NotImplementedError


@router.post("/jobs/{id}/lines/{place}/takes", status_code=201)
def make_take(request: Request, id: str, place: str) -> Takes:
    """Makes one more take of a line; answers when it is spoken. It is not chosen by that."""
    raise NotImplementedError


@router.get("/jobs/{id}/lines/{place}/takes/{seed}/audio", response_class=Response)
def take_audio(request: Request, id: str, place: str, seed: int) -> Response:
    """The sound of a take, WAV."""
    raise NotImplementedError


@router.put("/jobs/{id}/lines/{place}/take")
def choose_take(request: Request, id: str, place: str, choice: TakeChoice) -> Job:
    """Has a line heard in one of its takes from the next rebuild on."""
    raise NotImplementedError


@router.patch("/jobs/{id}/lines/{place}")
def edit_line(request: Request, id: str, place: str, edit: LineEdit) -> Job:
    """Changes who speaks a line, or the pause after it, from the next rebuild on."""
    raise NotImplementedError


@router.get("/jobs/{id}/lexicon")
def lexicon(request: Request, id: str) -> list[LexiconEntry]:
    """How words of this book are spoken."""
    raise NotImplementedError


@router.put("/jobs/{id}/lexicon")
def say_as(request: Request, id: str, entry: LexiconEntry) -> Job:
    """Sets how a word of this book is spoken, from the next rebuild on."""
    raise NotImplementedError


@router.post("/jobs/{id}/lexicon/remove")
def forget_word(request: Request, id: str, word: LexiconWord) -> Job:
    """Has a word read as usual again."""
    raise NotImplementedError


@router.get("/jobs/{id}/cast")
def cast(request: Request, id: str) -> list[CastMember]:
    """Who speaks in this book or dub, and in which voice."""
    raise NotImplementedError


@router.put("/jobs/{id}/cast")
def set_cast(request: Request, id: str, members: list[CastMember]) -> Job:
    """Gives speakers registered voices, from the next rebuild on."""
    raise NotImplementedError


@router.get("/jobs/{id}/dub")
def dub(request: Request, id: str) -> DubListening:
    """A dub's timeline: cues against speech."""
    raise NotImplementedError


@router.get("/jobs/{id}/downloads")
def downloads(request: Request, id: str) -> list[Download]:
    """What can be taken away."""
    raise NotImplementedError


@router.get("/jobs/{id}/downloads/{number}", response_class=FileResponse)
def download(request: Request, id: str, number: int, inline: bool = False) -> Response:
    """A file to take away; `inline` plays it in the page. Supports Range but for zips."""
    raise NotImplementedError


@router.get("/jobs/{id}/report", response_class=Response)
def report(request: Request, id: str) -> Response:
    """The report as a page, in a sandbox of its own."""
    raise NotImplementedError
