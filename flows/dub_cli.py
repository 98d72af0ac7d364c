"""`voxloom dub`: give a video, or a subtitle file alone, a dubbed track."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from configs.errors import UsageError
from flows.audiobook_cli import LexiconOption, OutOption
from flows.options import (
    ConfigOption,
    DebugOption,
    ModelOption,
    OnPoolOption,
    ProgressOption,
    SeedOption,
    TranscriptOption,
    asked_voice,
)
from flows.start import start, terminal

if TYPE_CHECKING:
    from configs.presets import DubMode
    from flows.dub_work import DubOrder

SubtitlesArgument = Annotated[
    Path,
    typer.Argument(
        metavar="SUBTITLES",
        help="SRT, WebVTT, ASS or SSA file, or a video with subtitles in it, which is dubbed then.",
        show_default=False,
    ),
]
DubVoiceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--voice",
        metavar="SAMPLE",
        help="The voice of all who have none in the cast file: a sample (3 s or more of clear "
        "speech) or a registered name; several are averaged. Without one, the voices of the "
        "video's own speakers are cut from it.",
        rich_help_panel="Voice",
    ),
]
VideoOption = Annotated[
    Path | None,
    typer.Option(
        "--video",
        metavar="FILE",
        help="The video (or its sound) that is dubbed; without one only the voices are made.",
        rich_help_panel="What",
    ),
]
LanguageOption = Annotated[
    str,
    typer.Option(
        "--language",
        metavar="TAG",
        help="The language of the subtitles, whatever the file says; en where nothing says.",
        rich_help_panel="What",
    ),
]
TrackOption = Annotated[
    int | None,
    typer.Option(
        "--subtitle-track",
        metavar="N",
        min=1,
        help="Which of a video's subtitles, from 1; by default that in the language.",
        rich_help_panel="What",
    ),
]
CastOption = Annotated[
    Path | None,
    typer.Option(
        "--cast",
        metavar="FILE",
        help="Who speaks in which voice; cast.yaml in the output folder by default, which the "
        "first run writes.",
        rich_help_panel="Voice",
    ),
]
ModeOption = Annotated[
    str,
    typer.Option(
        "--mode",
        metavar="NAME",
        help="dub; voice-over: a little later than the original, which is heard below; or free: "
        "never faster or slower than natural, with times of its own.",
        rich_help_panel="What",
    ),
]
LoudnessOption = Annotated[
    str,
    typer.Option(
        "--loudness",
        metavar="NAME",
        help="ebu (-23 LUFS) or streaming (-27 LUFS of speech); ebu by default.",
        rich_help_panel="What",
    ),
]
CandidatesOption = Annotated[
    int,
    typer.Option(
        "--candidates",
        min=1,
        max=16,
        help="How often a line that does not fit its subtitle is tried for one that fits better.",
        rich_help_panel="Voice",
    ),
]


def _mode(name: str) -> "DubMode":
    from configs.presets import DubMode

    if name not in get_args(DubMode):
        raise UsageError(f"--mode knows {', '.join(get_args(DubMode))}, but not {name!r}")
    mode: DubMode = name  # type: ignore[assignment]  # as was just seen
    return mode


def dub(
    subtitles: SubtitlesArgument,
    out: OutOption,
    voice: DubVoiceOption = None,
    video: VideoOption = None,
    language: LanguageOption = "",
    subtitle_track: TrackOption = None,
    mode: ModeOption = "dub",
    loudness: LoudnessOption = "",
    lexicon: LexiconOption = None,
    cast: CastOption = None,
    transcript: TranscriptOption = None,
    model: ModelOption = "",
    candidates: CandidatesOption = 4,
    seed: SeedOption = 0,
    config: ConfigOption = None,
    on_pool: OnPoolOption = False,
    progress_json: ProgressOption = False,
    debug: DebugOption = False,
) -> None:
    """Dub a video by its subtitles, or speak a subtitle file in time.

    Writes dub.flac (the voices), stems/ (a file per speaker), dub.LANGUAGE.srt with the times at
    which it is heard, and report.html and report.json with measurements; with a video also
    mix.flac (the original under the voices) and the video itself with the mix as a further track.
    cast.yaml names the speakers that the subtitles know: give them voices and run it again.

    It may be stopped at any moment: run the same command again, and only what is missing is made.

    [bold]Examples[/]

    voxloom dub film.en.srt --voice me.wav --out dub/

    voxloom dub film.en.srt --voice ada --video film.mkv --out dub/ --loudness streaming
    """
    order = dub_order(
        subtitles,
        voice,
        out,
        video,
        language,
        subtitle_track,
        mode,
        loudness,
        lexicon,
        cast,
        transcript,
        model,
        candidates,
        seed,
        config,
    )
    from flows.progress import print_facts, spoken_time

    hears = print_facts if progress_json else None
    if on_pool:
        from flows.jobs import open_pool

        pool = open_pool(order.settings)
        from flows.on_pool import dub_on_pool

        made = dub_on_pool(pool, order, terminal(), hears)
    else:
        from flows.dub import make_dub
        from flows.work import engine_of

        made = make_dub(order, terminal(), engine_of(order.model), hears)
    terminal().print(f"[green]{made.paths[0]}[/]: {spoken_time(made.seconds)}")
    terminal().print(f"{made.verdict} {made.report} says more.")


def dub_order(
    subtitles: Path,
    voice: list[str] | None,
    out: Path,
    video: Path | None,
    language: str,
    track: int | None,
    mode: str,
    loudness: str,
    lexicon: Path | None,
    cast: Path | None,
    transcript: str | None,
    model: str,
    candidates: int,
    seed: int,
    config: Path | None,
) -> "DubOrder":
    """What the options ask for; what is wrong with them is told before anything else is done."""
    from configs.presets import load_dub_presets

    chosen_mode = _mode(mode)
    load_dub_presets(config, mastering=loudness)
    settings = start()
    from flows.dub_work import DubOrder
    from tasks.engines import choose_model

    chosen = choose_model(model, settings.models)
    return DubOrder(
        subtitles=subtitles,
        voice=asked_voice(voice, transcript) if voice else None,
        out=out,
        video=video,
        mode=chosen_mode,
        language=language,
        candidates=candidates,
        seed=seed,
        presets=load_dub_presets(config, chosen.official, loudness),
        settings=settings,
        model=chosen,
        cast=cast,
        track=track,
        lexicon=lexicon,
    )
