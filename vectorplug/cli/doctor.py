"""`vectorplug doctor`: what this machine has, in one table to read or to send with a question."""

import importlib.metadata
import os
import platform
import socket
from typing import Any

from vectorplug import __version__
from vectorplug.cli.console import print_json, results, table
from vectorplug.cli.options import Json

__all__ = ["doctor"]

PACKAGES = (
    "torch",
    "transformers",
    "sentence-transformers",
    "numpy",
    "numba",
    "qdrant-edge-py",
    "qdrant-client",
    "weaviate-client",
)
DATABASES = {"Qdrant": 6333, "Weaviate": 8080}
FEATURES = ("avx2", "avx512f", "avx512vnni", "avx512bf16", "amx-bf16", "amx-int8", "neon")


def doctor(as_json: Json = False) -> None:
    """Versions, processor, devices, memory, the hub, the stores that can be opened; compiles the kernels first."""
    from vectorplug.kernels import compile_all

    compile_all()
    found = _findings()
    if as_json:
        print_json(found)
        return
    for section, facts in found.items():
        listing = table(section, "")
        for key, value in facts.items():
            listing.add_row(f"  {key}", ", ".join(map(str, value)) if isinstance(value, list) else str(value))
        results.print(listing)


def _findings() -> dict[str, dict[str, Any]]:
    return {
        "versions": _versions(),
        "processor": _processor(),
        "memory": _memory(),
        "devices": _devices(),
        "network": _network(),
        "stores": {point.name: point.value for point in importlib.metadata.entry_points(group="vectorplug.adapters")},
    }


def _versions() -> dict[str, str]:
    found = {"vectorplug": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _processor() -> dict[str, Any]:
    import llvmlite.binding

    features = llvmlite.binding.get_host_cpu_features()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "name": platform.processor() or llvmlite.binding.get_host_cpu_name(),
        "cores": usable,
        "features": [name for name in FEATURES if features.get(name)],
    }


def _memory() -> dict[str, str]:
    pages = {name: os.sysconf(name) for name in ("SC_PHYS_PAGES", "SC_AVPHYS_PAGES") if name in os.sysconf_names}
    gib = os.sysconf("SC_PAGE_SIZE") / 2**30
    names = {"SC_PHYS_PAGES": "total", "SC_AVPHYS_PAGES": "free"}
    return {names[name]: f"{count * gib:.1f} GiB" for name, count in pages.items()}


def _devices() -> dict[str, str]:
    import torch

    from vectorplug.models.encoder import choose_device, choose_dtype

    chosen = choose_device("auto")
    found = {"used": f"{chosen} in {str(choose_dtype('auto', chosen)).removeprefix('torch.')}"}
    for i in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(i)
        found[f"cuda:{i}"] = f"{card.name}, {card.total_memory / 2**30:.1f} GiB"
    return found


def _network() -> dict[str, str]:
    from vectorplug.models.catalog import catalog
    from vectorplug.models.default import COLBERT, hub_answers

    there = hub_answers(catalog()[COLBERT].id)
    found = {"hub": "answers" if there else "does not answer; models from folders and packages need none"}
    return found | {f"{name} at localhost:{port}": _listening(port) for name, port in DATABASES.items()}


def _listening(port: int) -> str:
    try:
        with socket.create_connection(("localhost", port), timeout=0.5):
            return "listens"
    except OSError:
        return "nobody listens"
