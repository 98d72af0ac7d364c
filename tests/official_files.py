"""Writes checkpoints in GPT-SoVITS's own formats, with random weights, small or at full size.

`write_pretrained` lays them out as the official repository on Hugging Face does.
"""

import json
import sys
import types
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from model.bigvgan import BigVGAN, BigVGANConfig
from model.identify import Version
from model.s1 import S1Config, Text2SemanticDecoder
from model.s2.synthesizer import S2Config, SynthesizerTrnV3
from model.s2.vits import VITS_CONFIGS, SynthesizerTrn
from model.speaker import ERes2NetV2, SpeakerConfig
from model.vocoder import Generator, GeneratorConfig
from tasks.model_parts import Sources
from tasks.models import convert_model

HEADS = {"v3-lora": b"03", "v4-lora": b"04", "v2Pro": b"05", "v2ProPlus": b"06"}
SMALL = 32  # width of small HuBERT and RoBERTa, and so of what hears them
SMALL_CODES = 64
SMALL_SPEAKER = SpeakerConfig(channels=4, blocks=(1, 1, 1, 1), embedding=8)
_SMALL_ENCODERS: dict[str, Any] = {
    "ssl_dim": SMALL,
    "codebook": SMALL_CODES,
    "inter_channels": 8,
    "hidden_channels": 8,
    "filter_channels": 16,
    "layers": 2,
    "mrte_hidden": 16,
}
_SMALL_FLOW: dict[str, Any] = {
    **_SMALL_ENCODERS,
    "gin_channels": 16,
    "wns1_width": 16,
    "wns1_layers": 2,
    "text_dim": 16,
    "dit_dim": 32,
    "dit_depth": 1,
    "dit_heads": 2,
    "dit_dim_head": 16,
    "conv_layers": 1,
    "conv_pos_kernel": 3,
    "conv_pos_groups": 4,
}


class HParams:
    """GPT-SoVITS's `utils.HParams`: an object whose attributes are the configuration."""

    def __init__(self, **values: Any) -> None:
        for key, value in values.items():
            setattr(self, key, HParams(**value) if isinstance(value, dict) else value)


HParams.__module__ = "utils"


@contextmanager
def upstream_modules() -> Iterator[None]:
    """As in upstream's process, where checkpoints are pickled: `utils` is there."""
    module = types.ModuleType("utils")
    module.HParams = HParams  # type: ignore[attr-defined]
    before = sys.modules.get("utils")
    sys.modules["utils"] = module
    try:
        yield
    finally:
        del sys.modules["utils"]
        if before is not None:
            sys.modules["utils"] = before


def save(content: object, path: Path, head: bytes = b"PK", legacy: bool = False) -> Path:
    """torch.save, and upstream's two bytes over the zip's first two."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with upstream_modules():
        torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    if head != b"PK":
        with path.open("r+b") as file:
            file.write(head)
    return path


def random_weights(network: nn.Module, seed: int) -> OrderedDict[str, Tensor]:
    """The network's state dict in fp16, nothing of it zero, as training leaves it."""
    draw = torch.Generator().manual_seed(seed)
    weights: OrderedDict[str, Tensor] = OrderedDict()
    for key, value in network.state_dict().items():
        if not value.is_floating_point() or key.endswith("filter"):
            weights[key] = value
            continue
        if key.endswith(("inv_freq", "inited")):
            weights[key] = value.half()
            continue
        noise = torch.randn(value.shape, generator=draw) * 0.02
        if value.ndim > 1:
            scale = 1.0 if key.endswith("embed") else value[0].numel() ** -0.5
            noise = noise * 50 * scale
        positive = key.endswith(("weight_g", "running_var", "alpha")) and "act." not in key
        ones = positive or (value.ndim == 1 and key.endswith(("weight", "gamma")))
        weights[key] = (noise + 1.0 if ones else noise).half()
    for key, value in weights.items():
        if key.endswith("weight_g"):  # then the two halves agree, as upstream initialises them
            direction = weights[key.removesuffix("g") + "v"].float()
            norm = direction.flatten(1).norm(dim=1).view(value.shape)
            weights[key] = (norm * value.float()).half()
    return weights


def s1_network(version: Version = "v2", small: bool = True) -> Text2SemanticDecoder:
    phones = 512 if version == "v1" else 732
    if not small:
        return Text2SemanticDecoder(S1Config(phones=phones))
    sizes = S1Config(width=32, heads=2, layers=2, phones=phones, codes=SMALL_CODES, bert=SMALL)
    return Text2SemanticDecoder(sizes)


def s2_network(
    version: Version, small: bool = True, posterior: bool = False
) -> SynthesizerTrn | SynthesizerTrnV3:
    if version in ("v3", "v4"):
        upsample = 2.0 if version == "v4" else 1.875
        sizes = _SMALL_FLOW if small else {}
        return SynthesizerTrnV3(S2Config(upsample=upsample, **sizes))
    config = VITS_CONFIGS[version]
    if small:
        pro = config.speaker_dim > 0
        config = replace(
            config,
            **_SMALL_ENCODERS,
            gin_channels=32 if pro else 16,
            speaker_dim=SMALL_SPEAKER.outputs if pro else 0,
            posterior_layers=2,
            flow_couplings=2,
            flow_layers=2,
            decoder_width=48 if version == "v2ProPlus" else 32,
        )
    return SynthesizerTrn(config, posterior=posterior)


def write_s1(
    path: Path, version: Version = "v2", small: bool = True, seed: int = 0, **changes: Any
) -> Path:
    """An S1 `.ckpt`; `changes` replace entries of the file."""
    network = s1_network(version, small)
    weights = random_weights(network, seed)
    sizes = network.config
    config = {
        "data": {"max_sec": 54, "num_workers": 4, "pad_val": 1024},
        "model": {
            "vocab_size": sizes.codes + 1,
            "phoneme_vocab_size": sizes.phones,
            "embedding_dim": sizes.width,
            "hidden_dim": sizes.width,
            "head": sizes.heads,
            "n_layer": sizes.layers,
            "dropout": 0,
            "EOS": sizes.codes,
        },
        "output_dir": "logs/s1",
    }
    content = OrderedDict(
        weight=OrderedDict((f"model.{key}", value) for key, value in weights.items()),
        config=config,
        info="GPT-e15",
    )
    content.update(changes)
    return save(content, path)


def write_s2(
    path: Path,
    version: Version,
    small: bool = True,
    seed: int = 0,
    fine_tuned: bool = False,
    stored_version: str = "",
    head: bytes | None = None,
    legacy: bool = False,
) -> Path:
    """An S2 `.pth`: pretrained (with `enc_q`), or as fine-tuning exports it.

    The stored configuration names a version only for fine-tunes, as upstream's do.
    """
    network = s2_network(version, small, posterior=not fine_tuned and version not in ("v3", "v4"))
    weights = random_weights(network, seed)
    model: dict[str, Any] = {"inter_channels": network.config.inter_channels}
    if fine_tuned or stored_version:
        model["version"] = stored_version or version
    content = OrderedDict(
        weight=weights,
        config=HParams(model=model, data={"sampling_rate": 32000}, train={"fp16_run": True}),
        info="8epoch_200iteration",
    )
    if head is None:
        head = HEADS.get(version, b"PK") if fine_tuned else b"PK"
    return save(content, path, head, legacy)


def write_lora(
    path: Path,
    version: Version,
    base: dict[str, Tensor],
    rank: int = 4,
    seed: int = 1,
    head: bytes | None = None,
) -> Path:
    """A LoRA of v3 or v4 on a base S2's weights: what training did not freeze."""
    draw = torch.Generator().manual_seed(seed)
    weights: OrderedDict[str, Tensor] = OrderedDict()
    for key, value in base.items():
        if key.startswith(("ref_enc.", "bridge.", "wns1.", "linear_mel.")):
            weights[key] = (value.float() * 1.01).half()
        if key.endswith(("inv_freq", "embed", "embed_avg", "inited", "cluster_size")):
            weights[key.replace("cfm.", "cfm.base_model.model.", 1)] = value
        if key.endswith(("to_q.weight", "to_k.weight", "to_v.weight", "to_out.0.weight")):
            layer = key.removesuffix(".weight").replace("cfm.", "cfm.base_model.model.", 1)
            down = torch.randn(rank, value.shape[1], generator=draw) * value.shape[1] ** -0.5
            up = torch.randn(value.shape[0], rank, generator=draw) * 0.1
            weights[f"{layer}.lora_A.default.weight"] = down.half()
            weights[f"{layer}.lora_B.default.weight"] = up.half()
    content = OrderedDict(
        weight=weights,
        config=HParams(model={"version": version}),
        info="2epoch_40iteration",
        lora_rank=rank,
    )
    return save(content, path, HEADS[f"{version}-lora"] if head is None else head)


def write_vocoder(path: Path, small: bool = True, seed: int = 2) -> Path:
    """v4's vocoder: a bare state dict, weight norm removed."""
    network = Generator(GeneratorConfig(width=32) if small else GeneratorConfig())
    return save(random_weights(network, seed), path)


def write_bigvgan(path: Path, small: bool = True, seed: int = 3) -> Path:
    """NVIDIA's generator: f32, with weight norm."""
    network = BigVGAN(BigVGANConfig(width=64) if small else BigVGANConfig())
    weights: dict[str, Tensor] = {}
    for key, value in random_weights(network, seed).items():
        if value.ndim == 3 and key.endswith(".weight"):
            direction = value.float()
            norm = direction.flatten(1).norm(dim=1).view(-1, 1, 1)
            weights[f"{key}_g"], weights[f"{key}_v"] = norm, direction
        else:
            weights[key] = value.float()
    return save({"generator": weights}, path)


def write_speaker(path: Path, small: bool = True, seed: int = 4) -> Path:
    """The speaker-verification network: a bare state dict."""
    return save(random_weights(ERes2NetV2(SMALL_SPEAKER if small else SpeakerConfig()), seed), path)


def write_hubert(folder: Path, small: bool = True, seed: int = 5) -> Path:
    """chinese-hubert-base in transformers' layout, weights as a pickle in fp16."""
    from transformers import HubertConfig, HubertModel

    sizes: dict[str, Any] = {}
    if small:
        sizes = {
            "hidden_size": SMALL,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "conv_dim": (8,) * 7,
            "num_conv_pos_embeddings": 16,
            "num_conv_pos_embedding_groups": 2,
        }
    torch.manual_seed(seed)
    network = HubertModel(HubertConfig(**sizes))
    names = {"original0": "weight_g", "original1": "weight_v"}
    weights = OrderedDict()
    for key, value in network.state_dict().items():
        for new, old in names.items():
            key = key.replace(f"parametrizations.weight.{new}", old)
        weights[key] = value.half()
    folder.mkdir(parents=True, exist_ok=True)
    network.config.architectures = ["HubertModel"]
    network.config.to_json_file(folder / "config.json")
    extractor = {"do_normalize": True, "feature_size": 1, "sampling_rate": 16000}
    (folder / "preprocessor_config.json").write_text(json.dumps(extractor))
    save(weights, folder / "pytorch_model.bin")
    return folder


def write_roberta(folder: Path, small: bool = True, seed: int = 6) -> Path:
    """chinese-roberta-wwm-ext-large in transformers' layout, weights as a pickle in fp16.

    Its tokenizer knows each character of a little Chinese.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForMaskedLM

    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *"，。？！你好世界今天气很我们去公园吧一二三",
    ]
    sizes: dict[str, Any] = {
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        "vocab_size": 21128,
    }
    if small:
        sizes = {
            "hidden_size": SMALL,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "vocab_size": len(words),
        }
    torch.manual_seed(seed)
    network = BertForMaskedLM(BertConfig(**sizes))
    folder.mkdir(parents=True, exist_ok=True)
    network.config.architectures = ["BertForMaskedLM"]
    network.config.to_json_file(folder / "config.json")
    tokenizer = Tokenizer(
        models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    weights = OrderedDict((key, value.half()) for key, value in network.state_dict().items())
    save(weights, folder / "pytorch_model.bin")
    return folder


OFFICIAL_S1: dict[Version, str] = {
    "v1": "s1bert25hz-2kh-longer-epoch=68e-step=50232.ckpt",
    "v2": "gsv-v2final-pretrained/s1bert25hz-5kh-longer-epoch=12-step=369668.ckpt",
    "v2Pro": "s1v3.ckpt",
    "v2ProPlus": "s1v3.ckpt",
    "v3": "s1v3.ckpt",
    "v4": "s1v3.ckpt",
}
OFFICIAL_S2: dict[Version, str] = {
    "v1": "s2G488k.pth",
    "v2": "gsv-v2final-pretrained/s2G2333k.pth",
    "v2Pro": "v2Pro/s2Gv2Pro.pth",
    "v2ProPlus": "v2Pro/s2Gv2ProPlus.pth",
    "v3": "s2Gv3.pth",
    "v4": "gsv-v4-pretrained/s2Gv4.pth",
}


def write_encoder(folder: Path, model_type: str) -> Path:
    """A folder in transformers' layout that takes no transformers to write, and can't be run."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    (folder / "tokenizer.json").write_text("{}")
    save({"weight": torch.ones(2, dtype=torch.float16)}, folder / "pytorch_model.bin")
    return folder


def write_pretrained(
    root: Path,
    version: Version,
    small: bool = True,
    encoders: bool = True,
    fine_tuned: bool = False,
) -> Path:
    """The official files of a version, laid out as GPT-SoVITS's `pretrained_models`.

    Without `encoders`, HuBERT and RoBERTa are there in name only, which is quicker.
    """
    write_s1(root / OFFICIAL_S1[version], version, small)
    write_s2(root / OFFICIAL_S2[version], version, small, fine_tuned=fine_tuned)
    if version in ("v2Pro", "v2ProPlus"):
        write_speaker(root / "sv" / "pretrained_eres2netv2w24s4ep4.ckpt", small)
    if version == "v3":
        folder = root / "models--nvidia--bigvgan_v2_24khz_100band_256x"
        write_bigvgan(folder / "bigvgan_generator.pt", small)
    if version == "v4":
        write_vocoder(root / "gsv-v4-pretrained" / "vocoder.pth", small)
    hubert, roberta = root / "chinese-hubert-base", root / "chinese-roberta-wwm-ext-large"
    if encoders:
        write_hubert(hubert, small)
        write_roberta(roberta, small)
    else:
        write_encoder(hubert, "hubert")
        write_encoder(roberta, "bert")
    return root


def write_folder(
    out: Path,
    version: Version,
    small: bool = True,
    encoders: bool = False,
    fine_tuned: bool = False,
) -> Path:
    """A converted model, from official files that are left in `out`-files."""
    root = out.with_name(f"{out.name}-files")
    write_pretrained(root, version, small, encoders, fine_tuned)
    generator = root / "models--nvidia--bigvgan_v2_24khz_100band_256x" / "bigvgan_generator.pt"
    vocoders = {"v3": generator, "v4": root / "gsv-v4-pretrained" / "vocoder.pth"}
    speaker = root / "sv" / "pretrained_eres2netv2w24s4ep4.ckpt"
    sources = Sources(
        s1=root / OFFICIAL_S1[version],
        s2=root / OFFICIAL_S2[version],
        vocoder=vocoders.get(version),
        speaker=speaker if speaker.exists() else None,
        hubert=root / "chinese-hubert-base",
        roberta=root / "chinese-roberta-wwm-ext-large",
    )
    convert_model(out, sources, version)
    return out
