"""Token vectors of many documents: one array of tokens and the offsets at which each document begins."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, overload

import ml_dtypes
import numpy as np
import numpy.typing as npt

from vectorplug import quantizing
from vectorplug.errors import InputError
from vectorplug.tokenfiles import checksum, parsed

__all__ = ["MultiVectors", "dtype_of", "positions_of"]

type_names = {
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "int8": np.dtype(np.int8),
    "int4": np.dtype(ml_dtypes.int4),
}
# Those that come with a scale a token, by the dtype of `values`.
scaled_types: dict[np.dtype[Any], np.dtype[Any]] = {
    np.dtype(np.int8): type_names["int8"],
    np.dtype(np.uint8): type_names["int4"],
}
FORMAT = "vectorplug.multivectors/1"
# int4 needs its rotation and its levels to be read: another of either has another name.
INT4_FORMAT = "vectorplug.multivectors/1 int4/1"


class MultiVectors:
    """`values` [total, dim] in float32, float16, bfloat16 or int8; `offsets` int64 [n + 1].

    Document i is `values[offsets[i]:offsets[i + 1]]`; every document has at least one token. int8 values come with
    `scales` float32 [total]: token t stands for `values[t] * scales[t]`. So do the codes of int4, whose `values` are
    uint8 [total, dim / 2], two numbers a byte (quantizing.py says which). Raises InputError for anything else, and
    for NaN or infinity, and says where. Instances are immutable by convention: slices are views.
    """

    __slots__ = ("offsets", "scales", "values")

    values: npt.NDArray[Any]
    offsets: npt.NDArray[np.int64]
    scales: npt.NDArray[np.float32] | None

    def __init__(self, values: npt.ArrayLike, offsets: npt.ArrayLike, scales: npt.ArrayLike | None = None) -> None:
        self.values = _checked_values(np.asarray(values))
        self.offsets = _checked_offsets(np.asarray(offsets), len(self.values))
        self.scales = None if scales is None else np.ascontiguousarray(scales, dtype=np.float32)
        _check_scales(self.values, self.scales)
        self._check_finite()

    @classmethod
    def from_list(cls, arrays: Sequence[npt.ArrayLike], *, dim: int | None = None) -> Self:
        """n arrays [tokens_i, dim] of one float dtype (else float32) become one MultiVectors, copied once.

        `dim` is needed only where `arrays` may be empty: no document, but still `dim` numbers a token.
        """
        documents = [_real_array(a, i) for i, a in enumerate(arrays)]
        for i, document in enumerate(documents):
            if document.ndim != 2 or document.shape[0] == 0 or document.shape[1] == 0:
                raise InputError(
                    f"document {i} has shape {document.shape}, expected [tokens, dim] with at least one token.",
                    index=i,
                )
            expected = documents[0].shape[1] if dim is None else dim
            if document.shape[1] != expected:
                raise InputError(
                    f"document {i} has {document.shape[1]} numbers a token, expected {expected}: "
                    "token vectors of one collection have one dim.",
                    index=i,
                )
        if not documents:
            return cls._trusted(np.empty((0, dim or 0), np.float32), np.zeros(1, np.int64))
        dtypes = {d.dtype for d in documents}
        only = dtypes.pop() if len(dtypes) == 1 else None
        keep = only is not None and only in type_names.values() and only not in scaled_types.values()
        total = sum(len(d) for d in documents)
        values = np.empty((total, documents[0].shape[1]), only if keep else np.float32)
        with np.errstate(over="ignore"):  # beyond float32 becomes infinity, which is refused below
            np.concatenate(documents, out=values, casting="unsafe")
        return cls(values, _offsets_of([len(d) for d in documents]))

    @classmethod
    def concatenate(cls, parts: Iterable["MultiVectors"]) -> Self:
        """Documents of all parts, in order, copied once; the parts share one dim and one dtype."""
        parts = list(parts)
        if not parts:
            return cls.from_list([])
        first = parts[0]
        for i, part in enumerate(parts):
            if part.dim != first.dim or part.dtype != first.dtype:
                raise InputError(
                    f"part {i} is {part.dtype} of dim {part.dim}, the first is {first.dtype} of dim {first.dim}: "
                    "bring them to one dtype with astype().",
                    index=i,
                )
        lengths = np.concatenate([part.lengths for part in parts])
        scales = [part.scales for part in parts if part.scales is not None]
        return cls._trusted(
            np.concatenate([part.values for part in parts]),
            _offsets_of(lengths),
            np.concatenate(scales) if scales else None,
        )

    @classmethod
    def _trusted(
        cls,
        values: npt.NDArray[Any],
        offsets: npt.NDArray[np.int64],
        scales: npt.NDArray[np.float32] | None = None,
    ) -> Self:
        """Build from parts that are known to be right: no check, no copy."""
        self = cls.__new__(cls)
        self.values, self.offsets, self.scales = values, offsets, scales
        return self

    @property
    def dim(self) -> int:
        """Numbers a token."""
        return int(self.values.shape[1]) * (2 if self.values.dtype == np.uint8 else 1)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the numbers: that of `values`, but for int4, of which two are a byte."""
        return scaled_types.get(self.values.dtype, self.values.dtype)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """int64 [n]: tokens of each document."""
        return np.diff(self.offsets)

    @property
    def nbytes(self) -> int:
        """Bytes of the documents' tokens and scales."""
        return self.values.nbytes + (0 if self.scales is None else self.scales.nbytes)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __repr__(self) -> str:
        return f"MultiVectors({len(self)} documents, {len(self.values)} tokens, dim={self.dim}, {self.dtype.name})"

    @overload
    def __getitem__(self, key: int) -> npt.NDArray[Any]: ...
    @overload
    def __getitem__(self, key: slice) -> "MultiVectors": ...
    def __getitem__(self, key: int | slice) -> "npt.NDArray[Any] | MultiVectors":
        """`[i]`: the tokens of document i [tokens, dim], a view; of int8 and int4 the float32 numbers they stand for.

        `[a:b]`: those documents as a view; with a step, a copy.
        """
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            if step != 1:
                return self.take(np.arange(start, stop, step))
            offsets = self.offsets[start : max(start, stop) + 1]
            rows = slice(offsets[0], offsets[-1])
            scales = None if self.scales is None else self.scales[rows]
            return MultiVectors._trusted(self.values[rows], offsets - offsets[0], scales)
        i = range(len(self))[key]
        rows = slice(self.offsets[i], self.offsets[i + 1])
        return self._floats(rows) if self.scales is not None else self.values[rows]

    def __iter__(self) -> Iterator[npt.NDArray[Any]]:
        return (self[i] for i in range(len(self)))

    def to_list(self) -> list[npt.NDArray[Any]]:
        """n arrays [tokens_i, dim], as `self[i]` gives them."""
        return list(self)

    def take(self, ids: npt.ArrayLike) -> "MultiVectors":
        """The documents `ids` (ints [k], any order, repeats allowed); neighbours in order are a view, else one copy."""
        chosen = positions_of(ids, len(self))
        if len(chosen) == 0:
            return self[0:0]
        if (np.diff(chosen) == 1).all():
            return self[int(chosen[0]) : int(chosen[-1]) + 1]
        starts, lengths = self.offsets[chosen], self.lengths[chosen]
        offsets = _offsets_of(lengths)
        rows = np.repeat(starts - offsets[:-1], lengths) + np.arange(offsets[-1])
        scales = None if self.scales is None else self.scales.take(rows)
        return MultiVectors._trusted(self.values.take(rows, axis=0), offsets, scales)

    def astype(self, dtype: npt.DTypeLike) -> "MultiVectors":
        """The same documents in another dtype: "float32", "float16", "bfloat16", "int8" or "int4".

        Itself where nothing changes. int8 and int4 have a scale a token: quantizing.py says how they round. InputError
        for a number that is too large for the dtype (65,504 in float16), and for int4 of an odd dim.
        """
        wanted = dtype_of(dtype)
        if wanted == self.dtype:
            return self
        values = self.values if self.scales is None else self._floats(slice(None))
        if wanted == type_names["int8"]:
            numbers, scales = quantizing.to_int8(values.astype(np.float32, copy=False))
            return MultiVectors._trusted(numbers, self.offsets, scales)
        if wanted == type_names["int4"]:
            if self.dim % 2:
                raise InputError(f"int4 keeps two numbers a byte, and the tokens have {self.dim} numbers: use int8.")
            codes, scales = quantizing.to_int4(values)
            return MultiVectors._trusted(codes, self.offsets, scales)
        with np.errstate(over="ignore"):
            narrower = MultiVectors._trusted(values.astype(wanted), self.offsets)
        if wanted != np.float32:
            narrower._check_finite()
        return narrower

    def _floats(self, rows: slice) -> npt.NDArray[np.float32]:
        """float32 [tokens, dim]: what the tokens `rows` of int8 or int4 stand for."""
        assert self.scales is not None
        of_codes = quantizing.floats_of_int8 if self.values.dtype == np.int8 else quantizing.floats_of_int4
        return of_codes(self.values[rows], self.scales[rows])

    def to_bytes(self) -> bytes:
        """A safetensors file in memory: `values`, `offsets`, `scales` if there are any, a version and a CRC-32."""
        from safetensors.numpy import save

        return save(self._arrays(), self._metadata())

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Self:
        """What `to_bytes` wrote, as read-only views into `data`; InputError for another version or a damaged body."""
        arrays, metadata = _read(np.frombuffer(data, np.uint8), "these bytes")
        if metadata.get("crc32") != checksum(arrays):
            raise InputError("these bytes are damaged: the CRC-32 differs. Write them again with to_bytes().")
        return cls(arrays["values"], arrays["offsets"], arrays.get("scales"))

    def save(self, path: str | Path) -> None:
        """Write one safetensors file at `path`; complete or not there at all (written beside it, then renamed)."""
        from safetensors.numpy import save_file

        path = Path(path)
        partial = path.with_name(path.name + ".partial")
        save_file(self._arrays(), partial, self._metadata())
        partial.replace(path)

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Memory-map what `save` wrote: opening reads the header and the offsets only, tokens as they are used."""
        if not Path(path).stat().st_size:
            raise InputError(f"{path} is empty, expected a file of MultiVectors: write it again with save().")
        arrays, _ = _read(np.memmap(path, np.uint8, mode="r"), str(path))
        _checked_values(arrays["values"])
        _check_scales(arrays["values"], arrays.get("scales"))
        offsets = _checked_offsets(np.array(arrays["offsets"]), len(arrays["values"]))
        return cls._trusted(arrays["values"], offsets, arrays.get("scales"))

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        arrays = {"offsets": self.offsets, "values": self.values}
        return arrays if self.scales is None else arrays | {"scales": self.scales}

    def _metadata(self) -> dict[str, str]:
        return {"format": _format_of(self.values.dtype), "crc32": checksum(self._arrays())}

    def _check_finite(self) -> None:
        for name, array in (("values", self.values), ("scales", self.scales)):
            if array is None or array.dtype in scaled_types or not len(array):
                continue
            with np.errstate(over="ignore", invalid="ignore"):
                # One pass without a temporary: any NaN or infinity survives a sum in float32.
                finite = np.isfinite(array.sum(dtype=np.float32)) or np.isfinite(array).all()
            if not finite:
                broken = ~np.isfinite(array)
                token = int(broken.any(axis=1).argmax()) if array.ndim == 2 else int(broken.argmax())
                document = int(np.searchsorted(self.offsets, token, side="right")) - 1
                raise InputError(
                    f"{name} of token {token} (token {token - int(self.offsets[document])} of document {document}) "
                    "hold NaN or infinity; every number must be finite.",
                    index=document,
                )


def dtype_of(dtype: npt.DTypeLike) -> np.dtype[Any]:
    """One of the five dtypes of token vectors, by name or by dtype; InputError for others."""
    found = type_names.get(dtype) if isinstance(dtype, str) else np.dtype(dtype)
    if found is None or found not in type_names.values():
        raise InputError(f"dtype {dtype!r} is not one of {', '.join(type_names)}.")
    return found


def positions_of(ids: npt.ArrayLike, count: int) -> npt.NDArray[np.int64]:
    """int64 [k] of `ids` (ints [k] or one int), each from 0 to `count` - 1; InputError for others."""
    positions = np.atleast_1d(np.asarray(ids))
    if positions.ndim != 1 or (positions.size and positions.dtype.kind not in "iu"):
        raise InputError(
            f"ids are {positions.dtype} of shape {positions.shape}, expected the positions of documents: integers [k]. "
            "A mask becomes positions with np.flatnonzero(mask)."
        )
    wrong = (positions < 0) | (positions >= count)
    if wrong.any():
        i = int(wrong.argmax())
        raise InputError(
            f"document {positions[i]} is asked for (id {i}), there are {count} documents, counted from 0.", index=i
        )
    return positions.astype(np.int64, copy=False)


def _real_array(document: npt.ArrayLike, index: int) -> npt.NDArray[Any]:
    try:
        array = np.asarray(document)
    except ValueError as error:
        raise InputError(f"document {index} is not an array [tokens, dim] ({error}).", index=index) from error
    if not np.can_cast(array.dtype, np.float32, "same_kind"):
        raise InputError(f"document {index} is {array.dtype}, expected real numbers, such as float32.", index=index)
    return array


def _offsets_of(lengths: npt.ArrayLike) -> npt.NDArray[np.int64]:
    lengths = np.asarray(lengths, dtype=np.int64)
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def _checked_values(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if values.ndim != 2:
        raise InputError(f"values have shape {values.shape}, expected [total tokens, dim].")
    if values.dtype == np.float64:
        with np.errstate(over="ignore"):  # beyond float32 becomes infinity, which is refused below
            values = values.astype(np.float32)
    if values.dtype not in scaled_types and (values.dtype not in type_names.values() or values.dtype.name == "int4"):
        raise InputError(
            f"values are {values.dtype}, expected one of {', '.join(type_names)}; of int4 the codes, two numbers a "
            "uint8, which astype() makes."
        )
    return np.ascontiguousarray(values)


def _check_scales(values: npt.NDArray[Any], scales: npt.NDArray[Any] | None) -> None:
    if (values.dtype in scaled_types) != (scales is not None):
        raise InputError(
            f"int8 values and uint8 codes (int4) need one float32 scale a token and no other dtype takes scales; "
            f"got {values.dtype} values {'without' if scales is None else 'with'} scales. "
            'MultiVectors(...).astype("int8") makes both.'
        )
    if scales is not None and (scales.shape != (len(values),) or scales.dtype != np.float32):
        raise InputError(
            f"scales are {scales.dtype} of shape {scales.shape}, expected one float32 a token: ({len(values)},)."
        )


def _checked_offsets(offsets: npt.NDArray[Any], total: int) -> npt.NDArray[np.int64]:
    if offsets.ndim != 1 or len(offsets) == 0 or offsets.dtype.kind not in "iu":
        raise InputError(f"offsets are {offsets.dtype} of shape {offsets.shape}, expected integers [documents + 1].")
    offsets = np.ascontiguousarray(offsets, dtype=np.int64)
    if offsets[0] != 0 or offsets[-1] != total:
        raise InputError(
            f"offsets run from {offsets[0]} to {offsets[-1]}, expected 0 to {total}, the number of tokens."
        )
    # Compared, not subtracted: differences of numbers near 2^63 wrap around to any sign.
    empty = offsets[1:] <= offsets[:-1]
    if empty.any():
        i = int(empty.argmax())
        raise InputError(
            f"document {i} has {int(offsets[i + 1]) - int(offsets[i])} tokens, expected at least one: "
            "MaxSim of none is undefined.",
            index=i,
        )
    return offsets


def _format_of(dtype: np.dtype[Any]) -> str:
    return INT4_FORMAT if dtype == np.uint8 else FORMAT


def _read(buffer: npt.NDArray[np.uint8], source: str) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
    """The arrays of a file, as views, and its metadata; InputError for anything but a whole file of MultiVectors."""
    arrays, metadata = parsed(buffer, source, (FORMAT, INT4_FORMAT))
    missing = {"values", "offsets"} - arrays.keys()
    if missing:
        raise InputError(f"{source} holds no {' and no '.join(sorted(missing))}.")
    expected = _format_of(arrays["values"].dtype)
    if metadata["format"] != expected:
        raise InputError(f"{source} has format {metadata['format']!r}, expected {expected!r} for its values.")
    return arrays, metadata
