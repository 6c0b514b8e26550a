"""Token vectors of many documents: one array of tokens and the offsets at which each document begins."""

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, overload

import ml_dtypes
import numpy as np
import numpy.typing as npt

from vectorplug.errors import InputError

__all__ = ["MultiVectors"]

type_names = {
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "int8": np.dtype(np.int8),
}
FORMAT = "vectorplug.multivectors/1"


class MultiVectors:
    """`values` [total, dim] in float32, float16, bfloat16 or int8; `offsets` int64 [n + 1].

    Document i is `values[offsets[i]:offsets[i + 1]]`; every document has at least one token. int8 values come with
    `scales` float32 [total]: token t stands for `values[t] * scales[t]`. Raises InputError for anything else, and
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
        if (self.values.dtype == np.int8) != (self.scales is not None):
            raise InputError(
                f"int8 values need one float32 scale a token and no other dtype takes scales; "
                f"got {self.values.dtype} values {'without' if self.scales is None else 'with'} scales. "
                'MultiVectors(...).astype("int8") makes both.'
            )
        if self.scales is not None and self.scales.shape != (len(self.values),):
            raise InputError(f"scales have shape {self.scales.shape}, expected one a token: ({len(self.values)},).")
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
        keep = only is not None and only != np.int8 and only in type_names.values()
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
        return int(self.values.shape[1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of `values`."""
        return self.values.dtype

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
        """`[i]`: the tokens of document i [tokens, dim], a view (int8: a float32 copy with the scale applied).

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
        if self.scales is None:
            return self.values[rows]
        return self.values[rows].astype(np.float32) * self.scales[rows, None]

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
        """The same documents in another dtype: "float32", "float16", "bfloat16" or "int8" (with a scale a token).

        Itself where nothing changes. int8 is symmetric: the largest number of a token becomes 127. InputError for a
        number that is too large for the dtype (65,504 in float16).
        """
        wanted = dtype_of(dtype)
        if wanted == self.dtype:
            return self
        values = self.values
        if self.scales is not None:
            values = values.astype(np.float32) * self.scales[:, None]
        if wanted != np.int8:
            with np.errstate(over="ignore"):
                narrower = MultiVectors._trusted(values.astype(wanted), self.offsets)
            if wanted != np.float32:
                narrower._check_finite()
            return narrower
        floats = values.astype(np.float32, copy=False)
        scales = np.abs(floats).max(axis=1, initial=0.0) / np.float32(127)
        # Below float32's normal numbers a scale is too coarse to divide by: such a token becomes zeros.
        scales[scales < np.finfo(np.float32).tiny] = 1
        return MultiVectors._trusted(np.rint(floats / scales[:, None]).astype(np.int8), self.offsets, scales)

    def to_bytes(self) -> bytes:
        """A safetensors file in memory: `values`, `offsets`, for int8 `scales`, with a version and a CRC-32."""
        from safetensors.numpy import save

        arrays = self._arrays()
        return save(arrays, {"format": FORMAT, "crc32": _checksum(arrays)})

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Self:
        """What `to_bytes` wrote, as read-only views into `data`; InputError for another version or a damaged body."""
        arrays, metadata = _parse(np.frombuffer(data, np.uint8), "these bytes")
        if metadata.get("crc32") != _checksum(arrays):
            raise InputError("these bytes are damaged: the CRC-32 differs. Write them again with to_bytes().")
        return cls(arrays["values"], arrays["offsets"], arrays.get("scales"))

    def save(self, path: str | Path) -> None:
        """Write one safetensors file at `path`; complete or not there at all (written beside it, then renamed)."""
        from safetensors.numpy import save_file

        path = Path(path)
        partial = path.with_name(path.name + ".partial")
        arrays = self._arrays()
        save_file(arrays, partial, {"format": FORMAT, "crc32": _checksum(arrays)})
        partial.replace(path)

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Memory-map what `save` wrote: opening reads the header and the offsets only, tokens as they are used."""
        if not Path(path).stat().st_size:
            raise InputError(f"{path} is empty, expected a file of MultiVectors: write it again with save().")
        arrays, _ = _parse(np.memmap(path, np.uint8, mode="r"), str(path))
        offsets = _checked_offsets(np.array(arrays["offsets"]), len(arrays["values"]))
        return cls._trusted(arrays["values"], offsets, arrays.get("scales"))

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        arrays = {"offsets": self.offsets, "values": self.values}
        return arrays if self.scales is None else arrays | {"scales": self.scales}

    def _check_finite(self) -> None:
        for name, array in (("values", self.values), ("scales", self.scales)):
            if array is None or array.dtype == np.int8 or not len(array):
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
    """One of the four dtypes of token vectors, by name or by dtype; InputError for others."""
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
    if values.dtype not in type_names.values():
        raise InputError(f"values are {values.dtype}, expected one of {', '.join(type_names)}.")
    return np.ascontiguousarray(values)


def _checked_offsets(offsets: npt.NDArray[Any], total: int) -> npt.NDArray[np.int64]:
    if offsets.ndim != 1 or len(offsets) == 0 or offsets.dtype.kind not in "iu":
        raise InputError(f"offsets are {offsets.dtype} of shape {offsets.shape}, expected integers [documents + 1].")
    offsets = np.ascontiguousarray(offsets, dtype=np.int64)
    if offsets[0] != 0 or offsets[-1] != total:
        raise InputError(
            f"offsets run from {offsets[0]} to {offsets[-1]}, expected 0 to {total}, the number of tokens."
        )
    empty = np.diff(offsets) <= 0
    if empty.any():
        i = int(empty.argmax())
        raise InputError(
            f"document {i} has {offsets[i + 1] - offsets[i]} tokens, expected at least one: "
            "MaxSim of none is undefined.",
            index=i,
        )
    return offsets


def _checksum(arrays: dict[str, npt.NDArray[Any]]) -> str:
    crc = 0
    for name in sorted(arrays):
        crc = zlib.crc32(arrays[name].view(np.uint8).data, crc)
    return f"{crc:08x}"


def _parse(buffer: npt.NDArray[np.uint8], source: str) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
    """Views of a safetensors buffer, whose header holds dtype, shape and byte range of each tensor."""
    # safetensors' own NumPy reader copies, and knows no bfloat16.
    names = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "I8": "int8"}
    dtypes = {short: type_names[name] for short, name in names.items()} | {"I64": np.dtype(np.int64)}
    try:
        length = int.from_bytes(buffer[:8].tobytes(), "little")
        header = json.loads(buffer[8 : 8 + length].tobytes())
        metadata = header.pop("__metadata__", {})
        if metadata.get("format") != FORMAT:
            raise InputError(f"{source} has format {metadata.get('format')!r}, expected {FORMAT!r}.")
        arrays = {}
        for name, entry in header.items():
            begin, end = (8 + length + o for o in entry["data_offsets"])
            arrays[name] = buffer[begin:end].view(dtypes[entry["dtype"]]).reshape(entry["shape"])
        missing = {"values", "offsets"} - arrays.keys()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{source}: not a whole file of MultiVectors ({error}).") from error
    if missing:
        raise InputError(f"{source} holds no {' and no '.join(sorted(missing))}.")
    return arrays, metadata
