"""A fit as one safetensors file: versioned, with the SHA-256 of what it holds."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from vectorplug.errors import InputError
from vectorplug.lemur.fitted import Fit

__all__ = ["dumps", "loads", "write"]

FORMAT = "vectorplug.lemur/2"
PARAMETERS = ("samples", "seed")


def write(path: Path, fit: Fit, parameters: dict[str, int], encoder: str | None) -> None:
    """Write `fit`, the parameters that made it and whose tokens it was fitted to, if that is known, at `path`.

    Complete or not there at all (beside it, then renamed).
    """
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(dumps(fit, parameters, encoder))
    partial.replace(path)


def dumps(fit: Fit, parameters: dict[str, int], encoder: str | None) -> bytes:
    """What `write` writes."""
    about = {
        "format": FORMAT,
        "sha256": _checksum(fit, parameters, encoder),
        "residual": fit.residual.hex(),
        "parameters": json.dumps(parameters),
        **({} if encoder is None else {"encoder": encoder}),
    }
    return save({name: np.ascontiguousarray(array) for name, array in fit.arrays().items()}, about)


def loads(data: bytes, source: str) -> tuple[Fit, dict[str, int], str | None]:
    """What `dumps` gave. InputError, which names `source`, where it is damaged, of another version, or no fit."""
    about = _metadata(data, source)
    if about.get("format") != FORMAT:
        raise InputError(
            f"{source} is {about.get('format', 'of no known format')!r}, this version reads {FORMAT!r}: "
            "fit again and save() it with this version."
        )
    try:
        fit = Fit(**load(data), residual=float.fromhex(about["residual"]))
        parameters = {name: int(json.loads(about["parameters"])[name]) for name in PARAMETERS}
        checksum = _checksum(fit, parameters, about.get("encoder"))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{source} is damaged ({error}): write it again with save().") from error
    if checksum != about.get("sha256"):
        raise InputError(f"{source} is damaged: its SHA-256 differs from what it says. Write it again with save().")
    return fit, parameters, about.get("encoder")


def _checksum(fit: Fit, parameters: dict[str, int], encoder: str | None) -> str:
    of = "" if encoder is None else f" {encoder}"
    return hashlib.sha256(f"{fit.digest} {sorted(parameters.items())}{of}".encode()).hexdigest()


def _metadata(data: bytes, source: str) -> dict[str, Any]:
    length = int.from_bytes(data[:8], "little")
    try:
        about = json.loads(data[8 : 8 + length])["__metadata__"] if 0 < length <= len(data) - 8 else None
    except (ValueError, KeyError, TypeError):
        about = None
    if not isinstance(about, dict):
        raise InputError(f"{source} is no fit of Lemur, or cut off: expected a file that save() wrote.")
    return about
