import json

from hypothesis import given
from hypothesis import strategies as st

from storage.keys import content_key, hash_bytes, is_key

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), values))
def test_a_key_does_not_depend_on_the_order_of_names(content):
    backwards = dict(reversed(content.items()))
    assert content_key(content) == content_key(backwards)
    assert is_key(content_key(content))


def test_keys_stay_what_they_are():
    assert hash_bytes(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    expected = hash_bytes('{"a":1,"b":["é",0.5]}'.encode())
    assert content_key({"b": ["é", 0.5], "a": 1}) == expected
    assert content_key({"a": 1}) != content_key({"a": 2})
    assert content_key(json.loads('{"a": 1.0}')) != content_key({"a": 1})


def test_is_key():
    assert not is_key("")
    assert not is_key("../" + "a" * 61)
    assert not is_key("A" * 64)
    assert not is_key("a" * 64 + "\n")
