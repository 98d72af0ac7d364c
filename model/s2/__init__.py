"""Acoustic stage: semantic tokens, phones and a reference voice in, mel spectrogram out."""
