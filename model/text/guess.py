"""Phones of words that no dictionary has: the spelling-to-phones network of g2p_en, in numpy.

A GRU encoder and decoder, 256 wide, trained on CMUdict (K. Park and J. Kim, Apache-2.0). Only the
package's weights are read: importing it would make nltk download data.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

_LETTERS = {letter: index for index, letter in enumerate("abcdefghijklmnopqrstuvwxyz", start=3)}
_END_OF_WORD = 2
_START, _END = 2, 3
_MOST_PHONES = 24
# Order of the network's outputs; "UW" without stress is no symbol of the inventories.
_NAMES = (
    "<pad> <unk> <s> </s> AA0 AA1 AA2 AE0 AE1 AE2 AH0 AH1 AH2 AO0 AO1 AO2 AW0 AW1 AW2 AY0 AY1 AY2 "
    "B CH D DH EH0 EH1 EH2 ER0 ER1 ER2 EY0 EY1 EY2 F G HH IH0 IH1 IH2 IY0 IY1 IY2 JH K L M N NG "
    "OW0 OW1 OW2 OY0 OY1 OY2 P R S SH T TH UH0 UH1 UH2 UW0 UW0 UW1 UW2 V W Y Z ZH"
)
_PHONES = tuple(_NAMES.split())


@cache
def _weights() -> dict[str, np.ndarray]:
    spec = find_spec("g2p_en")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'g2p_en'", name="g2p_en")
    with np.load(Path(spec.origin).with_name("checkpoint20.npz"), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _step(weights: dict[str, np.ndarray], side: str, x: np.ndarray, h: np.ndarray) -> np.ndarray:
    """One GRU step: `x` and `h` are (width,)."""
    gates_x = weights[f"{side}_w_ih"] @ x + weights[f"{side}_b_ih"]
    gates_h = weights[f"{side}_w_hh"] @ h + weights[f"{side}_b_hh"]
    width = len(h)
    reset, update = np.split(1 / (1 + np.exp(-(gates_x[: 2 * width] + gates_h[: 2 * width]))), 2)
    new = np.tanh(gates_x[2 * width :] + reset * gates_h[2 * width :])
    return np.asarray((1 - update) * new + update * h)


def guess_phones(word: str) -> tuple[str, ...]:
    """Phones for `word` (letters a-z; others are passed over), greedy, so the same every time."""
    letters = [_LETTERS[letter] for letter in word.lower() if letter in _LETTERS]
    if not letters:
        return ()
    weights = _weights()
    hidden = np.zeros(weights["enc_w_hh"].shape[1], np.float32)
    for letter in [*letters, _END_OF_WORD]:
        hidden = _step(weights, "enc", weights["enc_emb"][letter], hidden)
    phones: list[str] = []
    previous = _START
    for _ in range(_MOST_PHONES):
        hidden = _step(weights, "dec", weights["dec_emb"][previous], hidden)
        previous = int(np.argmax(weights["fc_w"] @ hidden + weights["fc_b"]))
        if previous == _END:
            break
        if previous > _END:
            phones.append(_PHONES[previous])
    return tuple(phones)
