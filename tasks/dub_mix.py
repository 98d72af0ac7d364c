"""Mix of a dubbed track: the voices together, the original ducked under them, one loudness."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from configs.errors import UserError
from configs.presets import DubbingPreset, DubMode
from tasks.beside import written_beside
from tasks.dub_stems import (
    BLOCK,
    SYNTHETIC,
    Clip,
    Cut,
    Interval,
    Stem,
    collected,
    flac_arguments,
    merged,
    voice_blocks,
    write_stems,
)
from tasks.dub_types import RATE
from tasks.ffmpeg import FfmpegError, input_arguments, run_ffmpeg
from tasks.levels import amplitude
from tasks.master import (
    Mastering,
    Progress,
    book_gain,
    integrated_loudness,
    limiting_filter,
    loudness_filter,
    number_in,
    read_loudness,
)

# The layouts of a FLAC file by its number of channels, as RFC 9639 (9.1.3) numbers them, and how
# much of a voice each channel gets: in the middle, with the same power in all layouts.
_HALF = float(np.sqrt(0.5))
LAYOUTS = {
    1: ("mono", (1.0,)),
    2: ("stereo", (_HALF, _HALF)),
    3: ("3.0", (0.0, 0.0, 1.0)),
    4: ("quad", (_HALF, _HALF, 0.0, 0.0)),
    5: ("5.0", (0.0, 0.0, 1.0, 0.0, 0.0)),
    6: ("5.1", (0.0, 0.0, 1.0, 0.0, 0.0, 0.0)),
    7: ("6.1", (0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0)),
    8: ("7.1", (0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)),
}

# The original gets at most so much louder or quieter, so that mere noise stays noise.
_MOST_BED_GAIN_DB = 12.0
# Talk that is quieter than this under the whole original is hardly talk: music without words.
_TALK_BELOW_DB = 10.0
_MOST_GAIN_DB = 30.0
_NEAR_ENOUGH_LU = 0.1
_TRIES = 3
# The 400 ms blocks of BS.1770 begin 100 ms apart.
_HOP, _WINDOW = RATE // 10, 4 * RATE // 10


@dataclass(frozen=True)
class Programme:
    """A finished sound file of exactly `samples` samples of the grid: its loudness as the preset
    measures it, over all of it, its true peak, and the gain that it got."""

    path: Path
    samples: int
    channels: int
    lufs: float
    programme_lufs: float
    true_peak_db: float
    gain_db: float


@dataclass(frozen=True)
class Dub:
    """The dubbed voices: all together, a file for each speaker, where somebody is heard, and what
    of the clips lies outside the track."""

    programme: Programme
    stems: tuple[Stem, ...]
    sounding: tuple[Interval, ...]
    cut: tuple[Cut, ...]


@dataclass(frozen=True)
class _Sound:
    """Something that can be played again and again in blocks (samples, channels) float32."""

    blocks: Callable[[], Iterator[np.ndarray]]
    samples: int
    channels: int
    sounding: Sequence[Interval]  # where somebody speaks


def write_dub(
    clips: Iterable[Clip],
    samples: int,
    folder: Path,
    preset: DubbingPreset,
    on_progress: Progress | None = None,
) -> Dub:
    """Writes `dub.flac`, the voices alone, and `stems/`, a file per speaker, into `folder`.

    `clips` are `(first sample on the grid, mono float32 at RATE, speaker)`; they are added where
    they overlap, whatever their order. All files are mono 24-bit FLAC of exactly `samples` samples.
    The stems are at the preset's loudness, measured on speech; their sum is limited in `dub.flac`.
    Memory does not grow with the length. Raises `UserError` where the disk or ffmpeg fails.
    """
    report = on_progress or (lambda done: None)
    with collected(clips, samples, folder) as voices:
        stems = write_stems(
            voices, preset.loudness, folder / "stems", lambda done: report(0.5 * done)
        )
        gains = {stem.speaker: stem.gain_db for stem in stems}

        def blocks() -> Iterator[np.ndarray]:
            return (block[:, None] for block in voice_blocks(voices, gains))

        sound = _Sound(blocks, samples, 1, voices.sounding)
        programme = _write_programme(
            sound, folder / "dub.flac", preset, lambda done: report(0.5 + 0.5 * done)
        )
        return Dub(programme, tuple(stems), voices.sounding, voices.cut)


def write_mix(
    dub: Dub,
    original: Path,
    out: Path,
    preset: DubbingPreset,
    mode: DubMode,
    spoken: Sequence[Interval] = (),
    voice_removed: bool = False,
    on_progress: Progress | None = None,
) -> Programme:
    """Writes the voices over the original sound, a 24-bit FLAC with the original's channels.

    `original` is a FLAC file at RATE, as `tasks.dub_video.extract_audio` writes it; where it ends
    before the dub there is silence. Under speech it goes down by the preset's gain of the `mode`,
    in time before it begins; in the modes `dub` and `free` also where the original's people speak,
    `spoken` (samples, from and to before), so that nobody is heard finishing a sentence in the
    other language. With `voice_removed` the original holds no speech and stays as loud as it is.
    The voice comes from the middle. Raises `UserError` where a file is broken or can't be written.
    """
    report = on_progress or (lambda done: None)
    samples = dub.programme.samples
    channels = _channels(original)
    lowered = [*dub.sounding, *(spoken if mode != "voice-over" else ())]
    under = 0.0 if voice_removed else preset.under(mode)
    xs, ys = duck_curve(lowered, under, preset)
    talk = merged(spoken or dub.sounding, 0)
    bed = amplitude(bed_gain(_momentary_of_file(original), talk, preset.loudness))
    report(0.1)
    pan = np.array(LAYOUTS[channels][1], np.float32)

    def blocks() -> Iterator[np.ndarray]:
        begin = 0
        with _opened(original) as music, _opened(dub.programme.path) as voices:
            while begin < samples:
                size = min(BLOCK, samples - begin)
                duck = np.interp(np.arange(begin, begin + size), xs, ys)
                gain = (bed * 10.0 ** (duck / 20.0)).astype(np.float32)
                sound = _read(music, original, size) * gain[:, None]
                yield sound + _read(voices, dub.programme.path, size) * pan
                begin += size

    sound = _Sound(blocks, samples, channels, dub.sounding)
    return _write_programme(sound, out, preset, lambda done: report(0.1 + 0.9 * done))


def duck_curve(
    sounding: Iterable[Interval], under_db: float, preset: DubbingPreset
) -> tuple[np.ndarray, np.ndarray]:
    """The gain of the original as a line through points: samples of the grid, and dB.

    It is down from the first sound to the last, falls before and rises after; pauses that are too
    short for that, or under `hold`, leave it down.
    """
    attack, release = round(preset.attack * RATE), round(preset.release * RATE)
    gap = max(round(preset.hold * RATE), attack + release)
    xs, ys = [-attack - 1], [0.0]
    for start, end in merged(sounding, gap):
        xs += [start - attack, start, end, end + release]
        ys += [0.0, under_db, under_db, 0.0]
    return np.array(xs), np.array(ys)


def bed_gain(momentary: np.ndarray, talk: Sequence[Interval], target_lufs: float) -> float:
    """The gain in dB that brings the original's talk, and so its music and noises, to where the
    dubbed voices are. `momentary` is the original's loudness (blocks,), `talk` where its people
    speak; where that is hardly louder than silence the original as a whole counts."""
    whole = integrated_loudness(momentary)
    said = integrated_loudness(momentary[where_spoken(momentary.size, talk)])
    loudness = max(said, whole - _TALK_BELOW_DB)
    if loudness == float("-inf"):
        return 0.0
    return max(-_MOST_BED_GAIN_DB, min(_MOST_BED_GAIN_DB, book_gain(loudness, target_lufs)))


def where_spoken(blocks: int, sounding: Sequence[Interval]) -> np.ndarray:
    """Which of the 400 ms blocks of BS.1770 hold speech for half of their time (blocks,) bool;
    `sounding` is in order and does not overlap."""
    if not sounding:
        return np.zeros(blocks, bool)
    bounds = np.array(sounding).reshape(-1)
    lengths = np.diff(bounds)
    lengths[1::2] = 0  # the pauses
    heard = np.concatenate([[0], np.cumsum(lengths)])
    starts = np.arange(blocks) * _HOP
    within = np.interp(starts + _WINDOW, bounds, heard) - np.interp(starts, bounds, heard)
    return within >= _WINDOW / 2


def _write_programme(
    sound: _Sound, out: Path, preset: DubbingPreset, on_progress: Progress
) -> Programme:
    """Brings a sound to the preset's loudness by one gain, with a limiter, and writes it.

    What was written is measured; where the limiter took too much it is written again, louder.
    """

    def loudness(momentary: np.ndarray) -> float:
        if preset.measured == "dialogue":
            momentary = momentary[where_spoken(momentary.size, sound.sounding)]
        return integrated_loudness(momentary)

    before, _ = _played(sound, 0.0, lambda done: on_progress(done / 2))
    gain = book_gain(loudness(before), preset.loudness)
    limiter = limiting_filter(Mastering(preset.loudness, preset.peak_db, 0.0), RATE, RATE)
    # The way to four times the rate and back must not change the length.
    exact = f"{limiter},apad=whole_len={sound.samples},atrim=end_sample={sound.samples}"
    with written_beside(out) as part:
        reached = 0.0  # writing again does not go back
        for _ in range(_TRIES):

            def report(done: float) -> None:
                nonlocal reached
                reached = max(reached, done)
                on_progress(0.5 + reached / 2)

            momentary, peak = _played(sound, gain, report, exact, part)
            missing = preset.loudness - loudness(momentary)
            if not _NEAR_ENOUGH_LU < missing < _MOST_GAIN_DB - gain:
                break
            gain = round(gain + missing, 2)
        written = soundfile.info(part)
        if (written.frames, written.channels) != (sound.samples, sound.channels):
            raise UserError(f"{out} came out with another length: run the same command again.")
    return Programme(
        out,
        sound.samples,
        sound.channels,
        loudness(momentary),
        integrated_loudness(momentary),
        peak,
        gain,
    )


def _played(
    sound: _Sound,
    gain_db: float,
    on_progress: Progress,
    chain: str = "anull",
    to: Path | None = None,
) -> tuple[np.ndarray, float]:
    """Plays a sound with a gain through ffmpeg's filters, into a FLAC file where there is one, and
    measures what comes out: LUFS of each 400 ms, and the true peak (only of a file)."""
    layout = LAYOUTS[sound.channels][0]
    source = ["-f", "f32le", "-ar", str(RATE), "-ch_layout", layout, "-i", "pipe:0"]
    with tempfile.TemporaryDirectory(prefix="voxloom-") as folder:
        listing = Path(folder) / "momentary.txt"
        meter = loudness_filter("M", listing, "true" if to else "none")
        # The meter plays on what it hears at another rate.
        filters = f"{chain},asplit[heard][kept];[kept]{meter},anullsink;[heard]anull[out]"
        target = flac_arguments(to, *SYNTHETIC) if to else ["-f", "null", "-"]
        try:
            said = run_ffmpeg(
                [*source, "-filter_complex", f"[0:a]{filters}", "-map", "[out]", *target],
                feed=_fed(sound, gain_db, on_progress),
            )
        except FfmpegError as error:
            raise UserError(
                f"The dubbed sound could not be mixed (ffmpeg: {error}): run the same command "
                "again; what is finished is kept."
            ) from error
        momentary = read_loudness(listing)[3:]
    peak = number_in(r"True peak:\s+Peak:\s+(\S+) dBFS", said) if to else float("-inf")
    return momentary, peak


def _fed(sound: _Sound, gain_db: float, on_progress: Progress) -> Iterator[bytes]:
    gain, done = np.float32(amplitude(gain_db)), 0
    for block in sound.blocks():
        yield (block * gain).astype("<f4", copy=False).tobytes()
        done += len(block)
        on_progress(min(1.0, done / sound.samples))


def _momentary_of_file(path: Path) -> np.ndarray:
    with tempfile.TemporaryDirectory(prefix="voxloom-") as folder:
        listing = Path(folder) / "momentary.txt"
        try:
            run_ffmpeg(
                [
                    *input_arguments(path, "flac"),
                    *("-af", loudness_filter("M", listing), "-f", "null", "-"),
                ]
            )
        except FfmpegError as error:
            raise _broken(path) from error
        return read_loudness(listing)[3:]


def _opened(path: Path) -> soundfile.SoundFile:
    try:
        return soundfile.SoundFile(path)
    except soundfile.LibsndfileError as error:
        raise _broken(path) from error


def _channels(path: Path) -> int:
    with _opened(path) as sound:
        if sound.samplerate != RATE or sound.channels not in LAYOUTS:
            raise ValueError(f"{path} is not at {RATE} Hz with 1 to 8 channels but {sound}")
        channels: int = sound.channels
    return channels


def _read(file: soundfile.SoundFile, path: Path, samples: int) -> np.ndarray:
    """(samples, channels), silence where the file has ended."""
    try:
        block: np.ndarray = file.read(samples, dtype="float32", always_2d=True, fill_value=0.0)
    except soundfile.LibsndfileError as error:
        raise _broken(path) from error
    return block


def _broken(path: Path) -> UserError:
    return UserError(
        f"The sound file {path} is missing or broken: delete it and run the same command again, "
        "which makes it anew."
    )
