"""The text cases: how differences are counted, and that only named constructs are excused."""

import json
from pathlib import Path

import pytest

from benchmarks.text import main, outcomes
from benchmarks.text_rules import RULES, excuse
from configs.errors import UserError
from model.text import phone_ids, speak_text


def case(text: str, phones: str) -> dict[str, object]:
    listed = phones.split()
    return {"text": text, "phones": listed, "ids_v2": phone_ids(listed)}


def explained(text: str, phones: str) -> tuple[str, ...]:
    return excuse(speak_text(text).words, text, phones.split(), RULES["en"])


def test_a_named_construct_is_excused_and_only_that() -> None:
    right = "Y UW1 N OW1 , D OW1 N T G OW1 ."
    assert explained("You know, don’t go.", right.replace("D OW1 N T", "D AO1 N T"))
    assert not explained("You know, don’t go.", right.replace("G OW1", "K OW1"))
    assert not explained("You know, do go.", "Y UW1 N OW1 , D AH1 G OW1 .")


def test_reasons_are_the_needed_ones() -> None:
    reasons = explained("Don’t call Dr. No.", "D AO1 N T K AO1 L D AA1 K T ER0 N OW1 .")
    assert len(reasons) == 1
    assert "apostrophes" in reasons[0]


def test_table_and_exit_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = case("Hello there.", "HH AH0 L OW1 DH EH1 R .")
    (tmp_path / "g2p_en.json").write_text(json.dumps([good]), "utf-8")
    assert main(["--cases", str(tmp_path)]) == 0
    assert "1/1 passed" in capsys.readouterr().out
    wrong = case("Hello there.", "HH AH0 L OW1 DH EH1 R EH1 .")
    (tmp_path / "g2p_en.json").write_text(json.dumps([good, wrong]), "utf-8")
    assert main(["--cases", str(tmp_path)]) == 1
    assert "1/2 passed, 0 deliberate, 1 other" in capsys.readouterr().out


def test_empty_folder(tmp_path: Path) -> None:
    assert main(["--cases", str(tmp_path)]) == 1


def test_unknown_cases(tmp_path: Path) -> None:
    path = tmp_path / "g2p_xx.json"
    path.write_text("[]", "utf-8")
    with pytest.raises(UserError, match="g2p_xx"):
        outcomes(path)
    path.write_text("{", "utf-8")
    with pytest.raises(UserError, match="can't be read"):
        outcomes(path)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_inventories(shared: Path, version: str) -> None:
    assert all(o.passed for o in outcomes(shared / f"parity/text/symbols_{version}.json"))


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("g2p_en", "model"),
        ("g2p_en_homographs", "model"),
        ("cuts", "model"),
        ("g2p_ja", "pyopenjtalk"),
        ("g2p_ko", "mecab"),
    ],
)
def test_every_difference_has_a_reason(shared: Path, name: str, module: str) -> None:
    pytest.importorskip(module, reason="needs an optional extra")
    results = outcomes(shared / f"parity/text/{name}.json")
    assert [result.text for result in results if not result.passed and not result.reasons] == []
