"""The inventories are the checkpoints' own, symbol by symbol."""

import json
from pathlib import Path

import pytest

from model.text import SYMBOLS, phone_ids


@pytest.mark.parametrize(("version", "count"), [("v1", 322), ("v2", 732)])
def test_inventory_is_the_official_one(shared: Path, version: str, count: int) -> None:
    official = json.loads((shared / f"parity/text/symbols_{version}.json").read_text("utf-8"))
    assert list(SYMBOLS[version]) == official
    assert len(set(official)) == count


def test_known_ids() -> None:
    assert phone_ids(["!", ",", "-", ".", "?"]) == [0, 1, 2, 3, 4]
    assert phone_ids(["SP", "UNK", "_", "…"]) == [77, 86, 95, 321]
    assert phone_ids(["[", "]"]) == [322, 323]


def test_symbols_that_an_inventory_lacks_become_unk() -> None:
    assert phone_ids(["["], "v1") == [86]
    assert phone_ids(["no such phone"]) == [86]


def test_another_version_is_an_error() -> None:
    with pytest.raises(ValueError, match="v9"):
        phone_ids(["."], "v9")


def test_ids_of_the_reference_cases(shared: Path) -> None:
    for name in ("g2p_en", "g2p_ja", "g2p_ko", "g2p_yue", "g2p_zh"):
        for case in json.loads((shared / f"parity/text/{name}.json").read_text("utf-8")):
            assert phone_ids(case["phones"]) == case["ids_v2"], (name, case["text"])
