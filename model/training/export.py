"""Collects the trained parts into a voice model's folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from configs.errors import UserError
from model.checkpoint import VoiceConfig, save_model
from model.istft_vocoder import IstftVocoder, IstftVocoderConfig
from model.s1 import S1Config, Text2SemanticDecoder
from model.s2.synthesizer import S2Config, SynthesizerTrnV3
from model.training.acoustic import load_quantizer
from model.training.loop import averaged_weights
from model.training.stages import read_record
from model.training.tokens import BUILT_IN, FILE, find_model, load_tokeniser, of_model


def export(runs: Path, out: Path, base: str = BUILT_IN, name: str = "") -> list[str]:
    """Writes the averaged weights of the runs in `runs` (folders called recogniser, semantic,
    acoustic and vocoder) as a voice model; returns the stages that were found.

    What was not trained is the `base` model's. Raises UserError where nothing was trained, or where
    parts do not belong together: S1 and S2 must have learned the tokens that the model makes.
    """
    if not runs.is_dir():
        raise UserError(f"{runs} is no folder: give the folder that holds the runs.")
    model = find_model(base)
    trained = [
        stage
        for stage in ("recogniser", "semantic", "acoustic", "vocoder")
        if (runs / stage / "checkpoint.pt").exists()
    ]
    if not trained:
        raise UserError(
            f"{runs} holds no run: the folders of the stages in it must be called recogniser, "
            "semantic, acoustic and vocoder."
        )
    tokeniser = of_model(model)
    if "recogniser" in trained:
        tokeniser = load_tokeniser(runs / "recogniser")
    same = tokeniser.hash == of_model(model).hash
    for stage in ("semantic", "acoustic"):
        fits = read_record(runs / stage).get("tokens") == tokeniser.hash
        if not (fits if stage in trained else same):
            raise UserError(
                f"The stage {stage} has not learned the tokens that the others speak: train it "
                f"with the same recogniser ({runs / 'recogniser' / FILE})."
            )
    s1, s2, vocoder = model.s1, model.s2, model.vocoder
    if "semantic" in trained:
        s1 = Text2SemanticDecoder(S1Config(**read_record(runs / "semantic")["sizes"]))
        s1.load_state_dict(averaged_weights(runs / "semantic", "s1"))
    if "acoustic" in trained:
        s2 = SynthesizerTrnV3(S2Config(**read_record(runs / "acoustic")["sizes"]))
        s2.load_state_dict(averaged_weights(runs / "acoustic", "s2"))
        load_quantizer(s2, tokeniser)
    if "vocoder" in trained:
        vocoder = IstftVocoder(IstftVocoderConfig(**read_record(runs / "vocoder")["sizes"]))
        vocoder.load_state_dict(averaged_weights(runs / "vocoder", "vocoder"))
    config: VoiceConfig = replace(model.config, name=name or model.config.name)
    if "acoustic" in trained:
        window = read_record(runs / "acoustic")["config"]["window"]
        prompt = min(config.prompt_frames, window // 2)
        config = replace(config, window_frames=window, prompt_frames=prompt)
    parts = {"recogniser": tokeniser.recogniser, "s1": s1, "s2": s2, "vocoder": vocoder}
    save_model(out, config, parts)
    return trained
