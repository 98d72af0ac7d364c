"""Manifests are bytes and back."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import UserError
from model.sampling import Sampling
from model.speaking import Characters, Prompt
from tasks.dub_takes import FittedLine, Fitting
from tasks.manifest import CarriedVoice, Manifest, Part, decode_manifest, encode_manifest
from tasks.render import Line

phones = st.lists(st.text(min_size=1, max_size=4), max_size=5).map(tuple)
characters = st.lists(
    st.builds(
        Characters,
        st.integers(0, 99),
        st.text(max_size=3),
        st.lists(st.integers(0, 5), max_size=3).map(tuple),
    ),
    max_size=2,
).map(tuple)
seconds = st.floats(0, 100)
lines = st.builds(Line, st.text(), phones, characters, st.text())
fitted = st.builds(FittedLine, st.text(), phones, characters, st.text(), seconds, seconds)
sampling = st.builds(Sampling, top_k=st.integers(1, 20), temperature=st.floats(0, 2))
prompts = st.none() | st.builds(Prompt, phones, characters)
voices = st.dictionaries(
    st.text(max_size=3),
    st.builds(
        CarriedVoice,
        st.lists(st.tuples(st.text(), st.integers(8000, 96000)), max_size=2).map(tuple),
        prompts,
        st.text(max_size=5),
        st.text(max_size=5),
    ),
    max_size=2,
)


def manifests(line, fitting):
    parts = st.lists(
        st.builds(Part, st.text(max_size=3), sampling, st.lists(line, max_size=3).map(tuple)),
        max_size=2,
    )
    return st.builds(Manifest, st.text(), st.booleans(), voices, parts.map(tuple), fitting)


fittings = st.builds(Fitting, st.sampled_from(["dub", "voice-over", "free"]), st.integers(1, 9))


@settings(max_examples=30)
@given(manifests(lines, st.none()) | manifests(fitted, fittings))
def test_a_manifest_is_bytes_and_back(manifest):
    data = encode_manifest(manifest)
    again = decode_manifest(data)
    assert again == manifest
    assert encode_manifest(again) == data


@settings(max_examples=30)
@given(
    st.binary(max_size=50)
    | st.recursive(st.integers() | st.text(), st.lists).map(
        lambda value: json.dumps(value).encode()
    )
)
def test_anything_else_is_a_sentence(data):
    with pytest.raises(UserError, match="manifest"):
        decode_manifest(data)


def test_another_version_is_told():
    manifest = Manifest("", False, {}, (Part("", Sampling(), (Line("k", ("AA",)),)),))
    record = json.loads(encode_manifest(manifest)) | {"version": 99}
    with pytest.raises(UserError, match="version"):
        decode_manifest(json.dumps(record).encode())
    assert decode_manifest(encode_manifest(replace(manifest, model="a"))).model == "a"
