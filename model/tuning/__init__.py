"""Few-shot fine-tuning: a voice model is adapted to one person from minutes of recording."""

from model.tuning.loop import Point, Progress
from model.tuning.options import Clip, Tuned, TuningOptions
from model.tuning.voice import apply_tuning, part_way, tune_voice

__all__ = [
    "Clip",
    "Point",
    "Progress",
    "Tuned",
    "TuningOptions",
    "apply_tuning",
    "part_way",
    "tune_voice",
]
