"""Reads PyTorch checkpoints from strangers: data is let through, nothing in them is run.

A checkpoint is a pickle, a little program that may name any function and call it. This is an
interpreter of that program which knows only the few names that stand for data (tensors, containers,
numbers, strings, the attribute bag of GPT-SoVITS) and builds those itself; any other name ends it.
"""

from __future__ import annotations

import io
import mmap
import pickletools
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from configs.errors import UserError

HEADS = {
    "00": "v1",
    "01": "v2",
    "02": "v3",
    "03": "v3",
    "04": "v4",
    "05": "v2Pro",
    "06": "v2ProPlus",
}
"""What GPT-SoVITS writes over the first two bytes of a checkpoint, and the version it means."""

HEAD_BYTES = 8192
_PICKLE_LIMIT = 64 * 2**20
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_ZIP_LOCAL_HEADER = 30
_ENCRYPTED = 1

_MALFORMED = (
    AttributeError,
    IndexError,
    KeyError,
    OSError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds. `head`: its first two bytes as text, `PK` unless GPT-SoVITS has
    written a version there; `start`: its first 8 KiB, which tell official files from others."""

    path: Path
    head: str
    start: bytes
    content: Any


class Bag(dict[str, Any]):
    """GPT-SoVITS's `utils.HParams`, an object with attributes, as the dict that it is."""


def read_checkpoint(path: Path) -> Checkpoint:
    """Reads a torch file, zip or the older layout; tensors are memory-mapped and copied on write.

    UserError, one sentence, where the file can't be read, is no checkpoint, is cut short, or asks
    for anything that is not data.
    """
    try:
        with path.open("rb") as file:
            start = file.read(HEAD_BYTES)
            # The map outlives the file; what is written to it stays in memory.
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) if start else None
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror or error}.") from error
    if data is None:
        raise UserError(f"{path} is empty; get the file again.")
    head = start[:2].decode("latin-1")
    try:
        if start.startswith(_LEGACY_START):
            content = _read_legacy(data)
        elif start[2:4] == b"\x03\x04" and (head == "PK" or head in HEADS):
            content = _read_zip(path, data)
        else:
            raise UserError(
                f"{path} is no checkpoint of GPT-SoVITS: it does not begin as PyTorch's files do."
            )
    except _RefusedError as refusal:
        raise UserError(
            f"{path} was not loaded: it asks for {refusal}, which no voice model needs and which "
            "may be an attack; get the model from somebody you trust."
        ) from refusal
    except zipfile.BadZipFile as error:
        raise UserError(
            f"{path} is cut short or damaged (its list of contents is missing); get it again."
        ) from error
    except _MALFORMED as error:
        raise UserError(f"{path} is damaged ({_shown(str(error))}); get it again.") from error
    return Checkpoint(path, head, start, content)


def _read_zip(path: Path, data: mmap.mmap) -> Any:
    """PyTorch's zip layout: `*/data.pkl`, and a member `*/data/KEY` for each storage.

    Members must be stored as they are, as PyTorch writes them: then nothing can be larger in memory
    than it is in the file.
    """
    members: dict[str, memoryview] = {}
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & _ENCRYPTED:
                raise _RefusedError(f"a compressed or encrypted member ({_shown(info.filename)})")
            # Only the lengths are read here: the name's two first bytes may be GPT-SoVITS's.
            fixed = data[info.header_offset : info.header_offset + _ZIP_LOCAL_HEADER]
            name_length, extra_length = struct.unpack("<HH", fixed[26:])
            begin = info.header_offset + _ZIP_LOCAL_HEADER + name_length + extra_length
            if begin + info.file_size > len(data):
                raise ValueError(f"{info.filename} goes on beyond the file's end")
            members[info.filename] = memoryview(data)[begin : begin + info.file_size]
    pickles = [name for name in members if name.rpartition("/")[2] == "data.pkl"]
    if len(pickles) != 1:
        raise ValueError("it holds no tensors of PyTorch")
    folder = pickles[0].removesuffix("data.pkl")
    if bytes(members.get(f"{folder}byteorder", b"little")) != b"little":
        raise ValueError("it was written on a big-endian machine")
    if len(members[pickles[0]]) > _PICKLE_LIMIT:
        raise ValueError("its description is larger than any model's")
    storages: dict[str, Tensor] = {}

    def storage(key: str, dtype: torch.dtype, count: int) -> Tensor:
        if key not in storages:
            storages[key] = _flat(members[f"{folder}data/{key}"], dtype, count)
        return storages[key]

    return _run(io.BytesIO(members[pickles[0]]), storage)


def _read_legacy(data: mmap.mmap) -> Any:
    """The layout before PyTorch 1.6: pickles of facts, content and storage keys, then storages.

    The content's pickle runs twice, since the storages behind it can be found only once their
    types are known.
    """

    def none(key: str, dtype: torch.dtype, count: int) -> Tensor:
        raise ValueError("its facts hold tensors")

    if _run(data, none) != _LEGACY_MAGIC:
        raise ValueError("its magic number is wrong")
    _run(data, none)  # the layout's version
    facts = _run(data, none)
    if not facts["little_endian"]:
        raise ValueError("it was written on a big-endian machine")
    content_at = data.tell()
    wanted: dict[str, tuple[torch.dtype, int]] = {}

    def note(key: str, dtype: torch.dtype, count: int) -> Tensor:
        if wanted.setdefault(key, (dtype, count)) != (dtype, count):
            raise ValueError(f"storage {_shown(key)} has two types")
        return torch.empty(_count(count), dtype=dtype, device="meta")  # takes no memory

    _run(data, note)
    keys = _run(data, none)
    storages: dict[str, Tensor] = {}
    view = memoryview(data)
    at = data.tell()
    for key in keys:
        dtype, count = wanted[key]
        (stored,) = struct.unpack("<q", view[at : at + 8])
        at += 8
        size = _count(count) * dtype.itemsize
        if stored != count or at + size > len(view):
            raise ValueError(f"storage {_shown(key)} is cut short")
        storages[key] = _flat(view[at : at + size], dtype, count)
        at += size
    data.seek(content_at)
    return _run(data, lambda key, dtype, count: storages[key])


def _flat(view: memoryview, dtype: torch.dtype, count: int) -> Tensor:
    """`count` numbers of a storage, without a copy where they are aligned."""
    if _count(count) * dtype.itemsize > len(view):
        raise ValueError("a storage is cut short")
    if count == 0:
        return torch.empty(0, dtype=dtype)
    flat = torch.frombuffer(view, dtype=torch.uint8, count=count * dtype.itemsize)
    return flat.view(dtype) if flat.data_ptr() % dtype.itemsize == 0 else flat.clone().view(dtype)


class _RefusedError(Exception):
    """The pickle wants something that is not data; the message names it."""


@dataclass(frozen=True)
class _Name:
    """A name that stands for data, and what builds it from arguments (None: not called)."""

    name: str
    build: Callable[..., Any] | None = None


@dataclass(frozen=True)
class _StorageType:
    dtype: torch.dtype


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *more: Any) -> Tensor:
    """torch._utils._rebuild_tensor_v2, with its bounds checked (gradients, hooks are dropped)."""
    if not isinstance(storage, Tensor) or storage.ndim != 1:
        raise ValueError("a tensor has no storage")
    if len(size) != len(stride):
        raise ValueError("a tensor has more strides than sizes")
    sizes, strides = [_count(n) for n in size], [_count(n) for n in stride]
    numbers = 1
    for n in sizes:
        numbers *= n
    last = _count(offset) + sum((n - 1) * step for n, step in zip(sizes, strides, strict=True))
    # The first also keeps a tensor from repeating a storage until no memory can hold it.
    if numbers > len(storage) or (numbers and last >= len(storage)):
        raise ValueError("a tensor reaches beyond its storage")
    return storage.as_strided(sizes, strides, offset) if numbers else storage.new_empty(sizes)


def _parameter(data: Any, *more: Any) -> Tensor:
    if not isinstance(data, Tensor):
        raise ValueError("a parameter holds no tensor")
    return data


def _encoded(text: str, encoding: str) -> bytes:
    """How protocol 2 spells bytes."""
    if encoding != "latin1":
        raise _RefusedError(f"the encoding {_shown(encoding)}")
    return text.encode("latin-1")


def _mapping(pairs: Any = ()) -> dict[Any, Any]:
    return {_key(key): value for key, value in pairs}


def _set(items: Any = ()) -> set[Any]:
    return {_key(item) for item in items}


def _key(thing: Any) -> Any:
    """Nested tuples, which Python also takes for keys, can be made to take for ever to hash."""
    if not isinstance(thing, _KEYS):
        raise ValueError(f"a {type(thing).__name__} is a key")
    return thing


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"a {type(value).__name__} stands for a size")
    return value


_KEYS = (str, bytes, int, float, type(None))
_DTYPES = {
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Double": torch.float64,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
}
_DATA: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _Name("OrderedDict", _mapping),
    ("torch._utils", "_rebuild_tensor"): _Name("_rebuild_tensor", _tensor),
    ("torch._utils", "_rebuild_tensor_v2"): _Name("_rebuild_tensor_v2", _tensor),
    ("torch._utils", "_rebuild_parameter"): _Name("_rebuild_parameter", _parameter),
    ("torch", "Size"): _Name("Size", torch.Size),
    ("torch", "device"): _Name("device", torch.device),
    ("_codecs", "encode"): _Name("encode", _encoded),
    ("utils", "HParams"): _Name("HParams"),
    ("GPT_SoVITS.utils", "HParams"): _Name("HParams"),
}
for _module in ("builtins", "__builtin__"):
    _DATA[_module, "set"] = _Name("set", _set)
    _DATA[_module, "dict"] = _Name("dict", _mapping)
for _prefix, _dtype in _DTYPES.items():
    _DATA["torch", f"{_prefix}Storage"] = _StorageType(_dtype)
    _DATA["torch", str(_dtype).removeprefix("torch.")] = _dtype


def _look_up(module: Any, name: Any) -> Any:
    found = _DATA.get((module, name)) if isinstance(module, str) and isinstance(name, str) else None
    if found is None:
        raise _RefusedError(_shown(f"{module}.{name}"))
    return found


Storage = Callable[[str, torch.dtype, int], Tensor]


def _stored(identity: Any, storage: Storage) -> Tensor:
    """A storage by its persistent identity: ("storage", type, key, device, count[, view])."""
    kind, storage_type, key, _, count = identity[:5]
    if kind != "storage" or not isinstance(storage_type, _StorageType) or not isinstance(key, str):
        raise ValueError("it refers to something that is no storage")
    if len(identity) > 5 and identity[5] is not None:
        raise ValueError("it refers to a part of a storage")
    return storage(key, storage_type.dtype, count)


def _call(function: Any, arguments: Any) -> Any:
    if not isinstance(function, _Name) or function.build is None or type(arguments) is not tuple:
        raise _RefusedError(f"a call of {getattr(function, 'name', type(function).__name__)}")
    return function.build(*arguments)


def _new(kind: Any, arguments: Any) -> Any:
    if isinstance(kind, _Name) and kind.name == "HParams" and arguments == ():
        return Bag()
    return _call(kind, arguments)


def _fill(thing: Any, state: Any) -> None:
    """BUILD: attributes of a bag; those of an OrderedDict (a state dict's `_metadata`) are left."""
    if isinstance(thing, Bag) and isinstance(state, dict):
        thing.update(state)
    elif type(thing) is not dict:
        raise _RefusedError(f"a change of a {type(thing).__name__}")


_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": set,
}
_LITERALS = {
    "BININT",
    "BININT1",
    "BININT2",
    "LONG1",
    "LONG4",
    "BINFLOAT",
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE8",
    "BINBYTES",
    "SHORT_BINBYTES",
    "BINBYTES8",
    "BINSTRING",
    "SHORT_BINSTRING",
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def _run(stream: IO[bytes] | mmap.mmap, storage: Storage) -> Any:
    """Runs one pickle up to its end -> what it leaves; _RefusedError or one of _MALFORMED."""
    stack: list[Any] = []
    below: list[list[Any]] = []  # what lay on the stack at each mark
    memo: dict[int, Any] = {}

    def marked() -> list[Any]:
        nonlocal stack
        items, stack = stack, below.pop()
        return items

    argument: Any
    for opcode, argument, _ in pickletools.genops(stream):  # type: ignore[arg-type]
        name = opcode.name
        if name in _LITERALS:
            stack.append(argument)
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name == "MARK":
            below.append(stack)
            stack = []
        elif name == "TUPLE":
            items = marked()
            stack.append(tuple(items))
        elif name in _TUPLES:
            count = _TUPLES[name]
            if len(stack) < count:
                raise ValueError("it takes more than there is")
            stack[-count:] = [tuple(stack[-count:])]
        elif name in ("SETITEM", "SETITEMS"):
            items = marked() if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
            if not isinstance(stack[-1], dict):
                raise ValueError("it sets items of no dict")
            stack[-1].update(zip(map(_key, items[::2]), items[1::2], strict=True))
        elif name in ("APPEND", "APPENDS"):
            items = marked() if name == "APPENDS" else [stack.pop()]
            if type(stack[-1]) is not list:
                raise ValueError("it appends to no list")
            stack[-1].extend(items)
        elif name == "ADDITEMS":
            items = marked()
            if type(stack[-1]) is not set:
                raise ValueError("it adds to no set")
            stack[-1].update(map(_key, items))
        elif name in ("GLOBAL", "INST"):
            module, _, attribute = argument.partition(" ")
            if name == "INST":
                raise _RefusedError(f"an instance of {_shown(f'{module}.{attribute}')}")
            stack.append(_look_up(module, attribute))
        elif name == "STACK_GLOBAL":
            attribute = stack.pop()
            stack[-1] = _look_up(stack[-1], attribute)
        elif name == "BINPERSID":
            stack[-1] = _stored(stack[-1], storage)
        elif name in ("REDUCE", "NEWOBJ"):
            arguments = stack.pop()
            stack[-1] = (_call if name == "REDUCE" else _new)(stack[-1], arguments)
        elif name == "BUILD":
            state = stack.pop()
            _fill(stack[-1], state)
        elif name == "STOP":
            return stack.pop()
        elif name not in ("PROTO", "FRAME"):
            raise _RefusedError(f"the pickle instruction {name}")
    raise ValueError("its description has no end")


def _shown(text: str) -> str:
    """A stranger's text in a message: on one line, without control characters, not too long."""
    return "".join(c if c.isprintable() else "?" for c in text[:100])
