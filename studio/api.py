"""Studio's HTTP API under /api: the page uses the same; /api/openapi.json describes it.

Every request that changes something carries the header X-CSRF-Token with the value that
/api/limits tells (and the pages, from `request.app.state.studio.csrf`). What goes wrong is a
`Problem`: 400 (what was asked for), 403 (token), 404, 409 (not now), 413 (too large), 415 (not
that kind of file), 422 (no such request).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, get_args
from urllib.parse import quote

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import FileResponse, Response, StreamingResponse

from configs.presets import Format, Mastered
from storage.library import StoredVoice
from storage.models import Models
from studio import contents, downloads, mend
from studio.jobs import CAST_FILE, SUBTITLED, uploads_of
from studio.listen import Made
from studio.models import (
    BookContents,
    BookOrder,
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
    Problem,
    SubtitleContents,
    TakeChoice,
    Takes,
    Upload,
    UploadKind,
    Voice,
    VoiceChoice,
)
from studio.security import SANDBOX
from studio.state import Studio, studio_of
from studio.uploads import ACCEPTED, LIMITS
from tasks.engines import choose_model
from tasks.matter import AS_USUAL, Reading, reading_of
from tasks.voices import AskedVoice, register_voice

KEEP_ALIVE_SECONDS = 15.0
CONSENT = "Confirmed in Studio on {}: it is the user's own voice, or the person has agreed."
_KEPT_LONG = "private, max-age=86400"
# May be opened in the page; all else is only downloaded.
_PLAYED = {
    ".flac": "audio/flac",
    ".m4b": "audio/mp4",
    ".m4v": "video/mp4",
    ".mkv": "video/x-matroska",
    ".mov": "video/quicktime",
    ".mp4": "video/mp4",
    ".vtt": "text/vtt",
    ".webm": "video/webm",
}

router = APIRouter(
    prefix="/api",
    responses={code: {"model": Problem} for code in (400, 403, 404, 409, 413, 415, 422)},
)
Here = Annotated[Studio, Depends(studio_of)]


@router.get("/limits")
def limits(here: Here) -> Limits:
    """How large uploads may be, which files are taken, and what there is to choose."""
    return Limits(
        csrf=here.csrf,
        bytes=LIMITS,
        accept={kind: list(names) for kind, names in ACCEPTED.items()},
        models=list(Models(here.settings.models)),
        formats=list(get_args(Format)),
        mastering=list(get_args(Mastered)),
    )


@router.post("/uploads", status_code=201)
async def upload(
    here: Here,
    request: Request,
    kind: UploadKind,
    name: Annotated[str, Query(max_length=255)] = "",
) -> Upload:
    """Takes a file: its bytes are the body of the request. The type is told by the content."""
    said = request.headers.get("content-length", "")
    taken = await here.uploads.take(
        kind, name, request.stream(), int(said) if said.isdecimal() else 0
    )
    here.speaking.warm()  # somebody will want to hear a voice soon
    return taken


@router.delete("/uploads/{id}", status_code=204)
def remove_upload(here: Here, id: str) -> None:
    """Forgets an uploaded file that no job needs."""
    if any(id in uploads_of(job) for job in here.jobs.all()):
        raise HTTPException(409, "A job needs this file; remove the job first.")
    here.uploads.remove(id)


@router.get("/uploads/{id}/book")
def inspect_book(
    here: Here,
    id: str,
    notes: Literal["skip", "inline", "chapter"] = "skip",
    include: str = "",
    exclude: str = "",
) -> BookContents:
    """What would be read of a book, and what not."""
    with here.uploads.told(id):
        reading = reading_of(notes, include, exclude, False)
        return contents.book_contents(contents.book_of(here.uploads.path(id, "book"), reading))


@router.get("/uploads/{id}/subtitles")
def inspect_subtitles(here: Here, id: str) -> SubtitleContents:
    """What would be spoken of subtitles, those in a video among them."""
    with here.uploads.told(id):
        path = here.uploads.path(id, *SUBTITLED)
        return contents.shown_subtitles(contents.subtitles_of(path))


@router.get("/voices")
def voices(here: Here) -> list[Voice]:
    """The registered voices."""
    return [_voice(voice) for voice in here.library]


@router.post("/voices", status_code=201)
def add_voice(here: Here, voice: NewVoice) -> Voice:
    """Registers a voice."""
    with here.uploads.told(voice.upload):
        path = here.uploads.path(voice.upload, "voice")
        consent = CONSENT.format(date.today().isoformat())
        said = voice.transcript.strip()
        return _voice(register_voice(voice.name, path, here.library, said, consent))


@router.get("/voices/{name}/audio", response_class=FileResponse)
def voice_audio(here: Here, name: str) -> Response:
    """The sample of a registered voice."""
    _check_voice(here, name)
    return FileResponse(here.library.sample(name), media_type="audio/flac")


@router.delete("/voices/{name}", status_code=204)
def remove_voice(here: Here, name: str) -> None:
    """Removes a registered voice."""
    _check_voice(here, name)
    here.library.remove(name)


@router.post("/previews", status_code=201)
def preview(here: Here, asked: PreviewRequest) -> Preview:
    """Speaks a sentence of a book in a voice; answers when it is spoken."""
    with here.uploads.told(asked.upload, asked.voice.upload):
        text, language = _sentence(here, asked.upload)
        text = " ".join(asked.text.split()) or text
        model = choose_model(_model(here, asked.model), here.settings.models)
        voice = _asked_voice(here, asked.voice)
        id, seconds = here.speaking.preview(text, voice, asked.language or language, model)
    return Preview(text=text, audio=f"/api/previews/{id}", seconds=round(seconds, 3))


@router.get("/previews/{id}", response_class=FileResponse)
def preview_audio(here: Here, id: str) -> Response:
    """The sound of a preview, WAV."""
    path = here.speaking.preview_file(id)
    if path is None:
        raise HTTPException(404, "This preview is gone; make another one.")
    return FileResponse(path, media_type="audio/wav")


@router.post("/estimates")
def estimate(here: Here, order: Order) -> Estimate:
    """How long something would be, and how long making it takes."""
    if isinstance(order, BookOrder):
        with here.uploads.told(order.book):
            book = contents.book_of(here.uploads.path(order.book, "book"), _reading(order))
            return contents.book_estimate(book, order.chapters, here.settings)
    with here.uploads.told(order.subtitles):
        read = contents.subtitles_of(here.uploads.path(order.subtitles, *SUBTITLED))
        return contents.subtitle_estimate(read, here.settings)


@router.post("/jobs", status_code=201)
def submit(here: Here, order: Order) -> Job:
    """Puts a book or a dub into the queue."""
    _model(here, order.model)
    if order.voice is not None:
        _asked_voice(here, order.voice)
    if isinstance(order, BookOrder):
        with here.uploads.told(order.book):
            path = here.uploads.path(order.book, "book")
            book = contents.book_of(path, _reading(order))
            if any(number > len(book.chapters) for number in order.chapters):
                raise HTTPException(400, f"The book has {len(book.chapters)} chapters only.")
            title = book.title
    else:
        given = here.uploads.get(order.subtitles, *SUBTITLED)
        film = here.uploads.get(order.video, "video") if order.video else given
        if order.voice is None and film.kind != "video":
            raise HTTPException(400, "Choose a voice, or add the video to take its voices from.")
        if order.voice is None and not order.consent:
            raise HTTPException(400, "Confirm that the voices in the video may be used.")
        title = Path(film.name).stem
    return here.jobs.submit(order, title)


@router.get("/jobs")
def jobs(here: Here) -> list[Job]:
    """All jobs, in the order in which they were given."""
    return here.jobs.all()


@router.get("/jobs/{id}")
def job(here: Here, id: str) -> Job:
    """One job."""
    return here.jobs.show(id)


@router.post("/jobs/{id}/pause")
def pause(here: Here, id: str) -> Job:
    """Stops a job for now; what is done is kept."""
    return here.jobs.pause(id)


@router.post("/jobs/{id}/resume")
def resume(here: Here, id: str) -> Job:
    """Queues a job again: one that is paused, failed or cancelled, or finished with changes."""
    return here.jobs.resume(id)


@router.post("/jobs/{id}/cancel")
def cancel(here: Here, id: str) -> Job:
    """Stops a job for good; what is done is kept until it is removed."""
    return here.jobs.cancel(id)


@router.delete("/jobs/{id}", status_code=204)
def remove(here: Here, id: str) -> None:
    """Removes a job that does not run, with its files."""
    here.jobs.remove(id)


@router.get("/events", response_class=StreamingResponse)
async def events(here: Here) -> Response:
    """Server-sent events: `job` with a `Job` as JSON whenever one changes (first all of them), and
    `removed` with an id."""
    return StreamingResponse(_lines(here.jobs.events()), media_type="text/event-stream")


@router.get("/jobs/{id}/listen")
def listen(here: Here, id: str) -> Listening:
    """An audiobook's chapters and suspects."""
    return here.listen.listening(_made(here, id))


@router.get("/jobs/{id}/chapters/{number}")
def chapter(here: Here, id: str, number: int) -> ChapterText:
    """A chapter's lines and words with their times."""
    return here.listen.chapter(_made(here, id), number)


@router.get("/jobs/{id}/chapters/{number}/audio", response_class=FileResponse)
def chapter_audio(here: Here, id: str, number: int) -> Response:
    """A chapter's sound, FLAC; supports Range."""
    path = here.listen.chapter_sound(_made(here, id), number)
    # The address that `listen` gives changes with the sound.
    return FileResponse(path, media_type="audio/flac", headers={"Cache-Control": _KEPT_LONG})


@router.get("/jobs/{id}/lines/{place}/takes")
def takes(here: Here, id: str, place: str) -> Takes:
    """The takes of a line that have been made."""
    return here.listen.takes(_made(here, id), place)


@router.post("/jobs/{id}/lines/{place}/takes", status_code=201)
def make_take(here: Here, id: str, place: str) -> Takes:
    """Makes one more take of a line; answers when it is spoken. It is not chosen by that."""
    return here.listen.make_take(_made(here, id), place)


@router.get("/jobs/{id}/lines/{place}/takes/{seed}/audio", response_class=Response)
def take_audio(here: Here, id: str, place: str, seed: int) -> Response:
    """The sound of a take, WAV."""
    sound = here.listen.take_sound(_made(here, id), place, seed)
    return Response(sound, media_type="audio/wav")


@router.put("/jobs/{id}/lines/{place}/take")
def choose_take(here: Here, id: str, place: str, choice: TakeChoice) -> Job:
    """Has a line heard in one of its takes from the next rebuild on. A dub's line (in chapter 1) is
    made from that seed then."""
    job = here.jobs.show(id)
    if job.kind == "dub":
        changed = mend.choose_reading(_out(here, id), job.order.seed, place, choice.seed)
    else:
        changed = here.listen.choose_take(_made(here, id), place, choice.seed)
    return here.jobs.changed(id) if changed else job


@router.patch("/jobs/{id}/lines/{place}")
def edit_line(here: Here, id: str, place: str, edit: LineEdit) -> Job:
    """Changes who speaks a line, or the pause after it, from the next rebuild on."""
    here.listen.edit(_made(here, id), place, edit)
    return here.jobs.changed(id)


@router.get("/jobs/{id}/lexicon")
def lexicon(here: Here, id: str) -> list[LexiconEntry]:
    """How words of this book are spoken."""
    return mend.lexicon(_out(here, id))


@router.put("/jobs/{id}/lexicon")
def say_as(here: Here, id: str, entry: LexiconEntry) -> Job:
    """Sets how a word of this book is spoken, from the next rebuild on."""
    mend.say_as(_out(here, id), entry)
    return here.jobs.changed(id)


@router.post("/jobs/{id}/lexicon/remove")
def forget_word(here: Here, id: str, word: LexiconWord) -> Job:
    """Has a word read as usual again."""
    mend.forget_word(_out(here, id), word.word)
    return here.jobs.changed(id)


@router.get("/jobs/{id}/cast")
def cast(here: Here, id: str) -> list[CastMember]:
    """Who speaks in this book or dub, and in which voice."""
    path = _out(here, id) / CAST_FILE
    order = here.jobs.show(id).order
    if isinstance(order, BookOrder):
        book = contents.book_of(here.uploads.path(order.book, "book"), _reading(order))
        return mend.book_cast(path, book)
    return mend.dub_cast(path)


@router.put("/jobs/{id}/cast")
def set_cast(here: Here, id: str, members: list[CastMember]) -> Job:
    """Gives speakers registered voices, from the next rebuild on."""
    path = _out(here, id) / CAST_FILE
    order = here.jobs.show(id).order
    if isinstance(order, BookOrder):
        book = contents.book_of(here.uploads.path(order.book, "book"), _reading(order))
        mend.set_book_cast(path, book, members, here.library)
    else:
        mend.set_dub_cast(path, members, here.library)
    return here.jobs.changed(id)


@router.get("/jobs/{id}/dub")
def dub(here: Here, id: str) -> DubListening:
    """A dub's timeline: cues against speech."""
    job = here.jobs.show(id)
    found = downloads.dub_listening(_out(here, id), job.title, _url(id), job.order.seed)
    if found is None:
        raise HTTPException(409, "Nothing of this can be heard yet.")
    return found


@router.get("/jobs/{id}/downloads")
def all_downloads(here: Here, id: str) -> list[Download]:
    """What can be taken away."""
    return downloads.shown(_out(here, id), _url(id))


@router.get("/jobs/{id}/downloads/{name}", response_class=FileResponse)
def download(here: Here, id: str, name: str, inline: bool = False) -> Response:
    """A file to take away; `inline` plays it in the page. Supports Range but for zips."""
    one = next((one for one in downloads.found(_out(here, id)) if one.name == name), None)
    if one is None:
        raise HTTPException(404, "There is no such file.")
    if one.path.is_dir():
        return StreamingResponse(
            downloads.zipped(one.path),
            media_type="application/zip",
            headers={"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}"},
        )
    media_type = _PLAYED.get(one.path.suffix.lower())
    return FileResponse(
        one.path,
        filename=name,
        media_type=media_type,
        content_disposition_type="inline" if inline and media_type else "attachment",
    )


@router.get("/jobs/{id}/report", response_class=Response)
def report(here: Here, id: str) -> Response:
    """The report as a page, in a sandbox of its own."""
    page = downloads.report_page(_out(here, id))
    if page is None:
        raise HTTPException(404, "There is no report yet.")
    return FileResponse(page, media_type="text/html", headers={"Content-Security-Policy": SANDBOX})


async def _lines(news: AsyncIterator[tuple[str, str]]) -> AsyncIterator[str]:
    """Server-sent events; now and then a comment, so that a browser that is gone is noticed."""
    waiting: asyncio.Task[tuple[str, str]] | None = None
    try:
        while True:
            waiting = waiting or asyncio.ensure_future(anext(news))
            done, _ = await asyncio.wait([waiting], timeout=KEEP_ALIVE_SECONDS)
            if not done:
                yield ": still there\n\n"
                continue
            try:
                event, data = waiting.result()
            except StopAsyncIteration:
                return
            waiting = None
            yield f"event: {event}\ndata: {data}\n\n"
    finally:
        if waiting is not None:
            waiting.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration):
                await waiting


def _url(id: str) -> str:
    return f"/api/jobs/{id}"


def _out(here: Studio, id: str) -> Path:
    return here.jobs.folder(id) / "out"


def _made(here: Studio, id: str) -> Made:
    if here.jobs.show(id).kind != "book":
        raise HTTPException(409, "This is a dub; look at its timeline.")
    return here.listen.made(_out(here, id), _url(id))


def _reading(order: BookOrder) -> Reading:
    return reading_of(order.notes, ",".join(order.include), ",".join(order.exclude), False)


def _sentence(here: Studio, id: str) -> tuple[str, str]:
    """A sentence of an upload, and its language."""
    if here.uploads.get(id).kind == "book":
        book = contents.book_of(here.uploads.path(id, "book"), AS_USUAL)
        return contents.book_sentence(book), book.language
    read = contents.subtitles_of(here.uploads.path(id, *SUBTITLED))
    return contents.subtitle_sentence(read), read.language or "en"


def _model(here: Studio, name: str) -> str:
    """The name of an installed model, or ""; a folder, as the command line takes, is refused."""
    if name and name not in Models(here.settings.models):
        raise HTTPException(400, f"There is no installed model named {name}.")
    return name


def _asked_voice(here: Studio, choice: VoiceChoice) -> AskedVoice:
    """The voice of a choice; 400 where it is none, or where consent is missing."""
    if bool(choice.name) == bool(choice.upload):
        raise HTTPException(400, "Choose a voice: a registered one or a recording.")
    if choice.upload:
        if not choice.consent:
            raise HTTPException(400, "Confirm that this voice may be used.")
        given = str(here.uploads.path(choice.upload, "voice"))
    else:
        _check_voice(here, choice.name)
        given = choice.name
    return AskedVoice((given,), choice.transcript)


def _check_voice(here: Studio, name: str) -> None:
    if name not in here.library:
        raise HTTPException(404, f"There is no voice named {name}.")


def _voice(voice: StoredVoice) -> Voice:
    return Voice(
        name=voice.name,
        seconds=voice.seconds,
        source=voice.source,
        added=voice.added,
        transcript=voice.transcript,
        tuned=bool(voice.clone and voice.clone.tuning),
        consent=voice.consent or (voice.clone.consent if voice.clone else ""),
        audio=f"/api/voices/{quote(voice.name, safe='')}/audio",
    )
