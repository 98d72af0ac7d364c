"""How printed text is read: the narrator's table, and what holds for any text."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.text import SYMBOLS, Spoken, speak_text
from model.text.marks import PAUSES

READINGS = [
    # Numbers
    ("There are 365 days.", "There are three hundred sixty five days."),
    ("30.5-31 of it", "thirty point five to thirty one of it"),
    ("The shelf holds 1,250 books.", "The shelf holds one thousand, two hundred fifty books."),
    ("Our galaxy may hold 100000000000 stars.", "Our galaxy may hold one hundred billion stars."),
    (
        "We need 2500 bricks and 1066 nails.",
        "We need twenty five hundred bricks and one thousand sixty six nails.",
    ),
    ("Pi is roughly 3.14159.", "Pi is roughly three point one four one five nine."),
    ("The ratio is .5 at best.", "The ratio is zero point five at best."),
    ("Agent 007", "Agent zero zero seven"),
    ("Take 9 - 4, not 6 × 7 = 42.", "Take nine minus four, not six times seven equals forty two."),
    ("It was -5 and −40 outside.", "It was minus five and minus forty outside."),
    ("The score was 3–1.", "The score was three to one."),
    ("Between 0–.5 per cent.", "Between zero to zero point five per cent."),
    (
        "Open 24/7, unit 4B, MP3 and H2O.",
        "Open twenty four seven, unit four B, M P three and H two O.",
    ),
    ("#1 and 2,000 leagues under the sea", "number one and two thousand leagues under the sea"),
    ("20% off, 3.5% at most", "twenty percent off, three point five percent at most"),
    # Years
    ("In 1984 and 2005.", "In nineteen eighty four and two thousand five."),
    ("from 1900 to 1901", "from nineteen hundred to nineteen oh one"),
    (
        "The 1990s, the ’70s and the mid-1980s",
        "The nineteen nineties, the seventies and the mid nineteen eighties",
    ),
    (
        "the war of 1914–18 and 1939-1945",
        "the war of nineteen fourteen to eighteen and nineteen thirty nine to nineteen forty five",
    ),
    ("A.D. 1066 and 55 B.C.", "A D ten sixty six and fifty five B C."),
    ("about 1500 men", "about fifteen hundred men"),
    ("the year 1815 was cold", "the year eighteen fifteen was cold"),
    ("Anno Domini MDCCCXVIII", "Anno Domini eighteen eighteen"),
    # Ordinals and dates
    ("He came 1st, 2nd, 3rd and 22d.", "He came first, second, third and twenty second."),
    ("the 21st chapter of the 100th day", "the twenty first chapter of the one hundredth day"),
    ("March 3, 1879", "March third, eighteen seventy nine"),
    ("July 4th, 1976", "July fourth, nineteen seventy six"),
    ("on 4 July 1776", "on the fourth of July seventeen seventy six"),
    ("Dec. 11th, 17—", "December eleventh, seventeen,"),
    ("Sept. 9 and Monday, January 15", "September ninth and Monday, January fifteenth"),
    ("2019-07-04", "July fourth, twenty nineteen"),
    ("12/25/1999", "December twenty fifth, nineteen ninety nine"),
    ("25.12.1999", "December twenty fifth, nineteen ninety nine"),
    # Times
    ("at 6:45 or 4:00", "at six forty five or four o'clock"),
    ("The train left at 10.15 p.m.", "The train left at ten fifteen P M."),
    ("It is 5 a.m. now.", "It is five A M now."),
    ("3am, 12:05, 19:00", "three A M, twelve oh five, nineteen hundred"),
    ("John 3:16 and Matthew 5:3-12", "John three sixteen and Matthew five three to twelve"),
    # Money
    ("$5, $1.01 and $0.50", "five dollars, one dollar and one cent and fifty cents"),
    ("£7.14 and £1", "seven pounds and fourteen pence and one pound"),
    ("It costs $1.5 million.", "It costs one point five million dollars."),
    ("$1,250,000", "one million, two hundred fifty thousand dollars"),
    ("He paid £5 10s. 6d. for it.", "He paid five pounds ten shillings six pence for it."),
    ("It cost 3s. 6d.", "It cost three shillings six pence."),
    ("€5.50 and ¥300", "five euros and fifty cents and three hundred yen"),
    ("32.3$ or 25¢", "thirty two dollars and thirty cents or twenty five cents"),
    ("“It’s £1m,” he said.", "It's one million pounds, he said."),
    # Units and fractions
    ("He ran 5km at 90 km/h.", "He ran five kilometers at ninety kilometers per hour."),
    ("23°C and 98.6°", "twenty three degrees celsius and ninety eight point six degrees"),
    ("at 45 mph", "at forty five miles per hour"),
    (
        "180 cm and 70kg, 10min.",
        "one hundred eighty centimeters and seventy kilograms, ten minutes.",
    ),
    ("5 ft. 6 in. tall", "five feet six inches tall"),
    ("He is 6'2\" tall.", "He is six feet two inches tall."),
    ("½ cup and 3½ miles", "one half cup and three and a half miles"),
    (
        "The '70s, his 30s, the 20s and 30s",
        "The seventies, his thirties, the twenties and thirties",
    ),
    ("It took 10s.", "It took ten seconds."),
    ("1. Wash it. 2. Boil it.", "first, Wash it. second, Boil it."),
    ("Chapter 12. The Storm", "Chapter twelve. The Storm"),
    ("1. The Storm", "one. The Storm"),
    ("version 1.0.2", "version one point zero point two"),
    ("50/50 and 24/7", "fifty fifty and twenty four seven"),
    ("￥50 or 50元", "fifty yen or fifty yuan"),
    ("WHO and UNICEF; WHO is he?", "W H O and UNICEF, WHO is he?"),
    ("the US, the IT crowd", "the U S, the I T crowd"),
    ("Ωmega and αlpha, α", "omega and alpha, alpha"),
    (
        "3/4 of it, 1/2 of that, 2 1/3 cups",
        "three fourths of it, one half of that, two and a third cups",
    ),
    ("2ndly, 3rdly", "secondly, thirdly"),
    # Roman numerals
    ("Chapter XIV", "Chapter fourteen"),
    ("CHAPTER I. DOWN THE RABBIT-HOLE", "CHAPTER one. DOWN THE RABBIT HOLE"),
    ("IV", "four"),
    ("XII. The Last Chapter", "twelve. The Last Chapter"),
    ("See Book IV, Chapter iii, p. 12.", "See Book four, Chapter three, page twelve."),
    ("Henry VIII and Louis XIV", "Henry the eighth and Louis the fourteenth"),
    ("World War II", "World War two"),
    ("I, Claudius", "I, Claudius"),
    # Abbreviations
    ("Mr. Darby met Mrs. Finch.", "Mister Darby met Missus Finch."),
    ("MR. AND MRS. BENNET", "Mister AND Missus BENNET"),
    ("Mr Smith and Dr Jones", "Mister Smith and Doctor Jones"),
    (
        "Dr. Lowell lives on Elm St. near St. John’s.",
        "Doctor Lowell lives on Elm Street near Saint John's.",
    ),
    ("St. Petersburgh", "Saint Petersburgh"),
    ("M. Krempe and Mme. Defarge", "Monsieur Krempe and Madame Defarge"),
    (
        "Prof. Moriarty, Capt. Nemo and Lt.-Col. Smith",
        "Professor Moriarty, Captain Nemo and Lieutenant Colonel Smith",
    ),
    ("fruit, e.g. apples, i.e. food", "fruit, for example apples, that is food"),
    ("paper, ink, etc.", "paper, ink, et cetera."),
    ("Messrs. Smith & Co. sold it.", "Messers Smith and Company sold it."),
    ("Cats vs. dogs", "Cats versus dogs"),
    ("No. 7 is vacant. No. I won’t.", "Number seven is vacant. No. I won't."),
    ("Vol. 3, No. 2, pp. 14-20", "Volume three, Number two, pages fourteen to twenty"),
    ("J. R. R. Tolkien and George R.R. Martin", "J R R Tolkien and George R R Martin"),
    ("Jekyll & Hyde, Esq., Jr.", "Jekyll and Hyde, Esquire, Junior."),
    # Capitals and letters
    ("NASA, the FBI and the U.S.A.", "NASA, the F B I and the U S A."),
    ("the FBI’s CDs", "the F B I's C D's"),
    ("STOP RIGHT THERE!", "STOP RIGHT THERE!"),
    ("It was VERY late.", "It was VERY late."),
    ("IT WAS the best of times", "IT WAS the best of times"),
    ("Plan B, vitamin C, an A", "Plan B, vitamin C, an A"),
    ("Ph.D. students at M.I.T.", "P H D students at M I T."),
    ("ChatGPT, the iPhone and McDonald", "ChatGPT, the iPhone and McDonald"),
    ("Who is WHO? I asked the BBC.", "Who is WHO? I asked the B B C."),
    # Words
    ("“Don’t!” she cried—“stop!”", "Don't! she cried, stop!"),
    ("’Tis true, give ’em the goin’ rate.", "'Tis true, give 'em the goin' rate."),
    ("He re-entered to-day, co-operating.", "He re entered today, cooperating."),
    ("My mother-in-law’s twenty-one-year-old", "My mother in law's twenty one year old"),
    ("the sailors’ song was ‘over’", "the sailors song was over"),
    ("naïve Brontë, Cæsar’s café", "naïve Brontë, Cæsar's café"),
    ("rock ’n’ roll", "rock 'n' roll"),
    # Marks
    ("Well . . . I don’t know…", "Well. I don't know."),
    ("No -- not that -- the other.", "No, not that, the other."),
    ("The door – a green one – creaked.", "The door, a green one, creaked."),
    ("One; two: three, four", "One, two, three, four"),
    ("(Who knew?) He (the man) went.", "Who knew? He, the man, went."),
    ("What?! Stop!!!", "What? Stop!"),
    ("the boy(s) said[12] so*", "the boy said so"),
    ("_emphasis_ and *stress*", "emphasis and stress"),
    # Symbols and addresses
    ("he/she and/or they @ home", "he or she and or they at home"),
    ("see https://www.example.org/a.", "see W W W dot example dot org slash A."),
    ("www.example.com²", "W W W dot example dot com"),
    ("mail bob.lee@example.com today", "mail bob dot lee at example dot com today"),
    ("α and π", "alpha and pi"),
    # Nothing to say
    ("Привет 小明", ""),
    ("🙂 *** …", ""),
]


def say(spoken: Spoken) -> str:
    """Spoken words and pauses as one line."""
    parts = [word.spoken or "".join(word.phones) for word in spoken.words]
    return re.sub(r" ([,.?!])", r"\1", " ".join(part for part in parts if part))


@pytest.mark.parametrize(("printed", "spoken"), READINGS, ids=[row[0] for row in READINGS])
def test_reading(printed: str, spoken: str) -> None:
    assert say(speak_text(printed)) == spoken


TRICKY = st.text(
    alphabet=st.sampled_from(
        "aAIVXxsSt .,;:!?'\"’“”-–—…()[]0123456789/$£%°½²&@#_*\u2060\u00a0é🙂бα\n"
    ),
    max_size=40,
)


@given(st.one_of(st.text(max_size=60), TRICKY))
def test_words_cover_every_printed_character(text: str) -> None:
    spoken = speak_text(text)
    assert spoken.text == text
    at = 0
    for word in spoken.words:
        assert not text[at : word.start].strip()
        assert at <= word.start < word.end
        assert word.printed == text[word.start : word.end]
        at = word.end
    assert not text[at:].strip()


@given(TRICKY)
def test_phones_are_symbols_and_marks_never_pile_up(text: str) -> None:
    spoken = speak_text(text)
    phones = spoken.phones
    assert set(phones) <= set(SYMBOLS["v2"])
    assert not phones or phones[0] not in PAUSES
    assert not any({left, right} <= PAUSES for left, right in itertools.pairwise(phones))
    assert spoken.is_silent == (not phones)
    assert all(word.phones for word in spoken.words if word.spoken)


@given(TRICKY)
def test_same_text_same_result(text: str) -> None:
    assert speak_text(text) == speak_text(text)


@pytest.mark.parametrize("text", ["", "   ", "…", "*** — ***", "🙂", "Привет", "小明。", "“”"])
def test_nothing_to_say_is_silent(text: str) -> None:
    assert speak_text(text).is_silent
    assert speak_text(text).phones == ()


def test_what_is_not_read_is_known() -> None:
    assert [word.printed for word in speak_text("Say Привет, 小明 🙂!").unspoken] == [
        "Привет",
        "小明",
    ]


def test_spans_of_expanded_words() -> None:
    words = speak_text("Mr. Bo paid $1.5 million.").words
    assert [(word.printed, word.spoken) for word in words] == [
        ("Mr.", "Mister"),
        ("Bo", "Bo"),
        ("paid", "paid"),
        ("$1.5 million", "one point five million dollars"),
        (".", ""),
    ]


def test_another_language_is_an_error() -> None:
    with pytest.raises(ValueError, match="'fr'"):
        speak_text("Bonjour", "fr")
    assert not speak_text("Hello", "en-GB").is_silent
