"""Words that are spelled alike: the reading that the sentence asks for."""

import pytest

from model.text import speak_text
from model.text.homographs import read_tagged


@pytest.mark.parametrize(
    ("sentence", "word", "phones"),
    [
        ("I read the letter twice and then I tore it up.", "read", "R EH1 D"),
        ("You may read it if you like.", "read", "R IY1 D"),
        ("He had read it before.", "read", "R EH1 D"),
        ("They live in London.", "live", "L IH1 V"),
        ("It was a live fish.", "live", "L AY1 V"),
        ("He lives here.", "lives", "L IH1 V Z"),
        ("Nine lives were lost.", "lives", "L AY1 V Z"),
        ("The wind blew hard.", "wind", "W IH1 N D"),
        ("The road began to wind.", "wind", "W AY1 N D"),
        ("She shed a tear.", "tear", "T IH1 R"),
        ("Do not tear the paper.", "tear", "T EH1 R"),
        ("He stood close to me.", "close", "K L OW1 S"),
        ("Close the door.", "Close", "K L OW1 Z"),
        ("What is the use of it?", "use", "Y UW1 S"),
        ("I use it often.", "use", "Y UW1 Z"),
        ("I used to go there.", "used", "Y UW1 S T"),
        ("I used it.", "used", "Y UW1 Z D"),
        ("The wound was deep.", "wound", "W UW1 N D"),
        ("He wound the clock.", "wound", "W AW1 N D"),
        ("They would not refuse.", "refuse", "R IH0 F Y UW1 Z"),
        ("We were content with it.", "content", "K AH0 N T EH1 N T"),
        ("The desert was dry.", "desert", "D EH1 Z ER0 T"),
        ("Do not desert me.", "desert", "D IH0 Z ER1 T"),
        ("I object to that.", "object", "AH0 B JH EH1 K T"),
        ("It was a strange object.", "object", "AA1 B JH EH0 K T"),
        ("The separate rooms were cold.", "separate", "S EH1 P ER0 IH0 T"),
        ("Nothing could separate them.", "separate", "S EH1 P ER0 EY2 T"),
        ("He took the lead.", "lead", "L IY1 D"),
        ("It was made of lead.", "lead", "L EH1 D"),
        ("He made a bow and left.", "bow", "B AW1"),
        ("with bow and arrows", "bow", "B OW1"),
        ("a learned man", "learned", "L ER1 N IH0 D"),
        ("She learned to swim.", "learned", "L ER1 N D"),
    ],
)
def test_reading(sentence: str, word: str, phones: str) -> None:
    spoken = next(found for found in speak_text(sentence).words if found.printed == word)
    assert " ".join(spoken.phones) == phones


@pytest.mark.parametrize(
    ("word", "tag", "phones"),
    [
        ("record", "VBP", "R IH0 K AO1 R D"),
        ("record", "NN", "R EH1 K ER0 D"),
        ("read", "VB", "R IY1 D"),
        ("read", "VBD", "R EH1 D"),
        ("complex", "JJ", "K AH0 M P L EH1 K S"),
        ("table", "NN", "T EY1 B AH0 L"),
    ],
)
def test_reading_of_a_dictated_tag(word: str, tag: str, phones: str) -> None:
    assert " ".join(read_tagged(word, tag)) == phones
