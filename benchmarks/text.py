"""Does our text front-end read what GPT-SoVITS' front-end reads, except where that one is wrong?

`python -m benchmarks.text --cases DIR` runs every `g2p_*.json`, `cuts.json` and the inventories in
DIR. A difference counts as deliberate only where every word that differs is of a construct that
`text_rules` names with its reason; all other words must agree phone for phone.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.text_rules import RULES, cut_reason, excuse
from configs.errors import UserError
from model.text.conventions import for_checkpoints
from model.text.cuts import cut
from model.text.homographs import read_tagged
from model.text.symbols import SYMBOLS, phone_ids
from model.text.words import Word

Case = dict[str, Any]
Reader = Callable[[str], Sequence[Word]]

# case file -> module and function that read it
_READERS = {
    "g2p_en": ("english", "read_english"),
    "g2p_zh": ("chinese", "read_chinese"),
    "g2p_zh_v1": ("chinese", "read_chinese_v1"),
    "g2p_yue": ("cantonese", "read_cantonese"),
    "g2p_ja": ("japanese", "read_japanese"),
    "g2p_ko": ("korean", "read_korean"),
}
_HOMOGRAPHS = "g2p_en_homographs"


@dataclass(frozen=True)
class Outcome:
    """One case that ran; `reasons` say why a difference is deliberate, () if it isn't."""

    text: str
    expected: str
    got: str
    passed: bool
    reasons: tuple[str, ...] = ()


def _readings(name: str, cases: Sequence[Case]) -> Iterator[Outcome]:
    module, function = _READERS[name]
    read: Reader = getattr(importlib.import_module(f"model.text.{module}"), function)
    language = name.split("_")[1]
    version = "v1" if name.endswith("v1") else "v2"
    for case in cases:
        words = for_checkpoints(read(case["text"]))
        got = [phone for word in words for phone in word.phones]
        expected: list[str] = case["phones"]
        passed = got == expected and phone_ids(got, version) == case[f"ids_{version}"]
        reasons = () if passed else excuse(words, case["text"], expected, RULES[language])
        yield Outcome(case["text"], " ".join(expected), " ".join(got), passed, reasons)


def _homographs(cases: Sequence[Case]) -> Iterator[Outcome]:
    """The frame is read as ever, the word by the tag that the case dictates."""
    from model.text.english import read_english

    for case in cases:
        got = [
            phone
            for word in read_english(case["text"])
            for phone in (
                read_tagged(case["word"], case["tag"])
                if word.printed == case["word"]
                else word.phones
            )
        ]
        label = f"{case['text']} ({case['tag']})"
        yield Outcome(label, " ".join(case["phones"]), " ".join(got), got == case["phones"])


def _cuts(cases: Sequence[Case]) -> Iterator[Outcome]:
    for case in cases:
        text, method = case["text"], case["method"]
        got = cut(text, method)
        expected = [piece for piece in case["pieces"] if piece] if "pieces" in case else None
        passed = got == expected
        reason = "" if passed else cut_reason(text, method)
        shown = case.get("error", "") if expected is None else " | ".join(expected)
        label = f"{method}: {text}"
        yield Outcome(label, shown, " | ".join(got), passed, (reason,) if reason else ())


def _inventory(version: str, symbols: Sequence[str]) -> Outcome:
    ours = list(SYMBOLS[version])
    wrong = [f"{i}: {a}" for i, (a, b) in enumerate(zip(symbols, ours, strict=False)) if a != b]
    expected = f"{len(symbols)} symbols"
    return Outcome(f"symbols {version}", expected, " ".join(wrong) or f"{len(ours)} symbols",
                   ours == list(symbols))  # fmt: skip


def outcomes(path: Path) -> list[Outcome]:
    """What became of each case of a file.

    Raises UserError for a file of another kind and where an optional extra is missing.
    """
    name = path.stem
    try:
        cases = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} can't be read as cases: {error}") from error
    if name in _READERS:
        return list(_readings(name, cases))
    if name == _HOMOGRAPHS:
        return list(_homographs(cases))
    if name == "cuts":
        return list(_cuts(cases))
    if name.startswith("symbols_"):
        return [_inventory(name.removeprefix("symbols_"), cases)]
    raise UserError(f"{path} holds no kind of cases that is known: it is left out of {_known()}")


def _known() -> str:
    return ", ".join([*_READERS, _HOMOGRAPHS, "cuts", *(f"symbols_{v}" for v in SYMBOLS)])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases of a folder; 1 if a difference has no reason."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.text", description=__doc__)
    parser.add_argument("--cases", type=Path, required=True, help="folder with g2p_*.json")
    folder: Path = parser.parse_args(arguments).cases
    paths = sorted([*folder.glob("symbols_v*.json"), *folder.glob("g2p_*.json")])
    paths += [path for path in [folder / "cuts.json"] if path.exists()]
    if not paths:
        print(f"no g2p_*.json or cuts.json in {folder}", file=sys.stderr)
        return 1
    found: dict[str, list[Outcome]] = {}
    failed = False
    for path in paths:
        try:
            found[path.name] = outcomes(path)
        except UserError as error:
            print(f"{path.name}: {error}", file=sys.stderr)
            failed = True
    _print_table(found)
    for name, results in found.items():
        wrong = [result for result in results if not result.passed and not result.reasons]
        failed |= bool(wrong)
        _print_differences(f"{name}: differences", wrong)
    for name, results in found.items():
        deliberate = [result for result in results if not result.passed and result.reasons]
        _print_differences(f"{name}: deliberate differences", deliberate)
    return int(failed)


def _print_table(found: dict[str, list[Outcome]]) -> None:
    for name, results in found.items():
        passed = sum(result.passed for result in results)
        deliberate = sum(not result.passed and bool(result.reasons) for result in results)
        other = len(results) - passed - deliberate
        print(
            f"{name:24} {passed:4}/{len(results)} passed, "
            f"{deliberate} deliberate, {other} other differences"
        )


def _print_differences(title: str, results: Sequence[Outcome]) -> None:
    if not results:
        return
    print(f"\n{title}")
    for result in results:
        print(f"- {result.text!r}\n    expected {result.expected}\n    got      {result.got}")
        for reason in result.reasons:
            print(f"    because  {reason}")


if __name__ == "__main__":
    sys.exit(main())
