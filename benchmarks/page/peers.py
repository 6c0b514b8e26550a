"""Who takes part beside us: what their packages are called and how they are installed."""

__all__ = ["OURS", "PEERS", "install", "interpreters", "packages"]

OURS = "vectorplug"
# By name: the distributions whose versions are told, and whether they live with ours (the extra `bench`).
PEERS: dict[str, tuple[tuple[str, ...], bool]] = {
    OURS: (("vectorplug", "numba", "numpy", "torch"), True),
    "numpy": (("numpy",), True),
    "torch": (("torch",), True),
    "maxsim-cpu": (("maxsim-cpu",), True),
    "sentence-transformers": (("sentence-transformers", "transformers", "torch"), True),
    "fastembed": (("fastembed",), True),
    "qdrant-client": (("qdrant-client",), True),
    "onnxruntime": (("onnxruntime", "onnx"), True),
    "pylate": (("pylate", "sentence-transformers", "transformers", "torch"), False),
    "colbert-ai": (("colbert-ai", "transformers", "torch"), False),
    "fast-plaid": (("fast-plaid", "torch"), False),
    "muvera-python": (("muvera-python",), False),
    "muvera-fde": (("muvera-fde",), False),
    "muvfde": (("muvfde",), False),
}


def packages(peer: str) -> list[str]:
    """The distributions whose versions say what was measured."""
    return list(PEERS[peer][0])


def install(peer: str) -> str:
    """How to get it."""
    if PEERS[peer][1]:
        return "`pip install 'vectorplug[bench]'`"
    return f'`pip install {peer}` into an environment of its own, then `make bench PEERS="{peer}=ITS_PYTHON"`'


def interpreters(named: list[str]) -> dict[str, str]:
    """Of NAME=PYTHON; ValueError for what is no peer."""
    found = {}
    for each in named:
        name, equals, python = each.partition("=")
        if name not in PEERS or not equals or not python:
            raise ValueError(f"{each!r} is not NAME=PYTHON with one of {', '.join(PEERS)}")
        found[name] = python
    return found
