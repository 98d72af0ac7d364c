"""Trainers of the built-in voice: corpus, recogniser, S1, S2 and vocoder."""
