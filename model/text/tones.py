"""Mandarin tone sandhi: how tones change in words (不, 一, third tones, neutral syllables, 儿).

Tones are 1 to 5 (5 is neutral), 0 for marks. The rules and the merging of words before them are
those of PaddleSpeech's front-end, which the GPT-SoVITS models were trained with; words with a
neutral last syllable are in misaki's copy of its list.
"""

from collections.abc import Callable, Sequence
from functools import cache, lru_cache

from model.text.optional import optional_module

Tagged = tuple[str, str]  # a word and jieba's part of speech
Tones = list[int]
ReadTones = Callable[[str], Sequence[int]]


@cache
def _neutral_words() -> tuple[frozenset[str], frozenset[str]]:
    """Words whose last syllable is neutral, and words that only look as if it were."""
    lists = optional_module("misaki.tone_sandhi", "chinese").ToneSandhi()
    neutral = frozenset(lists.must_neural_tone_words)
    # What the models were trained with has some more and lacks some.
    neutral |= {"不在", "学生", "情形", "打点", "老太", "老头"}
    neutral -= {"别人", "将军", "戏弄"}
    return neutral, frozenset(lists.must_not_neural_tone_words)


# --- words that sound as one ----------------------------------------------------------------------


def merge_words(words: Sequence[Tagged], tones: ReadTones) -> list[Tagged]:
    """Words of a sentence with those joined that change each other's tones."""
    merged = _merge_bu(words)
    merged = _merge_yi(merged)
    merged = _merge_repeated(merged)
    merged = _merge_third_tones(merged, tones, lambda before, after: {*before, *after} == {3})
    merged = _merge_third_tones(merged, tones, lambda before, after: before[-1] == after[0] == 3)
    return _merge_er(merged)


def _merge_bu(words: Sequence[Tagged]) -> list[Tagged]:
    """不 joins the word behind it."""
    merged: list[Tagged] = []
    waiting = ""
    for word, kind in words:
        joined = waiting + word
        waiting = "" if joined != "不" else joined
        if not waiting:
            merged.append((joined, kind))
    return [*merged, ("不", "d")] if waiting else merged


def _merge_yi(words: Sequence[Tagged]) -> list[Tagged]:
    """一 joins the same verb on both sides (看一看), else the word behind it."""
    paired: list[Tagged] = []
    at = 0
    while at < len(words):
        after = words[at + 1] if at + 1 < len(words) else ("", "")
        if words[at][0] == "一" and paired and paired[-1] == after and after[1] == "v":
            paired[-1] = (f"{after[0]}一{after[0]}", "v")
            at += 2
        else:
            paired.append(words[at])
            at += 1
    merged: list[Tagged] = []
    for word, kind in paired:
        if merged and merged[-1][0] == "一":
            merged[-1] = ("一" + word, merged[-1][1])
        else:
            merged.append((word, kind))
    return merged


def _merge_repeated(words: Sequence[Tagged]) -> list[Tagged]:
    merged: list[Tagged] = []
    for word, kind in words:
        if merged and merged[-1][0] == word:
            merged[-1] = (word + word, merged[-1][1])
        else:
            merged.append((word, kind))
    return merged


def _merge_third_tones(
    words: Sequence[Tagged],
    read: ReadTones,
    meet: Callable[[Sequence[int], Sequence[int]], bool],
) -> list[Tagged]:
    """Two words of at most three characters whose third tones `meet` become one."""
    tones = [read(word) for word, _ in words]
    merged: list[Tagged] = []
    just_merged = False
    for place, (word, kind) in enumerate(words):
        before = words[place - 1][0] if place else ""
        repeated = len(before) == 2 and before[0] == before[1]  # its second syllable is neutral
        short = not repeated and len(before) + len(word) <= 3
        if place and not just_merged and short and meet(tones[place - 1], tones[place]):
            merged[-1] = (merged[-1][0] + word, merged[-1][1])
            just_merged = True
        else:
            merged.append((word, kind))
            just_merged = False
    return merged


def _merge_er(words: Sequence[Tagged]) -> list[Tagged]:
    merged: list[Tagged] = []
    for word, kind in words:
        if word == "儿" and merged:
            merged[-1] = (merged[-1][0] + word, merged[-1][1])
        else:
            merged.append((word, kind))
    return merged


# --- tones in a word ------------------------------------------------------------------------------


def sandhi(word: str, kind: str, tones: Sequence[int]) -> Tones:
    """Tones of the word's characters as they are spoken."""
    changed = list(tones)
    _bu(word, changed)
    _yi(word, changed)
    _neutral(word, kind, changed)
    _third(word, changed)
    return changed


def _bu(word: str, tones: Tones) -> None:
    if len(word) == 3 and word[1] == "不":  # 看不懂
        tones[1] = 5
        return
    for place, character in enumerate(word[:-1]):
        if character == "不" and tones[place + 1] == 4:  # 不怕
            tones[place] = 2


def _yi(word: str, tones: Tones) -> None:
    others = word.replace("一", "")
    if "一" not in word or all(character.isnumeric() for character in others):
        return
    if len(word) == 3 and word[1] == "一" and word[0] == word[2]:  # 看一看
        tones[1] = 5
    elif word.startswith("第一"):
        tones[1] = 1
    else:
        for place, character in enumerate(word[:-1]):
            if character == "一" and tones[place + 1]:  # 一段, 一天; before a mark it stays
                tones[place] = 2 if tones[place + 1] == 4 else 4


_PARTICLES = frozenset("吧呢哈啊呐噻嘛吖嗨哦哒额滴哩哟喽啰耶喔诶的地得")
_DIRECTIONS = frozenset("上下进出回过起开")


def _neutral(word: str, kind: str, tones: Tones) -> None:
    neutral, not_neutral = _neutral_words()
    if word not in not_neutral and kind[:1] in {"n", "v", "a"}:  # 奶奶, 试试
        for place in range(1, len(word)):
            if word[place] == word[place - 1]:
                tones[place] = 5
    ge = word.find("个")
    last = word[-1]
    longer = len(word) > 1
    if (
        last in _PARTICLES
        or (word in {"了", "着", "过"} and kind in {"ul", "uz", "ug"})
        or (longer and last in "们子" and kind in {"r", "n"} and word not in not_neutral)
        or (longer and last in "上下里" and kind in {"s", "l", "f"})
        or (longer and last in "来去" and word[-2] in _DIRECTIONS)
    ):
        tones[-1] = 5
    elif word == "个" or (ge > 0 and (word[ge - 1].isnumeric() or word[ge - 1] in _BEFORE_GE)):
        tones[ge] = 5
    elif word in neutral or word[-2:] in neutral:
        tones[-1] = 5
    start = 0
    for part in _halves(word):
        start += len(part)
        if part in neutral or part[-2:] in neutral:
            tones[start - 1] = 5


_BEFORE_GE = frozenset("几有两半多各整每做是")


def _third(word: str, tones: Tones) -> None:
    """Of third tones in a row, all but the last of a rhythmic group become second tones."""
    if len(word) == 2:
        _raise_pair(tones, 0)
    elif len(word) == 3:
        first = len(_halves(word)[0])
        if tones == [3, 3, 3]:  # 蒙古|包, 纸|老虎
            tones[:2] = [2, 2] if first == 2 else [tones[0], 2] if first == 1 else tones[:2]
        elif first == 2:  # 所有|人
            _raise_pair(tones, 0)
        elif first == 1:
            _raise_pair(tones, 1 if tones[1] == tones[2] == 3 else 0)  # 好|喜欢
    elif len(word) == 4:
        _raise_pair(tones, 0)
        _raise_pair(tones, 2)


def _raise_pair(tones: Tones, at: int) -> None:
    if tones[at] == tones[at + 1] == 3:
        tones[at] = 2


@lru_cache(1 << 16)
def _halves(word: str) -> tuple[str, str]:
    """The word in two parts, one of which is the shortest word in it."""
    found = optional_module("jieba", "chinese").cut_for_search(word)
    shortest = min(found, key=len)
    if word.startswith(shortest):
        return shortest, word[len(shortest) :]
    return word[: -len(shortest)], shortest


# --- 儿 -------------------------------------------------------------------------------------------

# Words in which 儿 is a child or a syllable of its own and not a sound of the one before it.
_FULL_ER = frozenset(
    "虐儿 为儿 护儿 瞒儿 救儿 替儿 有儿 一儿 我儿 俺儿 妻儿 拐儿 聋儿 乞儿 患儿 幼儿 孤儿 婴儿 "  # noqa: SIM905
    "婴幼儿 连体儿 脑瘫儿 流浪儿 体弱儿 混血儿 蜜雪儿 舫儿 祖儿 美儿 应采儿 可儿 侄儿 孙儿 侄孙儿 "
    "女儿 男儿 红孩儿 花儿 虫儿 马儿 鸟儿 猪儿 猫儿 狗儿 少儿".split()
)
_SURELY_ERHUA = frozenset(
    {"小院儿", "胡同儿", "范儿", "老汉儿", "撒欢儿", "寻老礼儿", "妥妥儿", "媳妇儿"}
)


def erhua(word: str, kind: str, tones: Tones) -> None:
    """A last 儿 that belongs to the syllable before takes its tone."""
    if not word.endswith("儿"):
        return
    if tones[-1] == 1:
        tones[-1] = 2
    full = word in _FULL_ER or kind in {"a", "j", "nr"}
    if (full and word not in _SURELY_ERHUA) or word[-2:] in _FULL_ER or len(word) == 1:
        return
    if tones[-1] in {2, 5}:
        tones[-1] = tones[-2]
