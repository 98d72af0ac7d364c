"""What of subtitles is speech, and who says it; the rest are sounds, songs, signs, credits."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tasks.dub_types import SubtitleCue
from tasks.subtitle_formats import RawCue
from tasks.subtitle_labels import COLON, Evidence, collect, tidy
from tasks.subtitle_sounds import is_credit, is_sound, why_of_style

# Who answers in a cue of two dashes, neither of them named; a cast may give them a voice.
OTHER = "second speaker"
# The first and last cues, where subtitles name their makers.
EDGE = 3
# A sentence that goes on within this time is said by who began it.
CONTINUES_MS = 1000
# A song between an opening note and a closing one, in other cues, is not longer.
SONG_CUES, SONG_MS = 6, 30_000
_FURTHEST_BRACKET = 400

_DASH = re.compile(r"[ \t]*(?:(?P<chevron>>{2,3})|[-‐‑–—−―－])[ \t]*")
_DASH_WITHIN = re.compile(
    r"(?<=[.!?…。！？\"”'’\])])[ \t]+[-–—][ \t]*(?=[^\W\d_])|[ \t]+(?=>{2,3}[ \t])"
)
_NOTE = "♩♪♫♬𝄞🎵🎶"
_NOTES = re.compile(f"[{_NOTE}](?:[ \\t~〜～]*[{_NOTE}])*[ \\t~〜～]*")
# The BBC's sign for songs.
_HASHES = re.compile(r"^[ \t]*#(?:[ \t]+(?!\d)([^#]*?)[ \t]*#?|([^#\d][^#]*)#)[ \t]*$")
_OPENERS = {"[": "]", "［": "］", "【": "】", "{": "}", "(": ")", "（": "）"}
_ROUND = {"(", "（"}
_GROUP = re.compile(
    r"\[(?P<a>[^\[\]]*)\]|［(?P<b>[^［］]*)］|【(?P<c>[^【】]*)】|\{(?P<d>[^{}]*)\}"
    r"|(?P<round>\((?P<e>(?:[^()]|\([^()]*\))*)\)|（(?P<f>[^（）]*)）)"
)
_EMPHASIS = re.compile(r"(?<![\w*])([*_]{1,2})(?=\S)([^*_\n]{1,80})(?<=\S)\1(?![\w*])")
_ANGLES = re.compile(r"<([^\W\d_][^<>\n]{0,80})>")
# What programs that tell speakers apart write, whatever brackets they use.
_SPEAKER_TAG = re.compile(
    r"[\[(<{]((?i:speaker|spk|spkr)[ _-]?\w{1,4})[\])>}][ \t]*:?[ \t]*"
    r"|((?i:speaker|spk|spkr)[ _-]?\d{1,3})[ \t]*(?:$|:(?=\s))[ \t]*"
)
_CJK = r"\u2e80-\u2fdf\u3005-\u30ff\u3400-\u9fff\uf900-\ufaff\uff01-\uff9f\U00020000-\U0003ffff"
_IS_CJK = re.compile(f"[{_CJK}]")
_CJK_BREAK = re.compile(f"(?<=[{_CJK}…])\n(?=[{_CJK}…])|(?<=[^\\W\\d_]-)\n(?=[^\\W\\d_A-Z])")
_READING = re.compile(r"(?<=[\u3400-\u9fff々])[(（][\u3041-\u30ffー]{1,20}[)）]")
_PERSON = re.compile(r"\b(?:I|I'm|I’m|I'll|I've|you|you're|we|we're|my|your|our|me|us)\b")
_SENTENCE_END = re.compile(r"[.!?…。！？．｡؟۔।:\u2014][\"'”’»)\]」』]*$")
_FINAL = re.compile(r"[.!?。！？．｡؟۔।][\"'”’»)\]」』]*$")
_COMMA = re.compile(r"[,、，،;；:\-–—…]$|\.\.\.$")
_GONE = "\x00"
_GONE_BEFORE_SIGN = re.compile(f"[ \\t]*{_GONE}[ \\t]*(?=[,.!?;:…，。！？])")
_LEADING_SIGNS = re.compile(r"^(?:[\s:;,*•~〜～|/_=-]|[–—―－]|[.!?](?![.!?]))+")
_STRAY = re.compile(r"[\[\]［］【】{}]|\|")


@dataclass(frozen=True)
class _Turn:
    """What one person says within a cue; `dashed` where a dash or chevron begins it."""

    speaker: str
    text: str
    shown: str
    why: str = ""
    dashed: bool = False


def spoken(cues: Sequence[RawCue]) -> list[SubtitleCue]:
    """The speech of cues with plain text, who says it, and why the rest is none; in the order of
    the cues' times.

    A cue in which people take turns becomes one for each, which share its time by the lengths of
    what they say.
    """
    cues = _closed(cues)
    evidence = collect(_evidence_lines(cues), _known_names(cues))
    styles = _speaking_styles(cues)
    songs = _songs(cues)
    titles = _titles(cues)
    spelled: dict[str, str] = {}
    found: list[SubtitleCue] = []
    by_number = sorted(cue.number for cue in cues)
    edges = {*by_number[:EDGE], *by_number[-EDGE:]}
    for place, cue in enumerate(cues):
        why = cue.why or why_of_style(cue.style) or ("sung" if place in songs else "")
        if not why and is_credit(cue.text, cue.number in edges):
            why = "credits"
        if why or not cue.text:
            turns = [_Turn(cue.speaker, "", cue.text, why or "empty")]
        else:
            who = cue.speaker or (cue.style if cue.style in styles else "")
            turns = _turns(cue, who, evidence, titles)
        turns = [replace(one, speaker=_one_spelling(one.speaker, spelled)) for one in turns]
        found += _timed(cue, turns, found)
    return [replace(cue, index=index) for index, cue in enumerate(_in_order(found))]


def _in_order(cues: list[SubtitleCue]) -> list[SubtitleCue]:
    return sorted(cues, key=lambda cue: cue.start_ms)


def _one_spelling(name: str, spelled: dict[str, str]) -> str:
    """A speaker's name as it was first spelled."""
    name = tidy(name)
    return spelled.setdefault(name.casefold(), name)


def _timed(
    cue: RawCue, turns: Sequence[_Turn], before: Sequence[SubtitleCue]
) -> Iterator[SubtitleCue]:
    """A cue's turns with their shares of its time; what is no speech is shown with the rest."""
    spoken_turns = [turn for turn in turns if turn.text]
    if not spoken_turns:
        why = next((turn.why for turn in turns if turn.why), "no words")
        who = next((turn.speaker for turn in turns if turn.speaker), "")
        yield SubtitleCue(0, cue.start_ms, cue.end_ms, "", cue.text, who, cue.number, why)
        return
    shown: list[list[str]] = [[] for _ in spoken_turns]
    place = 0
    for turn in turns:
        shown[max(0, place - (0 if turn.text else 1))].append(turn.shown)
        place += bool(turn.text)
    total = sum(len(turn.text) for turn in spoken_turns)
    said, last = 0, before[-1] if before else None
    for turn, lines in zip(spoken_turns, shown, strict=True):
        begin = cue.start_ms + (cue.end_ms - cue.start_ms) * said // total
        said += len(turn.text)
        end = cue.start_ms + (cue.end_ms - cue.start_ms) * said // total
        speaker = turn.speaker
        if not speaker and not turn.dashed and last and _goes_on(last, begin, turn.text):
            speaker = last.speaker
        last = SubtitleCue(0, begin, end, turn.text, "\n".join(lines), speaker, cue.number)
        yield last


def _goes_on(before: SubtitleCue, start_ms: int, text: str) -> bool:
    """Whether a cue without a name goes on with the sentence of the one before."""
    if not before.text or not -CONTINUES_MS < start_ms - before.end_ms <= CONTINUES_MS:
        return False
    if _COMMA.search(before.text) and not text[0].isupper():
        return True
    small = text[0].islower() or bool(re.match(r"(?:I\b|\.\.\.|…)", text))
    return small and not _FINAL.search(before.text.removesuffix("..."))


def _turns(cue: RawCue, who: str, evidence: Evidence, titles: set[str]) -> list[_Turn]:
    """Who says what in a cue."""
    turns: list[_Turn] = []
    for speaker, text in cue.voices or ((who, cue.text),):
        for dashed, lines in _dashed(_brackets_in_lines(text)):
            turns += _labelled(lines, speaker, dashed, evidence, titles)
    named: list[_Turn] = []
    before = None
    for turn in turns:
        if turn.text:
            if turn.dashed and not turn.speaker and before == "":
                turn = replace(turn, speaker=OTHER)
            before = turn.speaker
        named.append(turn)
    return named


def _dashed(text: str) -> list[tuple[bool, list[str]]]:
    """The lines of a text by the dashes and chevrons that begin them."""
    lines = [line for line in text.split("\n") if line.strip()]
    several = sum(bool(_DASH.match(line)) for line in lines) > 1
    groups: list[tuple[bool, list[str]]] = []
    for line in lines:
        dash = _DASH.match(line)
        rest = line[dash.end() :] if dash else line
        # A number below zero, and a sentence that goes on.
        number = dash and rest[:1].isdigit() and dash[0].strip() in {"-", "−"} and not several
        going_on = dash and not dash["chevron"] and dash[0].strip() in "–—―" and rest[:1].islower()
        if not dash or number or (going_on and not several):
            if groups:
                groups[-1][1].append(line)
            else:
                groups.append((False, [line]))
            continue
        for part in _DASH_WITHIN.split(rest):
            bare = _DASH.match(part)
            groups.append((True, [part[bare.end() :] if bare else part]))
    # Chevrons may stand within a line that none begins.
    split: list[tuple[bool, list[str]]] = []
    for dashed, group in groups:
        begun: list[tuple[bool, list[str]]] = [(dashed, [])]
        for line in group:
            first, *others = re.split(r"[ \t]+>{2,3}[ \t]+", line)
            begun[-1][1].append(first)
            begun += [(True, [other]) for other in others]
        split += begun
    return split


def _labelled(
    lines: Sequence[str], speaker: str, dashed: bool, evidence: Evidence, titles: set[str]
) -> list[_Turn]:
    """Lines without their labels, sounds and songs, cut where a label names somebody else."""
    kept_lines, sung = _without_songs(lines)
    parts: list[tuple[str, list[str], list[str]]] = [(speaker, [], [])]
    named = heard = False
    for line, shown in zip(kept_lines, lines, strict=True):
        rest = line.strip()
        if rest in titles:
            rest = ""
        while rest:
            group = _GROUP.match(rest)
            label = _inner(group) if group else ""
            colon = COLON.match(rest)
            tag = _SPEAKER_TAG.match(rest)
            if tag:
                after, name = rest[tag.end() :], tag[1] or tag[2]
            elif group and evidence.is_name(label):
                after = rest[group.end() :].lstrip().removeprefix(":").removeprefix("：").lstrip()
                name = label
            elif colon and evidence.is_name(colon["name"]):
                after, name = rest[colon.end() :], colon["name"]
            elif group and not _is_said(group, rest, evidence, _open(parts)):
                heard, rest = True, rest[group.end() :].lstrip(" \t:：")
                continue
            else:
                break
            named, rest = True, after
            if any(parts[-1][1]):
                parts.append((name, [], []))
            else:
                parts[-1] = name, [], parts[-1][2]
        clean, removed = _without_sounds(rest, evidence, _open(parts))
        heard = heard or removed
        parts[-1][1].append(clean)
        parts[-1][2].append(shown)
    turns = []
    for number, (name, said, shown_lines) in enumerate(parts):
        text = _one_line(said, evidence)
        why = ""
        if not text:
            why = "sung" if sung else "a sound" if heard else "a speaker's name" if named else ""
            why = why or ("a sign" if any(line.strip() in titles for line in lines) else "no words")
            if any(mark in "".join(lines) for mark in _NOTE) and not sung:
                why = "music"
        first = dashed and number == 0
        turns.append(_Turn(name, text, "\n".join(shown_lines), why, first))
    return turns


def _open(parts: Sequence[tuple[str, list[str], list[str]]]) -> bool:
    """Whether the lines before end within a sentence."""
    said = [line for line in parts[-1][1] if line.strip()]
    return bool(said) and not _SENTENCE_END.search(said[-1].strip())


def _inner(group: re.Match[str]) -> str:
    return next((group[name] for name in "abcdef" if group[name] is not None), "").strip()


def _is_said(group: re.Match[str], line: str, evidence: Evidence, within: bool = False) -> bool:
    """Whether what stands in brackets is speech.

    Square ones, and round ones that fill a line, hold sounds, unless they hold a sentence; round
    ones beside words hold sounds if they say so, else something said by the way. `within`: the
    lines before end within a sentence.
    """
    inner = _inner(group)
    if not any(map(str.isalnum, inner)) or is_sound(inner):
        return False
    before, after = line[: group.start()].strip(), line[group.end() :].strip()
    alone = not before and not any(map(str.isalnum, after))
    if alone and _is_sentence(inner):
        return True
    if not group["round"]:
        # What an editor put into a sentence, and signs within a word.
        small = inner.islower() and len(inner.split()) < 3 and after[:1].islower()
        inserted = small and bool(before) and not _SENTENCE_END.search(before)
        return inserted or bool(re.search(r"\w$", line[: group.start()]) and len(inner) < 4)
    if alone:
        return within and inner[:1].islower() and len(inner.split()) > 1
    if _IS_CJK.search(inner):
        return bool(before)
    if not before:
        return not inner.isupper() and not (evidence.round_sounds and len(inner.split()) < 4)
    if not after:
        return not (evidence.round_sounds and inner[:1].islower() and len(inner.split()) < 4)
    return True


def _is_sentence(text: str) -> bool:
    """Whether it looks like a whole sentence that somebody says."""
    ends = bool(re.search(r"[.!?…。！？][\"'”’»」』]?$", text))
    if _IS_CJK.search(text):
        return ends and len(text) > 3
    words = text.split()
    return len(words) > 2 and not text.isupper() and (ends or bool(_PERSON.search(text)))


def _without_sounds(line: str, evidence: Evidence, within: bool) -> tuple[str, bool]:
    """A line without the brackets that hold no speech; and whether there were any.

    `within`: the lines before end within a sentence.
    """
    line = _READING.sub("", line)
    removed = False

    def drop(group: re.Match[str]) -> str:
        nonlocal removed
        if _is_said(group, line, evidence, within):
            return group[0] if group["round"] else f" {_inner(group)} "
        removed = True
        return _GONE

    def drop_marked(match: re.Match[str]) -> str:
        nonlocal removed
        inner = match[match.lastindex or 0]
        if is_sound(inner) and len(inner.split()) < 5:
            removed = True
            return _GONE
        return inner

    line = _GROUP.sub(drop, line)
    line = _ANGLES.sub(drop_marked, _EMPHASIS.sub(drop_marked, line))
    bare = line.replace(_GONE, "").strip()
    if (
        bare.isupper()
        and not evidence.mostly_capitals
        and len(bare.split()) < 6
        and not re.search(r"[.!?,…\"]", bare)
        and is_sound(bare)
    ):
        return "", True
    return line, removed


def _one_line(lines: Sequence[str], evidence: Evidence) -> str:
    """What is said, in one line; "" where there is no word in it."""
    text = "\n".join(line.strip() for line in lines if line.strip(f" \t{_GONE}"))
    text = _CJK_BREAK.sub("", text)
    text = _GONE_BEFORE_SIGN.sub("", text).replace(_GONE, " ")
    text = " ".join(_STRAY.sub("", text).split())
    text = _LEADING_SIGNS.sub("", text) if not re.match(r"[-−]\d", text) else text
    return text if any(map(str.isalnum, text)) else ""


def _without_songs(lines: Sequence[str]) -> tuple[list[str], bool]:
    """Lines without what stands between notes, or after one; and whether something is sung."""
    hashed = [_HASHES.sub(lambda match: f"♪{match[1] or match[2]}♪", line) for line in lines]
    kept = list(hashed)
    sung = opened = False
    for place, line in enumerate(hashed):
        notes = list(_NOTES.finditer(line))
        if not notes:
            if opened:
                sung, kept[place] = True, ""
            continue
        before, after = line[: notes[0].start()].strip(), line[notes[-1].end() :].strip()
        if len(notes) > 1:
            opened = bool(after) and not before and notes[-1].start() == 0
            between = line[notes[0].end() : notes[-1].start()]
            sung = sung or any(map(str.isalnum, between))
            kept[place] = f"{before} {after}"
        elif not before and not after:
            kept[place] = ""
        elif not after:
            # It ends a song that began above, or in a cue before.
            for above in range(place, -1, -1):
                if above < place and (not kept[above] or _NOTES.search(hashed[above])):
                    break
                kept[above] = ""
            sung, opened = True, False
        else:
            kept[place] = before
            sung = opened = True
    return kept, sung


def _brackets_in_lines(text: str) -> str:
    """Text in which no bracket is cut by the end of a line."""
    found = list(text)
    stack: list[tuple[str, int]] = []
    for place, character in enumerate(text):
        if character in _OPENERS:
            stack.append((character, place))
        elif stack and character == _OPENERS[stack[-1][0]]:
            _, begin = stack.pop()
            if place - begin <= _FURTHEST_BRACKET:
                for inner in range(begin, place):
                    if found[inner] == "\n":
                        found[inner] = " "
    return "".join(found)


def _closed(cues: Sequence[RawCue]) -> list[RawCue]:
    """Cues in which a bracket that goes on in the next cue is closed and opened again."""
    closed = list(cues)
    for place in range(len(cues) - 1):
        text, after = closed[place].text, cues[place + 1].text
        opens = text.rfind("[") > text.rfind("]")
        end, begin = after.find("]"), after.find("[")
        if opens and end >= 0 and not 0 <= begin < end:
            closed[place] = replace(closed[place], text=f"{text}]")
            closed[place + 1] = replace(cues[place + 1], text=f"[{after}")
    return closed


def _songs(cues: Sequence[RawCue]) -> set[int]:
    """The places of cues without notes between one that opens a song and one that closes it."""
    found: set[int] = set()
    opened: int | None = None
    for place, cue in enumerate(cues):
        notes = list(_NOTES.finditer(cue.text))
        if not notes:
            continue
        opens = len(notes) == 1 and not cue.text[: notes[0].start()].strip()
        closes = len(notes) == 1 and not cue.text[notes[0].end() :].strip() and not opens
        near = opened is not None and place - opened <= SONG_CUES
        if closes and near and cue.start_ms - cues[opened or 0].end_ms <= SONG_MS:
            found.update(range((opened or 0) + 1, place))
        lone = opens and not cue.text[notes[0].end() :].strip()
        opened = place if opens and not lone else None
    return found


def _titles(cues: Sequence[RawCue]) -> set[str]:
    """Lines of spaced letters that stand in several cues: a title on the screen."""
    lines = Counter(
        line.strip()
        for cue in cues
        for line in cue.text.split("\n")
        if re.fullmatch(r"\s*(?:[^\W_]\s){4,}[^\W_]\s*", line) and line.upper() == line
    )
    return {line for line, count in lines.items() if count > 1}


def _evidence_lines(cues: Sequence[RawCue]) -> Iterator[str]:
    for cue in cues:
        if not cue.why:
            for _, lines in _dashed(_brackets_in_lines(cue.text)):
                yield from (line.strip() for line in lines)


def _known_names(cues: Sequence[RawCue]) -> set[str]:
    names = {cue.speaker for cue in cues}
    return names | {speaker for cue in cues for speaker, _ in cue.voices}


_GENERIC_STYLE = re.compile(
    r"default|main|dialog|regular|normal|standard|body|subtitle|\bsubs?\b|italic|bold|\btop\b|bottom"
    r"|\balt|flash|internal|thought|inner|overlap|style|copy|\d|white|yellow|cyan|green|blue|red"
    r"|arial|tahoma|verdana|calibri|roboto|sans|serif|font|text|caption",
    re.I,
)


def _speaking_styles(cues: Sequence[RawCue]) -> set[str]:
    """The styles of an ASS file that are named after speakers: several, and no actors at all."""
    if any(cue.speaker for cue in cues):
        return set()
    names = {cue.style for cue in cues if not cue.why and not why_of_style(cue.style)}
    found = {
        name
        for name in names
        if re.fullmatch(r"[^\W\d_][\w .'’-]{1,23}", name)
        and name[0].isupper()
        and not _GENERIC_STYLE.search(name)
    }
    return found if len(found) > 1 else set()
