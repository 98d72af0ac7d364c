"""What Studio's API takes and gives, as pydantic models: they are its OpenAPI description, too."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from configs.presets import SOUND_FORMATS, DubMastered, DubMode, Format, Mastered

UploadKind = Literal["book", "subtitles", "video", "voice"]
JobState = Literal["queued", "running", "paused", "finished", "failed", "cancelled"]
Identifier = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", description="random, 32 hex digits")]
Place = Annotated[
    str,
    Field(pattern=r"^-?\d{1,6}:\d{1,6}$", description="chapter and line, from 1, as in the report"),
]


class Asked(BaseModel):
    """What a client sends: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class Problem(BaseModel):
    """What went wrong, in one sentence that a user can act on."""

    detail: str


class Upload(BaseModel):
    """A file that was uploaded. `name` is the client's and for display only."""

    id: Identifier
    name: str
    kind: UploadKind
    bytes: int
    added: float = Field(description="Unix time, seconds")


class BookChapter(BaseModel):
    number: int = Field(description="from 1")
    title: str
    words: int
    minutes: float = Field(description="estimated")


class LeftOut(BaseModel):
    """A part of the book that is not read, and why. `name` in `include` has it read."""

    place: str
    reason: str
    words: int
    name: str = Field(description='for `include`; "" where it can not be chosen')


class BookContents(BaseModel):
    title: str
    authors: list[str]
    language: str
    words: int
    hours: float
    chapters: list[BookChapter]
    left_out: list[LeftOut]
    warnings: list[str]
    sentence: str = Field(description="a sentence of this book, for a preview")


class SubtitleSpeaker(BaseModel):
    name: str = Field(description='"" where the file does not say')
    lines: int
    seconds: float
    first: str


class NotSpoken(BaseModel):
    why: str
    cues: int


class SubtitleContents(BaseModel):
    format: str
    language: str
    seconds: float
    speech_seconds: float
    cues: int
    speakers: list[SubtitleSpeaker]
    not_spoken: list[NotSpoken]
    repairs: list[str]
    sentence: str


class Voice(BaseModel):
    """A registered voice."""

    name: str
    seconds: float
    source: str
    added: str = Field(description="ISO 8601")
    transcript: str
    tuned: bool
    consent: str = Field(description='that the voice may be used, as it was said; "" unknown')
    audio: str = Field(description="URL of the sample")


class NewVoice(Asked):
    """Registers an uploaded sample under a name. `consent`: the voice is the user's own, or the
    person has agreed; that is kept with the voice."""

    name: str = Field(min_length=1, max_length=64)
    upload: Identifier
    transcript: str = Field(default="", max_length=2000)
    consent: Literal[True]


class VoiceChoice(Asked):
    """A registered voice by its `name`, or an uploaded sample (then with `consent`)."""

    name: str = Field(default="", max_length=64)
    upload: Identifier | Literal[""] = ""
    transcript: str | None = Field(default=None, max_length=2000)
    consent: bool = False


class BookOrder(Asked):
    """An audiobook to be made. `chapters` [] are all."""

    kind: Literal["book"] = "book"
    book: Identifier
    voice: VoiceChoice
    chapters: list[Annotated[int, Field(ge=1, le=100_000)]] = []
    include: list[str] = []
    exclude: list[str] = []
    notes: Literal["skip", "inline", "chapter"] = "skip"
    language: str = Field(default="", max_length=35)
    formats: list[Format] = Field(default=["m4b", "srt", "vtt"], min_length=1)
    mastering: Mastered = "standard"
    layout: Literal["plain", "audiobookshelf"] = "plain"
    credits: bool | None = None
    model: str = Field(default="", max_length=64, description='an installed model; "": built-in')
    seed: int = Field(default=0, ge=0, lt=2**31)

    @model_validator(mode="after")
    def _one_sound_on_a_shelf(self) -> "BookOrder":
        if self.layout == "audiobookshelf" and len(set(self.formats) & set(SOUND_FORMATS)) != 1:
            raise ValueError("Audiobookshelf takes one kind of audio file: choose one")
        return self


class DubOrder(Asked):
    """A dub to be made. Without a voice those of the video's speakers are cut from it."""

    kind: Literal["dub"] = "dub"
    subtitles: Identifier
    video: Identifier | None = None
    voice: VoiceChoice | None = None
    mode: DubMode = "dub"
    loudness: DubMastered = "ebu"
    language: str = Field(default="", max_length=35)
    consent: bool = Field(default=False, description="needed where voices are cut from the video")
    model: str = Field(default="", max_length=64)
    seed: int = Field(default=0, ge=0, lt=2**31)


Order = Annotated[BookOrder | DubOrder, Field(discriminator="kind")]


class Estimate(BaseModel):
    """How long it will be, and how long making it takes on this machine; without `measured` its
    speed is only assumed, for nothing was made here before."""

    words: int
    spoken_seconds: float
    work_seconds: float
    measured: bool


class PreviewRequest(Asked):
    """A sentence of a book or of subtitles (`upload`) in a voice; "" takes one from the text."""

    upload: Identifier
    voice: VoiceChoice
    text: str = Field(default="", max_length=300)
    language: str = Field(default="", max_length=35)
    model: str = Field(default="", max_length=64)


class Preview(BaseModel):
    text: str
    audio: str = Field(description="URL of a WAV file")
    seconds: float


class ChapterProgress(BaseModel):
    number: int
    title: str
    done: float = Field(ge=0, le=1)


class Progress(BaseModel):
    stage: str
    done: float | None = Field(description="0 to 1 of the stage; None while nobody knows")
    seconds_left: float | None = Field(description="until all is done, as far as is known")
    chapters: list[ChapterProgress]


class Job(BaseModel):
    """A book or dub that is made, or is to be made again after changes.

    `listenable`: there is something to hear, even while it is being made again.
    `changes`: edits since it was made last; resuming brings them in.
    """

    id: Identifier
    kind: Literal["book", "dub"]
    title: str
    state: JobState
    order: Order
    added: float = Field(description="Unix time, seconds")
    queued: float = Field(description="when it was queued last")
    finished: float | None
    progress: Progress | None
    error: str
    listenable: bool
    changes: int


class Suspect(BaseModel):
    """A line worth listening to, and why."""

    place: Place
    text: str
    start: float = Field(description="seconds from the beginning of the book")
    reason: str


class ListenChapter(BaseModel):
    number: int = Field(description="from 1; 0 and above the last: credits")
    title: str
    seconds: float
    start: float = Field(description="seconds from the beginning of the book")
    audio: str = Field(description='URL, supports Range; "" while it is being made')
    suspects: int


class Listening(BaseModel):
    """What the player needs: the chapters; their lines come one chapter at a time."""

    title: str
    authors: list[str]
    language: str
    voice: str
    seconds: float
    chapters: list[ListenChapter]
    suspects: list[Suspect]
    voices: list[str] = Field(description="that a line may be given to: the cast's and registered")


class Word(BaseModel):
    """The characters `first` to before `last` of the line's text, heard from `start` to `end`."""

    first: int
    last: int
    start: float = Field(description="seconds in the chapter")
    end: float


class ListenLine(BaseModel):
    """What is spoken at once. `block` counts the chapter's paragraphs (-1: not printed there)."""

    place: Place
    text: str = Field(description="plain text, never markup")
    block: int
    kind: str = Field(description="paragraph, heading, verse or note")
    start: float
    end: float
    words: list[Word]
    speaker: str = Field(description='"" is the narrator')
    pause_after: float = Field(description="seconds")
    reason: str = Field(description='why it may be worth listening to, or ""')
    redone: bool


class ChapterText(BaseModel):
    number: int
    title: str
    lines: list[ListenLine]


class Take(BaseModel):
    """A rendering of a line. The seed of the order is the first one."""

    seed: int
    chosen: bool
    problem: str
    seconds: float
    audio: str


class Takes(BaseModel):
    place: Place
    text: str
    takes: list[Take]


class TakeChoice(Asked):
    seed: int = Field(ge=0, lt=2**31)


class LineEdit(Asked):
    """What changes of a line, None is left as it is: who speaks ("" is the narrator), and the pause
    after it in seconds. `reset` takes back what was changed before."""

    speaker: str | None = Field(default=None, max_length=64)
    pause_after: float | None = Field(default=None, ge=0, le=10)
    reset: bool = False


class LexiconEntry(Asked):
    """How a word is spoken in this book; one of `say`, `phones` (ARPAbet) and `ipa`."""

    word: str = Field(min_length=1, max_length=100)
    say: str = Field(default="", max_length=100)
    phones: str = Field(default="", max_length=400)
    ipa: str = Field(default="", max_length=100)
    case: Literal["", "exact", "any"] = ""
    language: str = Field(default="", max_length=35)


class LexiconWord(Asked):
    word: str = Field(min_length=1, max_length=100)


class CastMember(BaseModel):
    speaker: str
    voice: str = Field(description='a registered voice; "" is the narrator')


class Download(BaseModel):
    """A file to take away; a folder of chapters comes as a zip. `format` is the file's ending."""

    name: str
    format: str
    bytes: int | None = Field(description="None for a zip, which is made while it is sent")
    url: str


class DubCue(BaseModel):
    """A subtitle and where its speech is heard; times in seconds from the beginning.

    `place` is the line that is spoken for it ("" where there is none), which may go over several
    subtitles; it was made from the seed `made`, and is from `seed` after the next rebuild."""

    number: int
    text: str
    speaker: str
    start: float
    end: float
    heard_start: float | None
    heard_end: float | None
    rate: float | None
    problem: str
    place: Place | Literal[""]
    made: int
    seed: int


class DubListening(BaseModel):
    """The dub's timeline; `video` is "" where there is none, `audio` is the mix or the voices.
    Browsers play the first sound of a video, which is the original's: show it muted beside `audio`.
    """

    title: str
    language: str
    seconds: float
    verdict: str
    seed: int = Field(description="of the order: that of a line's first take")
    cues: list[DubCue]
    audio: str
    video: str
    subtitles: str


class Limits(BaseModel):
    """What the page needs to know before anything is uploaded."""

    csrf: str = Field(description="for the header X-CSRF-Token")
    bytes: dict[UploadKind, int]
    accept: dict[UploadKind, list[str]]
    models: list[str] = Field(description='installed models besides the built-in one, ""')
    formats: list[Format]
    mastering: list[Mastered]
