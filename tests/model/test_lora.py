"""LoRA: merged weights compute what base and update compute side by side."""

from pathlib import Path

import pytest
import torch

from configs.errors import UserError
from model.identify import identify
from model.lora import merge_lora
from model.s2.synthesizer import SynthesizerTrnV3
from tests.official_files import random_weights, s2_network, write_lora

LAYER = "cfm.estimator.transformer_blocks.0.attn.to_q"
WRAPPED = LAYER.replace("cfm.", "cfm.base_model.model.")
A, B = f"{WRAPPED}.lora_A.default.weight", f"{WRAPPED}.lora_B.default.weight"


@pytest.fixture(scope="module")
def base() -> dict[str, torch.Tensor]:
    return dict(random_weights(s2_network("v4"), 0))


@pytest.fixture
def lora(tmp_path: Path, base: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return identify(write_lora(tmp_path / "a.pth", "v4", base)).weights


def test_merged_is_base_and_update(
    base: dict[str, torch.Tensor], lora: dict[str, torch.Tensor]
) -> None:
    merged = merge_lora(base, lora, Path("a.pth"))
    assert merged.keys() == base.keys()
    x = torch.randn(3, 32)
    plain, weight = base[f"{LAYER}.weight"].float(), merged[f"{LAYER}.weight"].float()
    expected = x @ plain.T + (x @ lora[A].float().T) @ lora[B].float().T
    torch.testing.assert_close(x @ weight.T, expected, atol=5e-3, rtol=0)
    assert merged[f"{LAYER}.weight"].dtype == torch.float16
    assert not torch.equal(weight, plain)


def test_what_was_trained_as_a_whole_replaces_the_base(
    base: dict[str, torch.Tensor], lora: dict[str, torch.Tensor]
) -> None:
    merged = merge_lora(base, lora, Path("a.pth"))
    for key in base:
        if key.startswith(("ref_enc.", "bridge.", "wns1.", "linear_mel.")):
            assert torch.equal(merged[key], lora[key]), key
        elif key.startswith("enc_p."):
            assert torch.equal(merged[key], base[key]), key
    network = s2_network("v4")
    assert isinstance(network, SynthesizerTrnV3)
    network.load_state_dict(merged)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ({B: None}, "has no other half"),
        ({A: torch.zeros(4, 31)}, "does not fit its base model"),
        ({B: torch.zeros(32, 3)}, "does not fit its base model"),
        ({"bridge.0.bias": torch.zeros(1)}, "does not fit its base model"),
        ({"dec.conv_pre.weight": torch.zeros(1)}, "does not fit its base model"),
    ],
)
def test_a_lora_of_something_else(
    base: dict[str, torch.Tensor],
    lora: dict[str, torch.Tensor],
    damage: dict[str, torch.Tensor | None],
    sentence: str,
) -> None:
    changed = {key: value for key, value in (lora | damage).items() if value is not None}
    with pytest.raises(UserError, match=sentence):
        merge_lora(base, changed, Path("a.pth"))
