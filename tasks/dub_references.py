"""Voice samples for a dub, cut from the video: the cleanest seconds of each of its speakers."""

import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import IO

import numpy as np

from configs.errors import UserError
from storage.keys import hash_bytes
from tasks.audio_in import check_file
from tasks.beside import disk_error, write_bytes
from tasks.cleaning import fault, measure
from tasks.clips import ANOTHER_VOICE, LEAST_LIKENESS, likeness
from tasks.dub_types import RATE, SubtitleCue, Subtitles
from tasks.ffmpeg import SOUND_FORMATS, FfmpegError, input_arguments, run_ffmpeg
from tasks.names import file_stem
from tasks.reference import FRAME_SECONDS, speech_probabilities
from tasks.slicing import SHORTEST_SECONDS as SHORTEST_CLIP
from tasks.slicing import slices
from tasks.takes import dequantize, encode_flac, quantize

# Of a sample; a little more than what a voice sample must have, since pauses do not count there.
LEAST_SECONDS, LONGEST_SECONDS = 3.5, 10.0
ENOUGH_SECONDS = 5.0  # more clips are added up to this
_LONGEST_STRETCH_MS = 10_000
_TOGETHER_MS = 800  # cues of one speaker that are so near belong to one stretch
_APART_MS = 100  # from what anybody else says, and from sounds
_MOST_STRETCHES = 20  # of a speaker, the longest ones
_FADE_SECONDS = 0.01
_LARGEST = 1 << 40  # bytes of a video
_TIMEOUT = 4 * 3600.0
_LONGEST_MS = 24 * 3600 * 1000


@dataclass(frozen=True)
class SpeakerSample:
    """What was cut for a speaker: a FLAC file of so many seconds from these cues; no `path` where
    there is nothing that would do, and `why_not` says why, or what is doubtful about the sample."""

    speaker: str
    path: Path | None
    seconds: float
    cues: tuple[int, ...]
    why_not: str


@dataclass(frozen=True)
class Stretch:
    """Where one speaker alone is heard, as far as the subtitles tell."""

    speaker: str
    start_ms: int
    end_ms: int
    cues: tuple[int, ...]


@dataclass(frozen=True)
class _Clip:
    """Speech of a stretch, (samples,) float32 at `RATE`, how clean it is, or why it is not to be
    used."""

    stretch: Stretch
    audio: np.ndarray
    snr_db: float
    why_not: str
    vector: tuple[float, ...] = ()

    @property
    def seconds(self) -> float:
        return len(self.audio) / RATE


def cut_samples(
    source: Path,
    subtitles: Subtitles,
    speakers: Iterable[str],
    folder: Path,
    voice_vector: Callable[[np.ndarray, int], np.ndarray],
    on_fraction: Callable[[float], None] = lambda fraction: None,
) -> list[SpeakerSample]:
    """A sample of each of the speakers, in order, as FLAC files in `folder`.

    `source` is a video or sound file, in whose language the subtitles need not be. Clips lie in
    cues of that speaker, at whose time the subtitles have nobody else and no sounds, and have been
    found clean (tasks/cleaning.py) and of one person, as `voice_vector(audio, rate)` hears it. The
    cleanest come first, until there are 5 s of them, at most 10. The same input gives the same
    bytes. Of the film's sound, only what may be used is kept, on the disk, and one speaker's in
    memory. Raises UserError where the file has no sound that can be read.
    """
    check_file(source, _LARGEST)
    wanted = list(dict.fromkeys(speakers))
    alone = stretches_alone(subtitles.cues)
    stretches = sorted(
        (one for speaker in wanted for one in _longest(alone.get(speaker, []))),
        key=lambda one: one.start_ms,
    )
    bounds = [(_sample_at(one.start_ms), _sample_at(one.end_ms)) for one in stretches]
    places = list(accumulate((last - first for first, last in bounds), initial=0))
    samples = []
    with tempfile.TemporaryDirectory(prefix="voxloom-") as temporary:
        sound = Path(temporary) / "stretches.s16"
        _decode(source, bounds, sound, lambda fraction: on_fraction(fraction / 2))
        for number, speaker in enumerate(wanted):
            clips = [
                _clip(stretch, _read(sound, place, last - first), voice_vector)
                for stretch, place, (first, last) in zip(stretches, places, bounds, strict=False)
                if stretch.speaker == speaker
            ]
            samples.append(_sample(speaker, clips, folder))
            on_fraction(0.5 + (number + 1) / len(wanted) / 2)
    return samples


def stretches_alone(cues: Sequence[SubtitleCue]) -> dict[str, list[Stretch]]:
    """Where each speaker alone is heard for long enough. Of cues without a name nobody knows
    whether they are one person's, so that each stands alone; where two people share a cue, nobody
    knows when which of them speaks."""
    shared = {number for number, count in Counter(cue.number for cue in cues).items() if count > 1}
    groups: list[list[SubtitleCue]] = []
    for cue in cues:
        last = groups[-1][-1] if groups else None
        if (
            last
            and cue.text
            and last.text
            and cue.speaker == last.speaker != ""
            and shared.isdisjoint((cue.number, last.number) if cue.number else ())
            and 0 <= cue.start_ms - last.end_ms <= _TOGETHER_MS
            and cue.end_ms - groups[-1][0].start_ms <= _LONGEST_STRETCH_MS
        ):
            groups[-1].append(cue)
        else:
            groups.append([cue])
    found: dict[str, list[Stretch]] = {}
    free_ms = 0  # from here on, nothing that came before is heard
    for number, group in enumerate(groups):
        following = groups[number + 1][0].start_ms if number + 1 < len(groups) else _LONGEST_MS
        start = max(group[0].start_ms, free_ms)
        end = min(group[-1].end_ms, following - _APART_MS, start + _LONGEST_STRETCH_MS, _LONGEST_MS)
        free_ms = max(free_ms, max(cue.end_ms for cue in group) + _APART_MS)
        spoken = group[0].text and not (group[0].number and group[0].number in shared)
        if spoken and end - start >= 1000 * SHORTEST_CLIP:
            numbers = tuple(cue.index for cue in group)
            speaker = group[0].speaker
            found.setdefault(speaker, []).append(Stretch(speaker, start, end, numbers))
    return found


def _longest(stretches: Iterable[Stretch]) -> list[Stretch]:
    return sorted(stretches, key=lambda one: one.start_ms - one.end_ms)[:_MOST_STRETCHES]


def _sample_at(ms: int) -> int:
    return ms * RATE // 1000


def _decode(
    source: Path,
    bounds: Sequence[tuple[int, int]],
    target: Path,
    on_fraction: Callable[[float], None],
) -> None:
    """Writes the samples (from, to) of a file's first sound, mono at `RATE`, one after the other,
    16 bits each; what the file does not have is missing at the end."""
    if not bounds:
        target.touch()
        return
    seconds = bounds[-1][1] / RATE
    try:
        with target.open("wb") as file:
            taker = _Taker(bounds, file, on_fraction)
            run_ffmpeg(
                [
                    *input_arguments(source, SOUND_FORMATS),
                    *("-map", "0:a:0", "-vn", "-sn", "-dn", "-t", f"{seconds:.3f}"),
                    # Sound that begins later than the picture begins with silence.
                    *("-af", f"aresample={RATE}:async=1:first_pts=0", "-ac", "1"),
                    *("-f", "s16le", "-c:a", "pcm_s16le", "pipe:1"),
                ],
                timeout=_TIMEOUT,
                on_output=taker.take,
            )
    except OSError as error:
        raise disk_error(error, target) from error
    except FfmpegError as error:
        raise UserError(
            f"{source} has no sound that can be read ({error}): give the speakers voices of their "
            "own in the cast file."
        ) from error
    if taker.error:
        raise disk_error(taker.error, target) from taker.error


class _Taker:
    """Writes stretches of the samples that come by into a file."""

    def __init__(
        self,
        bounds: Sequence[tuple[int, int]],
        file: IO[bytes],
        on_fraction: Callable[[float], None],
    ) -> None:
        self.error: OSError | None = None  # it is raised in another thread
        self._bounds = deque((2 * first, 2 * last) for first, last in bounds)
        self._end = 2 * bounds[-1][1]
        self._file = file
        self._on_fraction = on_fraction
        self._at = 0  # bytes that came by

    def take(self, data: bytes) -> None:
        end = self._at + len(data)
        while self._bounds and self._bounds[0][0] < end:
            first, last = self._bounds[0]
            try:
                self._file.write(data[max(0, first - self._at) : last - self._at])
            except OSError as error:
                self.error = error
                self._bounds.clear()
                break
            if last > end:
                break
            self._bounds.popleft()
        self._at = end
        self._on_fraction(min(1.0, end / self._end))


def _read(target: Path, place: int, samples: int) -> np.ndarray:
    """So many samples (samples,) int16 of a file, or as many as there are, from a place on."""
    return np.fromfile(target, "<i2", samples, offset=2 * place)


def _clip(
    stretch: Stretch, pcm: np.ndarray, voice_vector: Callable[[np.ndarray, int], np.ndarray]
) -> _Clip:
    """The speech of a stretch, without long pauses, and how clean it is."""
    audio = dequantize(pcm)
    likely = speech_probabilities(audio, RATE) if audio.size else np.zeros(0)
    spoken = slices(likely)
    if not spoken:
        return _Clip(stretch, audio[:0], 0.0, "hardly any speech")
    kept = _together([audio[round(start * RATE) : round(stop * RATE)] for start, stop in spoken])
    kept -= kept.mean(dtype=np.float64)
    heard = [likely[int(a / FRAME_SECONDS) : round(b / FRAME_SECONDS)] for a, b in spoken]
    clean = measure(kept, RATE, np.concatenate(heard))
    why_not = fault(clean)
    vector = () if why_not else tuple(voice_vector(kept, RATE).tolist())
    return _Clip(stretch, kept, clean.snr_db, why_not, vector)


def _sample(speaker: str, clips: Sequence[_Clip], folder: Path) -> SpeakerSample:
    """The sample of a speaker, from the cleanest of the clips."""
    usable = [clip for clip in clips if not clip.why_not]
    dropped = Counter(clip.why_not for clip in clips if clip.why_not)
    alike = likeness([clip.vector for clip in usable])
    dropped[ANOTHER_VOICE] += sum(like < LEAST_LIKENESS for like in alike)
    same = [clip for clip, like in zip(usable, alike, strict=True) if like >= LEAST_LIKENESS]
    chosen: list[_Clip] = []
    seconds = 0.0
    for clip in sorted(same, key=lambda clip: (-clip.snr_db, clip.stretch.start_ms)):
        if seconds < ENOUGH_SECONDS and seconds + clip.seconds <= LONGEST_SECONDS:
            chosen.append(clip)
            seconds += clip.seconds
    chosen.sort(key=lambda clip: clip.stretch.start_ms)
    cues = tuple(cue for clip in chosen for cue in clip.stretch.cues)
    if not clips:
        why_not = f"nowhere is this speaker heard alone for {SHORTEST_CLIP:.0f} s"
    elif seconds < ENOUGH_SECONDS:
        left = ", ".join(f"{count} {why}" for why, count in dropped.most_common() if count)
        why_not = f"only {seconds:.1f} s of clean speech in {len(clips)} stretches" + (
            f" ({left})" if left else ""
        )
    else:
        why_not = ""
    if seconds < LEAST_SECONDS:
        return SpeakerSample(speaker, None, round(seconds, 2), cues, why_not)
    named = hash_bytes(speaker.encode())[:8]  # two names may make the same file's name
    path = folder / f"{file_stem(speaker, 'speaker')}-{named}.flac"
    write_bytes(path, encode_flac(quantize(_together([clip.audio for clip in chosen])), RATE))
    return SpeakerSample(speaker, path, round(seconds, 2), cues, why_not)


def _together(clips: Sequence[np.ndarray]) -> np.ndarray:
    """Clips (samples,) one after the other, faded in and out."""
    fade = round(_FADE_SECONDS * RATE)
    ramp = np.linspace(0.0, 1.0, fade, dtype=np.float32)
    faded = []
    for clip in clips:
        one = clip.astype(np.float32)
        one[:fade] *= ramp[: one.size]
        one[-fade:] *= ramp[::-1][-one.size :]
        faded.append(one)
    return np.concatenate(faded)
