"""BERT features of Chinese phones: what a character means where it stands, for S1's text side.

The GPT-SoVITS models were trained with the third last hidden state of
chinese-roberta-wwm-ext-large, one vector a character, repeated for each of its phones. Phones of
other languages have zeros.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor, nn

from configs.errors import UserError
from model.text.words import Word

WIDTH = 1024  # of the model that S1 was trained with
_UNUSED_LAYERS = 2  # behind the hidden state that is taken


@dataclass(frozen=True)
class ChineseBert:
    """A BERT encoder without its last layers, and the ids of its characters.

    `width` is the size of a feature vector, `longest` how many characters are read at once.
    """

    encoder: nn.Module
    width: int
    ids: dict[str, int]
    unknown: int
    start: int
    end: int
    longest: int


def load_bert(folder: Path, device: torch.device | str = "cpu") -> ChineseBert:
    """The encoder in `folder` (config.json, weights and vocabulary as transformers saves them).

    Raises UserError where the folder is missing or holds something else.
    """
    from transformers import AutoModel, AutoTokenizer

    if not (folder / "config.json").is_file():
        raise UserError(
            f"no Chinese BERT in {folder}: pull chinese-roberta-wwm-ext-large, "
            "or leave it out and Chinese is read without it"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        encoder = AutoModel.from_pretrained(
            folder, local_files_only=True, add_pooling_layer=False, dtype=torch.float32
        )
        layers = encoder.encoder.layer
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise UserError(
            f"the Chinese BERT in {folder} cannot be loaded ({error}): pull it again"
        ) from error
    encoder.encoder.layer = layers[: len(layers) - _UNUSED_LAYERS]
    return ChineseBert(
        encoder.to(device).eval(),
        encoder.config.hidden_size,
        tokenizer.get_vocab(),
        tokenizer.unk_token_id,
        tokenizer.cls_token_id,
        tokenizer.sep_token_id,
        encoder.config.max_position_embeddings - 2,
    )


def bert_features(
    words: Sequence[Word], bert: ChineseBert | None, phones: int | None = None
) -> Tensor:
    """(width, phones) float32 features of the words' phones, on the encoder's device.

    Without `bert` all are zeros. `phones` asks for another number of columns than the words have
    phones: what was added to or taken from the end has zeros or no column.
    """
    width = bert.width if bert else WIDTH
    device = next(bert.encoder.parameters()).device if bert else None
    parts = [torch.zeros(width, 0, device=device)]
    for is_chinese, run in groupby(words, key=lambda word: word.language == "zh"):
        spoken = list(run)
        if bert and is_chinese:
            parts.append(_of_characters(spoken, bert))
        else:
            columns = sum(len(word.phones) for word in spoken)
            parts.append(torch.zeros(width, columns, device=device))
    features = torch.cat(parts, dim=1)
    if phones is None:
        return features
    return nn.functional.pad(features, (0, phones - features.shape[1]))


def _of_characters(words: Sequence[Word], bert: ChineseBert) -> Tensor:
    """(width, phones) for consecutive Chinese words."""
    characters = "".join(word.characters for word in words)
    counts = [count for word in words for count in word.word2ph]
    device = next(bert.encoder.parameters()).device
    vectors = []
    for at in range(0, len(characters), bert.longest):
        part = characters[at : at + bert.longest]
        ids = [bert.start, *(bert.ids.get(one, bert.unknown) for one in part), bert.end]
        with torch.inference_mode():
            hidden = bert.encoder(torch.tensor([ids], device=device)).last_hidden_state
        vectors.append(hidden[0, 1:-1].float())
    repeats = torch.tensor(counts, dtype=torch.long, device=device)
    if not vectors:
        return torch.zeros(bert.width, 0, device=device)
    return torch.cat(vectors).repeat_interleave(repeats, dim=0).T.clone()
