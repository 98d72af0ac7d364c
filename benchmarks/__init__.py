"""Measurements: parity with official GPT-SoVITS, and speed."""
