"""What can be set of the trainers: strict models of the YAML files, one a stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from configs.errors import UsageError
from configs.presets import read_yaml

SHIPPED = Path(__file__).parent


class Strict(BaseModel):
    # Integers are taken where a number with a point is meant; nothing else is converted.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class HeldOut(Strict):
    """Which clips judge the training and are never trained on: both rules together."""

    share: float = Field(gt=0, lt=1, description="of all clips, one at least, by their names' hash")
    books: tuple[str, ...] = Field(description="and all clips of these books")


class StageConfig(Strict):
    """What every trainer has."""

    # the data
    language: str = Field(description="of transcripts that do not say: en, zh, yue, ja, ko")
    copies: int = Field(ge=1, le=4, description="2: each clip once more at another playback rate")
    shares: tuple[float, ...] = Field(
        description="how often each --data folder is drawn from; empty: by its number of clips"
    )
    held_out: HeldOut
    # the start
    start: str = Field(
        alias="from", description='weights to go on from: a voice model\'s folder or "built-in"'
    )
    seed: int = Field(ge=0)
    # the machine
    device: str = Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    precision: Literal["bf16", "f32"]
    threads: int = Field(ge=0, description="CPU threads; 0: as many as PyTorch takes")
    # the schedule
    steps: int | None = Field(ge=1)
    minutes: float | None = Field(gt=0)
    warmup: int = Field(ge=1, description="steps in which the learning rate rises")
    validate_every: int = Field(ge=1, description="steps")
    log_every: int = Field(ge=1, description="steps that a row of the loss table averages")
    save_seconds: float = Field(ge=0, description="between checkpoints")
    samples: int = Field(ge=0, le=64, description="held-out clips written as samples")
    # the optimiser
    optimiser: Literal["adamw", "muon"]
    rate: float = Field(gt=0, description="highest learning rate")
    decay: float = Field(ge=0, description="weight decay of matrices and kernels")
    clip: float = Field(gt=0, description="norm that gradients are cut to")
    ema: float = Field(ge=0, lt=1, description="how slowly the averaged weights follow")

    @model_validator(mode="after")
    def _one_schedule(self) -> Self:
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("give either steps or minutes, and null for the other")
        return self


class RecogniserSizes(Strict):
    codes: int = Field(ge=2, le=8192)
    head_width: int = Field(ge=1, description="of the phone classifier")


class RecogniserStage(StageConfig):
    """The quantizer and the phone classifier on the recogniser's features."""

    sizes: RecogniserSizes
    whisper: str = Field(
        description="encoder to start from: CTranslate2 file (model.bin) of a Whisper model of the "
        "built-in size; empty: the encoder of `from`, or the built-in one"
    )
    batch: int = Field(ge=1, description="clips")
    frames: int = Field(ge=2, description="50 a second; the length of a piece of a clip")


class SemanticSizes(Strict):
    width: int = Field(ge=2)
    heads: int = Field(ge=1)
    layers: int = Field(ge=1)
    bert: int = Field(ge=1, description="width of BERT features; 1024 for the Chinese one")
    dropout: float = Field(ge=0, lt=1)

    @model_validator(mode="after")
    def _even_heads(self) -> Self:
        if self.width % self.heads or self.width % 2:
            raise ValueError("width must be even and a multiple of heads")
        return self


class Dpo(Strict):
    """Direct preference optimisation against corrupted tokens; see model/s1_losses.py."""

    weight: float = Field(ge=0, description="0: none")
    beta: float = Field(gt=0)
    reference: Literal["none", "start"] = Field(
        description="what preferences are measured against: nothing, or the frozen starting weights"
    )


class SemanticStage(StageConfig):
    """S1: phones to semantic tokens."""

    sizes: SemanticSizes
    recogniser: str = Field(description="run or voice model whose tokens are learned")
    bert: str = Field(description="folder of chinese-roberta-wwm-ext-large; empty: none")
    batch: int = Field(ge=1, description="average sentences")
    guide: float = Field(ge=0, description="weight of the guided attention")
    guided_layer: int = Field(ge=0)
    guided_heads: int = Field(ge=1)
    own_guesses: float = Field(
        ge=0, le=1, description="highest share of given tokens that are S1's own guesses"
    )
    dpo: Dpo

    @model_validator(mode="after")
    def _layers(self) -> Self:
        if self.guided_layer >= self.sizes.layers or self.guided_heads > self.sizes.heads:
            raise ValueError("guided_layer and guided_heads must be within layers and heads")
        return self


class AcousticSizes(Strict):
    """Of the v3 layout; what is not named here is as in `S2Config`."""

    inter_channels: int = Field(ge=2)
    hidden_channels: int = Field(ge=2)
    filter_channels: int = Field(ge=1)
    layers: int = Field(ge=1)
    mrte_hidden: int = Field(ge=4)
    gin_channels: int = Field(ge=2)
    wns1_width: int = Field(ge=2)
    wns1_layers: int = Field(ge=1)
    wns1_kernel: int = Field(ge=1)
    text_dim: int = Field(ge=1)
    dit_dim: int = Field(ge=16)
    dit_depth: int = Field(ge=1)
    dit_heads: int = Field(ge=1)
    dit_dim_head: int = Field(ge=2)
    conv_layers: int = Field(ge=0)
    conv_pos_kernel: int = Field(ge=1)


class AcousticStage(StageConfig):
    """S2 in the v3 layout: tokens, phones and a voice to mel."""

    family: Literal["v3"]
    sizes: AcousticSizes
    recogniser: str = Field(description="run or voice model whose tokens are spoken")
    guesses: str = Field(
        description="voice model whose S1 guesses tokens, as it will when it speaks; empty: none"
    )
    guessed: float = Field(ge=0, le=1, description="share of the clips with such tokens")
    batch_seconds: float = Field(gt=0, description="speech in a batch")
    window: int = Field(ge=8, description="frames that go through the transformer at once")
    guide: float = Field(ge=0, description="weight of the guided attention")
    phone: float = Field(ge=0, description="weight of the phone classifier")


class VocoderSizes(Strict):
    width: int = Field(ge=1)
    hidden: int = Field(ge=1)
    blocks: int = Field(ge=1)


class VocoderStage(StageConfig):
    """Mel to waveform."""

    sizes: VocoderSizes
    batch: int = Field(ge=1, description="segments")
    frames: int = Field(ge=12, description="of a segment, 256 samples each")
    adversarial_from: float = Field(
        ge=0, le=1, description="share of the schedule after which discriminators judge; 1: never"
    )


STAGES: dict[str, type[StageConfig]] = {
    "recogniser": RecogniserStage,
    "semantic": SemanticStage,
    "acoustic": AcousticStage,
    "vocoder": VocoderStage,
}


def load_stage(stage: str, path: Path | None = None) -> StageConfig:
    """The shipped values of a stage, overlaid value by value with the user's YAML file.

    Raises UsageError that names the stage, or the file and the value, that is wrong.
    """
    if stage not in STAGES:
        raise UsageError(f"there is no stage {stage!r}: the stages are {', '.join(STAGES)}")
    values = read_yaml(SHIPPED / f"{stage}.yaml")
    own = read_yaml(path) if path else {}
    if own.get("from") and "sizes" in own:
        raise UsageError(f"{path}: leave out sizes: they are those of the weights named by from")
    # Who gives one kind of schedule does not mean the shipped one of the other kind, too.
    if own.get("steps") is not None and "minutes" not in own:
        values["minutes"] = None
    try:
        return STAGES[stage].model_validate(_tuples(_overlaid(values, own)))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "it"
        if first["type"] == "extra_forbidden":
            names = ", ".join(_names(STAGES[stage], first["loc"][:-1]))
            raise UsageError(
                f"{path}: {field} is nothing that stage {stage} knows; it knows {names}"
            ) from error
        message = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"{path or SHIPPED}: {field}: {message}") from error


def _names(model: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    """The keys that stand at a place of a configuration."""
    for part in place:
        inner = model.model_fields[str(part)].annotation
        assert isinstance(inner, type) and issubclass(inner, BaseModel)
        model = inner
    return [field.alias or name for name, field in model.model_fields.items()]


def _overlaid(values: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    merged = dict(values)
    for name, value in own.items():
        below = merged.get(name)
        both = isinstance(below, dict) and isinstance(value, dict)
        merged[name] = _overlaid(below, value) if both else value  # type: ignore[arg-type]
    return merged


def _tuples(value: Any) -> Any:
    """YAML has lists where the strict models want tuples."""
    if isinstance(value, dict):
        return {name: _tuples(item) for name, item in value.items()}
    return tuple(value) if isinstance(value, list) else value
