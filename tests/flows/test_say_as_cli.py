"""`voxloom say-as`: words come into the lexicon and go; what can't be spoken is refused."""

import pytest
from rich.console import Console

from configs.errors import UsageError
from configs.presets import load_presets
from flows.progress import RunProgress
from flows.work import Order, plan_book
from tasks.voices import AskedVoice
from tests.flows.test_cli import sentence


def test_a_word_comes_and_goes(voxloom, settings, tmp_path):
    assert voxloom("say-as", "--list").out == ""
    added = voxloom("say-as", "Hermione", "her-MY-oh-nee")
    assert (added.status, added.out) == (0, "Hermione: HH ER0 M AY1 OW0 N IY0\n")
    assert settings.lexicon.read_text() == "Hermione: her-MY-oh-nee\n"
    book = tmp_path / "book.yaml"
    own = ("--book", book)
    assert voxloom("say-as", "Weena", "--ipa", "ˈwiːnə", "--case", "exact", *own).status == 0
    assert book.read_text() == "Weena: {ipa: ˈwiːnə, case: exact}\n"
    assert voxloom("say-as", "--list", *own).out == "Weena: ˈwiːnə  W IY1 N AH0\n"
    assert voxloom("say-as", "Weena", "--remove", *own).status == 0
    assert voxloom("say-as", "--list", *own).out == ""
    assert "Hermione" in voxloom("say-as", "--list").out


@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        ([], 2, "which word"),
        (["Weena"], 2, "one of say, phones and ipa"),
        (["Weena", "''"], 2, "makes no sound"),
        (["Weena", "--ipa", "☃"], 2, "not IPA"),
        (["Weena", "--phones", "W IY N AH0"], 2, "'IY'"),
        (["Weena", "wee-nah", "--ipa", "ˈwiːnə"], 2, "one of say, phones and ipa"),
        (["Weena", "wee-nah", "--case", "no"], 2, "exact or any"),
        (["…", "wee-nah"], 2, "letter or a digit"),
        (["Weena", "--remove"], 1, "is not in"),
        (["Weena", "wee", "--remove"], 2, "leave out"),
        (["Weena", "--list"], 2, "--list"),
    ],
)
def test_what_can_not_be_said(voxloom, settings, command, status, words):
    ran = voxloom("say-as", *command)
    assert ran.status == status
    assert words in sentence(ran)
    assert not settings.lexicon.exists()


def test_the_lexicon_of_the_book_wins_over_that_of_all_books(settings, epub, sample, tmp_path):
    out = tmp_path / "out"

    def phones(lexicon=None) -> set[str]:
        order = Order(
            epub, AskedVoice((str(sample),)), out, "1", "", 0, load_presets(), settings,
            lexicon=lexicon,
        )  # fmt: skip
        plan = plan_book(order, RunProgress(Console(quiet=True), 100.0))
        return {" ".join(line.phones) for lines in plan.chapters.values() for line in lines}

    def heard(sound: str) -> bool:
        return any(sound in line for line in phones())

    plain = phones()
    word = "lamp"
    settings.home.mkdir(parents=True, exist_ok=True)
    settings.lexicon.write_text(f"{word}: ZHOY\n")
    assert heard("ZH OY1")
    out.mkdir(exist_ok=True)
    (out / "lexicon.yaml").write_text(f"{word}: {{ipa: ðɔɪ}}\n")
    assert heard("DH OY1")
    assert not heard("ZH OY1")
    assert len(phones() - plain) < len(plain)
    with pytest.raises(UsageError, match="absent"):
        phones(tmp_path / "absent.yaml")
