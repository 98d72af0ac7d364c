"""BERT features: the hidden state that models were trained with, spread over phones."""

from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast

from configs.errors import UserError
from model.text.bert import WIDTH, ChineseBert, bert_features, load_bert
from model.text.words import Word

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"你好世界,.!…"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of random weights, saved as the official one is."""
    path = tmp_path_factory.mktemp("bert")
    (path / "vocab.txt").write_text("\n".join(VOCABULARY), encoding="utf-8")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=8,
        num_hidden_layers=5,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=12,
    )
    BertForMaskedLM(config).save_pretrained(path)
    BertTokenizerFast(str(path / "vocab.txt")).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def bert(folder: Path) -> ChineseBert:
    return load_bert(folder)


def chinese(characters: str, counts: tuple[int, ...]) -> Word:
    phones = tuple(f"p{place}" for place in range(sum(counts)))
    return Word(characters, 0, 0, characters, phones, "zh", characters, counts)


def english(phones: int) -> Word:
    return Word("word", 0, 0, "word", ("T",) * phones)


def test_the_third_last_hidden_state_of_each_character_stands_at_its_phones(
    folder: Path, bert: ChineseBert
) -> None:
    words = [chinese("你", (2,)), chinese("好", (2,)), chinese("…", (1,)), chinese("龘", (2,))]
    whole = BertForMaskedLM.from_pretrained(folder).eval()
    inputs = BertTokenizerFast.from_pretrained(folder)("你好…龘", return_tensors="pt")
    with torch.no_grad():
        hidden = whole(**inputs, output_hidden_states=True).hidden_states[-3][0, 1:-1]

    expected = torch.stack([hidden[place] for place in (0, 0, 1, 1, 2, 3, 3)]).T

    torch.testing.assert_close(bert_features(words, bert), expected)


def test_other_languages_have_zeros_and_part_the_text(bert: ChineseBert) -> None:
    words = [chinese("你", (2,)), english(3), chinese("好", (2,))]

    features = bert_features(words, bert)

    assert features.shape == (8, 7)
    assert features[:, 2:5].abs().max() == 0
    torch.testing.assert_close(features[:, 5:], bert_features(words[2:], bert))


def test_a_character_without_phones_is_seen_but_has_no_column(bert: ChineseBert) -> None:
    assert bert_features([chinese("你好", (2, 0))], bert).shape == (8, 2)
    assert bert_features([], bert).shape == (8, 0)


def test_long_text_is_read_in_parts(bert: ChineseBert) -> None:
    word = chinese("你好世界" * 6, (2,) * 24)

    features = bert_features([word], bert)

    assert features.shape == (8, 48)
    torch.testing.assert_close(
        features[:, 40:], bert_features([chinese("你好世界", (2,) * 4)], bert)
    )


def test_without_a_model_all_is_zero() -> None:
    features = bert_features([chinese("你好", (2, 2)), english(1)], None)

    assert features.shape == (WIDTH, 5)
    assert not features.any()


def test_columns_follow_the_phones_that_are_asked_for(bert: ChineseBert) -> None:
    word = chinese("你好", (2, 2))

    assert bert_features([word], bert, phones=3).shape == (8, 3)
    assert not bert_features([word], bert, phones=6)[:, 4:].any()


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no Chinese BERT in"):
        load_bert(tmp_path)

    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="cannot be loaded"):
        load_bert(tmp_path)
