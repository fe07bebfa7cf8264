"""What all kernels share: the compiler's decorator, views of Arrow strings, classes of characters.

A kernel reads (offsets int32[n + 1], data uint8[]) of a string array and never makes a Python
object of a token, line or row. Kernels are compiled at their first call and kept in numba's cache:
`__pycache__` beside the module, the user's cache directory where that is read-only, or
`NUMBA_CACHE_DIR`. Where none can be written they are compiled once a process (about 10 s).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.resources
import re
from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numba.extending
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

ALPHA = 1  # str.isalpha
ALNUM = 2  # str.isalnum
WORD = 4  # re's \w on str: str.isalnum or underscore
SPACE = 8  # re's \s on str: str.isspace

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]

_ALL_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """`function`, compiled at its first call; releases the GIL; cached where a cache can be."""
    try:
        compiled: Any = numba.njit(cache=True, nogil=True)(function)
        # numba looks at a function's own file; compiled code holds kernels of other files too
        with contextlib.suppress(AttributeError):  # internals of numba: a test holds them fast
            compiled._cache._cache_file._source_stamp = _fingerprint()
    except RuntimeError:  # numba: "no locator available": nowhere to keep compiled code
        compiled = numba.njit(nogil=True)(function)
    kernel: Function = compiled
    return kernel


def inlined(function: Function) -> Function:
    """A small kernel that is written into its callers: an array is 7 arguments of a call."""
    compiled: Function = numba.njit(nogil=True, inline="always")(function)
    return compiled


@functools.cache
def _fingerprint() -> str:
    """SHA-256 of the sources of the packages that hold kernels."""
    digest = hashlib.sha256()
    for package in ("facts", "near_dedup", "context_pii"):
        folder = importlib.resources.files("etl").joinpath(package)
        for source in sorted(folder.iterdir(), key=lambda source: source.name):
            if source.name.endswith(".py"):
                digest.update(source.read_bytes())
    return digest.hexdigest()


@numba.extending.intrinsic  # type: ignore[untyped-decorator]
def _load_word(typing_context: Any, array: Any, position: Any) -> Any:
    """8 bytes of a uint8 array at any position, little-endian, unchecked."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        struct = context.make_array(signature.args[0])(context, builder, arguments[0])
        address = builder.gep(struct.data, [arguments[1]])
        word = context.get_value_type(numba.uint64)
        return builder.load(builder.bitcast(address, word.as_pointer()), align=1)

    return numba.uint64(array, numba.int64), generate


@inlined
def load_word(data: Bytes, position: int, length: int) -> np.uint64:
    """The first `length` (1 to 8) bytes at `position` as a little-endian number."""
    if position + 8 <= len(data):
        word: np.uint64 = _load_word(data, position)
        return word & (_ALL_ONES >> np.uint64(64 - 8 * length))
    word = np.uint64(0)
    for i in range(length):
        word |= np.uint64(data[position + i]) << np.uint64(8 * i)
    return word


FNV_OFFSET, FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)


@kernel
def fnv_step(state: np.uint64, byte: int) -> np.uint64:
    """FNV-1a of one byte more, an ASCII letter in lower case: `etl.facts.pii_names.hash_of`."""
    if 65 <= byte <= 90:
        byte |= 0x20
    return (state ^ np.uint64(byte)) * FNV_PRIME


@kernel
def first_among(values: npt.NDArray[Any], first: int, last: int, value: Any) -> int:
    """Where the ascending values[first:last] have it first; -1 where they do not."""
    low, high = first, last
    while low < high:
        middle = (low + high) >> 1
        if values[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low if low < last and values[low] == value else -1


@kernel
def is_among(values: npt.NDArray[np.int64], first: int, last: int, value: np.int64) -> bool:
    """Whether the ascending values[first:last] have it."""
    return first_among(values, first, last, value) >= 0


def read_only(buffer: Any, dtype: Any) -> npt.NDArray[Any]:
    """The buffer as an array that cannot be written. Arrow gives writable memory for what this process
    made itself; a kernel compiled for that is another than a worker's, whose batches came by stream."""
    values = np.frombuffer(buffer, dtype)
    values.flags.writeable = False
    return values


def string_views(content: pa.Array, mask: Mask | None = None) -> tuple[Offsets, Bytes, Mask]:
    """Offsets (absolute, n + 1), bytes and the rows to do: not null, and in `mask` if given.

    No copy of the content: the arrays are read-only, and always are, as kernels are compiled for
    that. Raises TypeError for what is not a `string` array.
    """
    if not pa.types.is_string(content.type):
        raise TypeError(f"expected an array of type string, found {content.type}")
    _, offsets_buffer, data_buffer = content.buffers()
    if len(content) == 0 or offsets_buffer is None:
        return np.frombuffer(bytes(4), np.int32), np.frombuffer(b"", np.uint8), np.zeros(0, bool)
    offsets = read_only(offsets_buffer, np.int32)
    offsets = offsets[content.offset : content.offset + len(content) + 1]
    data = read_only(data_buffer or b"", np.uint8)
    due = np.array(pc.is_valid(content), np.bool_)
    return offsets, data, due if mask is None else due & mask


@functools.cache
def character_classes() -> Bytes:
    """uint8[0x110000]: ALPHA, ALNUM, WORD and SPACE of each code point, by this Python's Unicode.

    1.1 MB and about 60 ms, once a process.
    """
    points = np.arange(0x110000, dtype="<u4")
    points[0xD800:0xE000] = 0  # surrogates are not characters
    text = points.tobytes().decode("utf-32-le")
    classes = np.zeros(0x110000, np.uint8)
    for match in re.finditer(r"\w+", text):
        start, stop = match.span()
        alpha = np.fromiter(map(str.isalpha, text[start:stop]), np.uint8, stop - start)
        classes[start:stop] = alpha * ALPHA | ALNUM | WORD
    classes[ord("_")] = WORD
    for match in re.finditer(r"\s+", text):
        classes[match.start() : match.end()] |= SPACE
    return classes


@kernel
def decode(data: Bytes, position: int, end: int) -> tuple[int, int]:
    """(code point, position after it) of the character at `position`; U+FFFD for broken UTF-8."""
    byte = int(data[position])
    if byte < 0x80:
        return byte, position + 1
    if byte >= 0xF0:
        length = 4
        point = byte & 0x07
    elif byte >= 0xE0:
        length = 3
        point = byte & 0x0F
    else:
        length = 2
        point = byte & 0x1F
    if position + length > end:
        return 0xFFFD, end
    for i in range(1, length):
        point = (point << 6) | (int(data[position + i]) & 0x3F)
    if point >= 0x110000:
        point = 0xFFFD
    return point, position + length


@kernel
def class_before(data: Bytes, start: int, position: int, classes: Bytes) -> int:
    """Class of the character that ends at `position`; 0 at the start."""
    if position <= start:
        return 0
    first = position - 1
    while first > start and (data[first] & 0xC0) == 0x80:
        first -= 1
    point, _ = decode(data, first, position)
    return int(classes[point])


@kernel
def class_at(data: Bytes, position: int, end: int, classes: Bytes) -> int:
    """Class of the character at `position`; 0 at the end."""
    if position >= end:
        return 0
    point, _ = decode(data, position, end)
    return int(classes[point])


@kernel
def count_characters(data: Bytes, start: int, end: int) -> int:
    """Characters of well-formed UTF-8: bytes that do not continue one."""
    count = 0
    for i in range(start, end):
        count += (data[i] & 0xC0) != 0x80
    return count
