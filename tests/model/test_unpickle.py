"""Checkpoints from strangers: data is read, code is not run, damage is said in a sentence."""

import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import UserError
from model.unpickle import read_checkpoint
from tests.official_files import HParams, save


def rewrite(path: Path, pickled: bytes) -> Path:
    """The same zip with another pickle in it."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, pickled if name.endswith("data.pkl") else data)
    return path


def zipped(path: Path, pickled: bytes) -> Path:
    return rewrite(save({"weight": torch.ones(4)}, path), pickled)


CONTENT = OrderedDict(
    weight=OrderedDict(
        a=torch.arange(6, dtype=torch.float16).view(2, 3),
        b=torch.arange(6.0).view(2, 3).t(),
        c=torch.tensor(7),
        d=torch.empty(0, 3),
        e=torch.nn.Parameter(torch.ones(2, dtype=torch.bfloat16)),
    ),
    config=HParams(model={"version": "v2", "rates": [10, 8], "pair": (1, 2.5)}, name="ada"),
    info="8epoch",
    others=[None, True, 2**40, -1, b"bytes", {"set"}, torch.float16, torch.Size([1, 2])],
)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before 1.6"])
def test_what_is_data_comes_back(tmp_path: Path, legacy: bool) -> None:
    read = read_checkpoint(save(CONTENT, tmp_path / "a.pth", legacy=legacy))
    for key, value in CONTENT["weight"].items():
        assert read.content["weight"][key].dtype == value.dtype
        assert torch.equal(read.content["weight"][key], value)
    assert read.content["config"] == {
        "model": {"version": "v2", "rates": [10, 8], "pair": (1, 2.5)},
        "name": "ada",
    }
    assert read.content["info"] == "8epoch"
    assert read.content["others"] == CONTENT["others"]


def test_a_state_dict_with_metadata(tmp_path: Path) -> None:
    weights = torch.nn.Sequential(torch.nn.Linear(2, 3)).state_dict()
    assert hasattr(weights, "_metadata")
    read = read_checkpoint(save(weights, tmp_path / "a.pth")).content
    assert torch.equal(read["0.weight"], weights["0.weight"])


@pytest.mark.parametrize("head", [b"03", b"04", b"05", b"06"])
def test_a_version_over_the_first_two_bytes(tmp_path: Path, head: bytes) -> None:
    path = save({"weight": torch.arange(3)}, tmp_path / "a.pth", head)
    before = path.read_bytes()
    read = read_checkpoint(path)
    assert read.head == head.decode()
    assert torch.equal(read.content["weight"], torch.arange(3))
    assert path.read_bytes() == before


def test_writing_to_what_was_read_leaves_the_file(tmp_path: Path) -> None:
    path = save({"weight": torch.zeros(3)}, tmp_path / "a.pth")
    before = path.read_bytes()
    read_checkpoint(path).content["weight"].fill_(5)
    assert path.read_bytes() == before


class Calls:
    """Pickled as a call of `function`."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


def hostile(trap: Path) -> dict[str, tuple[object, str]]:
    """Things that would leave `trap` behind when unpickled, and the name that gives them away."""
    command = f"touch {trap}"
    code = f"open({str(trap)!r}, 'w')"
    return {
        "os.system": (Calls(os.system, command), "posix.system"),
        "eval": (Calls(eval, code), "builtins.eval"),
        "exec": (Calls(exec, code), "builtins.exec"),
        "getattr": (Calls(getattr, "x", "upper"), "builtins.getattr"),
        "torch.load": (Calls(torch.load, str(trap)), "torch.serialization.load"),
        "import": (Calls(__import__, "os"), "builtins.__import__"),
        "open": (Calls(open, str(trap), "w"), "io.open"),
        "nested": ({"weight": [OrderedDict(x=(Calls(os.system, command),))]}, "posix.system"),
        "as a key": ({Calls(os.system, command): 1}, "posix.system"),
        "in an argument": (Calls(print, Calls(os.system, command)), "builtins.print"),
        "pickle in a pickle": (
            Calls(pickle.loads, pickle.dumps(Calls(os.system, command))),
            "_pickle.loads",
        ),
        "storage bytes": (
            Calls(torch.storage._load_from_bytes, b"x"),
            "torch.storage._load_from_bytes",
        ),
    }


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before 1.6"])
@pytest.mark.parametrize("how", sorted(hostile(Path())))
def test_code_is_named_and_not_run(tmp_path: Path, how: str, legacy: bool) -> None:
    trap = tmp_path / "trap"
    attack, name = hostile(trap)[how]
    path = save(attack, tmp_path / "a.pth", legacy=legacy)
    if how in ("os.system", "exec"):
        torch.load(path, weights_only=False)
        assert trap.exists(), "the attack itself must work, or this shows nothing"
        trap.unlink()
    with pytest.raises(UserError, match="was not loaded: it asks for") as refusal:
        read_checkpoint(path)
    assert name.split(".")[-1] in str(refusal.value)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("pickled", "name"),
    [
        (b"(ios\nsystem\n.", "os.system"),  # INST, as in protocol 0
        (b"cos\nsystem\n(S'touch trap'\ntR.", "os.system"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x05touch\x85R.", "os.system"),
        (b"\x80\x04\x8c\x0ctorch._utils\x8c\x09os.system\x93.", "torch._utils.os.system"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"\x80\x05\x97.", "NEXT_BUFFER"),
        (b"ctorch\nload\n.", "torch.load"),
        (b"cutils\nHParams\n(S'x'\ntR.", "STRING"),
        (b"cutils\nHParams\n)R.", "HParams"),
        (b"ccollections\nOrderedDict\n)\x81cposix\nsystem\nb.", "posix.system"),
        (b"\x80\x02c\x1b[31m\nred\n.", "?[31m.red"),
        (b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00xX\x03\x00\x00\x00hex\x86R.", "hex"),
    ],
)
def test_pickles_made_by_hand(tmp_path: Path, pickled: bytes, name: str) -> None:
    with pytest.raises(UserError) as refusal:
        read_checkpoint(zipped(tmp_path / "a.pth", pickled))
    assert name in str(refusal.value)
    assert "\x1b" not in str(refusal.value)
    assert list(tmp_path.iterdir()) == [tmp_path / "a.pth"]


def tensor_pickle(size: tuple[int, ...], stride: tuple[int, ...], offset: int, count: int) -> bytes:
    """A tensor over the four numbers that are in the file."""

    def number(value: int) -> bytes:
        return b"\x8a\x08" + struct.pack("<q", value)

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(number(value) for value in values) + b"t"

    storage = (
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
    )
    storage += number(count) + b"tQ"
    return (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n("
        + storage
        + number(offset)
        + numbers(size)
        + numbers(stride)
        + b"\x89}tR."
    )


def test_a_tensor_made_by_hand(tmp_path: Path) -> None:
    pickled = tensor_pickle((2, 2), (2, 1), 0, 4)
    read = read_checkpoint(zipped(tmp_path / "a.pth", pickled)).content
    assert torch.equal(read, torch.ones(2, 2))


@pytest.mark.parametrize(
    ("size", "stride", "offset", "count"),
    [
        ((5,), (1,), 0, 4),
        ((2,), (4,), 0, 4),
        ((1,), (1,), 4, 4),
        ((1,), (1,), -1, 4),
        ((2,), (-1,), 1, 4),
        ((2, 2), (1,), 0, 4),
        ((2**40,), (0,), 0, 4),  # 4 TB of the same number
        ((2**32, 2**32), (0, 0), 0, 4),
        ((4,), (1,), 0, 2**40),
        ((4,), (1,), 0, -1),
    ],
)
def test_tensors_stay_within_their_storage(
    tmp_path: Path, size: tuple[int, ...], stride: tuple[int, ...], offset: int, count: int
) -> None:
    pickled = tensor_pickle(size, stride, offset, count)
    with pytest.raises(UserError, match=r"a\.pth is damaged \(.*\); get it again"):
        read_checkpoint(zipped(tmp_path / "a.pth", pickled))


def test_compressed_members_are_refused(tmp_path: Path) -> None:
    """100 MB of zeros in 100 kB: sizes in memory are never more than sizes on disk."""
    path = save({"weight": torch.zeros(4)}, tmp_path / "a.pth")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data/1", bytes(10**8))
    assert path.stat().st_size < 2 * 10**5
    with pytest.raises(UserError, match="a compressed or encrypted member"):
        read_checkpoint(path)


def test_tuples_that_take_for_ever_to_hash_are_no_keys(tmp_path: Path) -> None:
    doubling = b"\x80\x02}K\x01" + b"q\x00h\x00\x86" * 60 + b"K\x01s."
    with pytest.raises(UserError, match="a tuple is a key"):
        read_checkpoint(zipped(tmp_path / "a.pth", doubling))


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before 1.6"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95, 0.999])
def test_files_that_are_cut_short(tmp_path: Path, share: float, legacy: bool) -> None:
    whole = save(CONTENT, tmp_path / "a.pth", legacy=legacy).read_bytes()
    cut = tmp_path / "b.pth"
    cut.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UserError, match=r"b\.pth is (cut short or )?damaged"):
        read_checkpoint(cut)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "is empty"),
        (b"RIFF1234WAVEfmt ", "is no checkpoint of GPT-SoVITS"),
        (b"PK\x05\x06" + bytes(18), "is no checkpoint of GPT-SoVITS"),
        (pickle.dumps({"weight": 1}), "is no checkpoint of GPT-SoVITS"),
        (b"99\x03\x04" + bytes(60), "is no checkpoint of GPT-SoVITS"),
    ],
)
def test_other_files(tmp_path: Path, data: bytes, sentence: str) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(data)
    with pytest.raises(UserError, match=sentence):
        read_checkpoint(path)


def test_a_zip_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("letter.txt", "hello")
    with pytest.raises(UserError, match="it holds no tensors"):
        read_checkpoint(path)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.pth", tmp_path):
        with pytest.raises(UserError, match="can't be read"):
            read_checkpoint(path)


@given(place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255), legacy=st.booleans())
def test_a_flipped_byte_is_data_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, place: float, value: int, legacy: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / f"flip-{legacy}.pth"
    if not path.exists():
        save(CONTENT, path, legacy=legacy)
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] = value
    flipped = path.with_suffix(".flipped")
    flipped.write_bytes(data)
    try:
        read_checkpoint(flipped)
    except UserError as error:
        assert "\n" not in str(error)


@given(st.binary(max_size=60))
def test_any_bytes_for_a_pickle(tmp_path_factory: pytest.TempPathFactory, pickled: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.pth"
    try:
        read_checkpoint(zipped(path, pickled + b"."))
    except UserError as error:
        assert "\n" not in str(error)
