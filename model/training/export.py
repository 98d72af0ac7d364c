"""Collects the trained parts into a voice model's folder.

    python -m model.training.export --runs DIR --out model/pretrained

`DIR` holds the trainers' folders `recogniser`, `s1`, `s2` and `vocoder`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from model.checkpoint import VoiceConfig, save_model
from model.istft_vocoder import IstftVocoder
from model.recogniser import Recogniser
from model.s1 import Text2SemanticDecoder
from model.s2.synthesizer import SynthesizerTrnV3
from model.spectral import MelConfig
from model.training import acoustic, semantic
from model.training.loop import averaged_weights

NAME = "voxloom-mini"
PROMPT_FRAMES = 180
FLOW_BEGIN = 0.2
SPEECH_LEVEL_DB = -19.0
"""RMS of the louder half of the corpus' frames, in the median."""


def export(runs: Path, out: Path) -> None:
    recogniser = Recogniser()
    recogniser.load_state_dict(torch.load(runs / "recogniser/encoder.pt", weights_only=True))
    recogniser.phones.load_state_dict(averaged_weights(runs / "recogniser/quantizer", "head"))
    s1 = Text2SemanticDecoder(semantic.CONFIG)
    s1.load_state_dict(averaged_weights(runs / "s1", "s1"))
    s2 = SynthesizerTrnV3(acoustic.CONFIG)
    s2.load_state_dict(averaged_weights(runs / "s2", "s2"))
    vocoder = IstftVocoder()
    vocoder.load_state_dict(averaged_weights(runs / "vocoder", "vocoder"))
    config = VoiceConfig(
        name=NAME,
        sample_rate=MelConfig().sample_rate,
        window_frames=acoustic.WINDOW,
        prompt_frames=PROMPT_FRAMES,
        flow_begin=FLOW_BEGIN,
        reference_level_db=SPEECH_LEVEL_DB,
        carried_sounds=0,
    )
    save_model(out, config, {"recogniser": recogniser, "s1": s1, "s2": s2, "vocoder": vocoder})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    export(options.runs, options.out)


if __name__ == "__main__":
    main()
