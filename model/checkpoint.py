"""Voice models on disk: a folder with `config.json` and weights in safetensors shards, no pickles.

Tensors are named `part.key` (parts: recogniser, s1, s2, vocoder), stored in fp16 and computed with
in f32.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_type_hints

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from configs.errors import UserError
from model.istft_vocoder import IstftVocoder, IstftVocoderConfig
from model.recogniser import Recogniser, RecogniserConfig
from model.s1 import S1Config, Text2SemanticDecoder
from model.s2.synthesizer import S2Config, SynthesizerTrnV3

FORMAT = 1
SHARD_BYTES = 15_500_000


@dataclass(frozen=True)
class VoiceConfig:
    """How a voice model is used, beside its parts' sizes.

    `window_frames`: mel frames that S2's transformer takes at once, of which the first
    `prompt_frames` are the reference's. `flow_begin`: the time, from 0 (noise) to 1 (mel), at which
    the flow matching takes over from the draft that `linear_mel` makes. `reference_level_db`: RMS
    of the speech that the model was trained on, to which samples are brought. `carried_sounds`:
    texts of at most so many sounds are spoken in a carrier sentence (0: none), as model/carrier.py
    says.
    """

    name: str
    sample_rate: int
    window_frames: int
    prompt_frames: int
    flow_begin: float
    reference_level_db: float
    carried_sounds: int


@dataclass
class VoiceModel:
    """The parts of a voice model, in evaluation mode, and the hash of everything in its folder."""

    config: VoiceConfig
    recogniser: Recogniser
    s1: Text2SemanticDecoder
    s2: SynthesizerTrnV3
    vocoder: IstftVocoder
    content_hash: str


_PARTS: dict[str, tuple[type[nn.Module], type]] = {
    "recogniser": (Recogniser, RecogniserConfig),
    "s1": (Text2SemanticDecoder, S1Config),
    "s2": (SynthesizerTrnV3, S2Config),
    "vocoder": (IstftVocoder, IstftVocoderConfig),
}

_DRAWING = threading.Lock()
"""Held while a network draws its first weights: threads share PyTorch's generator."""


def load_model(folder: Path) -> VoiceModel:
    """Loads a voice model; UserError when the folder holds none, or a damaged one."""
    try:
        text = (folder / "config.json").read_bytes()
        config = json.loads(text)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder} holds no voice model: its config.json can't be read ({error})."
        ) from error
    form = config.get("format") if isinstance(config, dict) else None
    if form != FORMAT:
        raise UserError(f"{folder} is a voice model of format {form}; this version reads {FORMAT}.")
    digest = hashlib.sha256(text)
    state: dict[str, Tensor] = {}
    shards = sorted(folder.glob("weights-*.safetensors"))
    for shard in shards:
        try:
            tensors = load_file(shard)
        except (OSError, SafetensorError) as error:
            raise UserError(f"{shard} is damaged ({error}); get the voice model again.") from error
        foreign = [k for k in tensors if k in state or k.partition(".")[0] not in _PARTS]
        if foreign:
            raise UserError(
                f"{shard} is no shard of this voice model ({foreign[0]}); get the model again."
            )
        state |= tensors
        digest.update(shard.read_bytes())
    modules: dict[str, Any] = {}
    for part, (module_class, config_class) in _PARTS.items():
        with _DRAWING:
            module = module_class(_build(config_class, config.get(part)))
        own = {
            k.removeprefix(f"{part}."): v.float()
            for k, v in state.items()
            if k.startswith(f"{part}.")
        }
        whole = _complete(module, own)
        shapes = {key: value.shape for key, value in module.state_dict().items()}
        if odd := [k for k in shapes | whole if k not in whole or shapes.get(k) != whole[k].shape]:
            names = ", ".join(odd[:3])
            raise UserError(
                f"{folder} is not whole: {part} does not fit its weights ({names}); get it again."
            )
        module.load_state_dict(whole)
        modules[part] = module.eval().requires_grad_(False)
    return VoiceModel(
        config=_build(VoiceConfig, config.get("voice")), content_hash=digest.hexdigest(), **modules
    )


def save_model(folder: Path, config: VoiceConfig, modules: Mapping[str, nn.Module]) -> None:
    """Writes a voice model's folder: floating tensors in fp16, shards of at most 15.5 MB.

    Raises ValueError, with the folder as it was, for values beyond fp16.
    """
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for part, module in modules.items():
        for key, value in module.state_dict().items():
            if _is_derived(key):
                continue
            tensor = value.half().contiguous()
            if not tensor.isfinite().all():
                raise ValueError(f"{part}.{key} holds values that fp16 can't")
            if shards[-1] and size + tensor.nbytes > SHARD_BYTES:
                shards.append({})
                size = 0
            shards[-1][f"{part}.{key}"] = tensor
            size += tensor.nbytes
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("weights-*.safetensors"):
        old.unlink()
    for number, shard in enumerate(shards):
        path = folder / f"weights-{number}.safetensors"
        save_file(shard, path)
        path.chmod(0o644)
    record: dict[str, Any] = {"format": FORMAT, "voice": asdict(config)}
    record |= {part: asdict(module.config) for part, module in modules.items()}  # type: ignore[call-overload]
    (folder / "config.json").write_text(json.dumps(record, indent=1) + "\n")


def _is_derived(key: str) -> bool:
    """Not stored: the codebook's running sums serve training only, and rotary frequencies follow
    from the sizes and would be rounded."""
    return key.endswith(("cluster_size", "embed_avg", "inv_freq"))


def _complete(module: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The stored state with the module's own values of what is not stored."""
    own = module.state_dict()
    return {key: value for key, value in own.items() if _is_derived(key)} | state


def _build(config_class: type, values: object) -> Any:
    """A configuration from JSON; UserError on unknown, missing or mistyped fields."""
    stored = values if isinstance(values, dict) else {}
    types = get_type_hints(config_class)
    wrong = {key for key, kind in types.items() if not _fits(stored.get(key), kind)}
    wrong |= stored.keys() - types.keys()
    if wrong:
        odd = ", ".join(sorted(wrong))
        raise UserError(
            f"The voice model's {config_class.__name__} does not fit this version ({odd})."
        )
    return config_class(**stored)


def _fits(value: object, kind: type) -> bool:
    return isinstance(value, (int, float) if kind is float else kind)


def random_model(seed: int) -> VoiceModel:
    """A tiny model with random weights, for tests: everything works, nothing is understood."""
    with _DRAWING, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        modules = _tiny_parts()
        for parameter in modules["s2"].cfm.parameters():
            if not parameter.any():  # a velocity of zero would hide everything before it
                nn.init.normal_(parameter, std=0.05)
    for module in modules.values():
        module.eval().requires_grad_(False)
    config = VoiceConfig("debug", 24_000, 480, 180, 0.5, -23.0, 7)
    return VoiceModel(config=config, content_hash=f"debug-{seed}", **modules)


def _tiny_parts() -> dict[str, Any]:
    return {
        "recogniser": Recogniser(RecogniserConfig(width=16, heads=2, layers=1, head_width=8)),
        "s1": Text2SemanticDecoder(S1Config(width=16, heads=2, layers=2, codes=32, bert=4)),
        "s2": SynthesizerTrnV3(
            S2Config(
                ssl_dim=16,
                codebook=32,
                inter_channels=16,
                hidden_channels=16,
                filter_channels=16,
                layers=2,
                mrte_hidden=16,
                gin_channels=16,
                reference_bins=100,
                wns1_width=16,
                wns1_layers=1,
                text_dim=16,
                dit_dim=32,
                dit_depth=1,
                dit_heads=2,
                dit_dim_head=16,
                conv_layers=1,
                conv_pos_kernel=3,
            )
        ),
        "vocoder": IstftVocoder(IstftVocoderConfig(width=16, hidden=16, blocks=1)),
    }
