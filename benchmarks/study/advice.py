"""What the parts of the study advise: which vector to take, and why the defaults are what they are."""

from collections.abc import Sequence

from benchmarks.study.part import Line, Part

__all__ = ["choice"]

CHOICE = """## Which to choose

10R@100 over the parts below, from the worst to the best:

| vector | 10R@100 | needs |
|---|---|---|
{rows}

- **Nothing is known of the documents yet**: MUVERA without fill, the default. The fill that MUVERA is published
  with loses on every part.
- **Some thousand documents are at hand** (what `index` is given is enough): Lemur of 512 numbers, `--compressor
  lemur`. It is better everywhere at a twentieth of the bytes. It is not the default because an empty collection has
  nothing to fit to, and because of documents of another kind than those it was fitted to it knows little:
  `vectorplug refit` then.
- **A model with a good dense vector of its own** (MiniLM is one): `dense+rerank` is no worse than MUVERA.
- **Documents at unit norm**, without fill: of exact MaxSim's ten best from {unit_least:+.3f} to {unit_most:+.3f}
  among 100, and from {unit_least_10:+.3f} to {unit_most_10:+.3f} among ten. No clear win, so off by default:
  `unit_norm = true` in a config, and `vectorplug tune` tries it. Codes of one bit are better with it everywhere.
- **8 bits a number** lose nothing anywhere. They are not the default because a database keeps the whole vectors on
  its disk beside them and reads some for every query: right where memory is short, `fde_dtype = "int8"`. 1 bit a
  number loses up to {bit:.3f} of 10R@100 with MUVERA. The same in real engines: [qdrant.md](qdrant.md),
  [weaviate.md](weaviate.md).
- **A final sketch** (`final_dim`) loses more than fewer repetitions of the same size.
- **PLAID**, which is taken for its bytes: Lemur of 512 numbers in int8, then MaxSim of 100 by tokens in int4, is
  smaller and finds more of the exact ten on every part where PLAID was run, in less than a fortieth of its time. The
  int4 tokens are those of `MultiVectors.astype("int4")`, mapped from a file; no database has them.
- **Tokens**: int8 loses nothing, int4 little; pooling by 2 costs more than halving the bits does.
"""
PLAIN = "MUVERA without fill"
CHOSEN = {
    "MUVERA R20 k5 dp16, as published": "nothing",
    PLAIN: "nothing",
    "the model's dense vector": "a model that has one",
    "Lemur 256": "documents to fit to",
    "Lemur 512": "documents to fit to",
    "Lemur 512, 8 bits a number": "documents to fit to",
}


def choice(parts: Sequence[Part]) -> str:
    """The section of the page."""
    rows = []
    for name, needs in CHOSEN.items():
        lines = [_line(part, name) for part in parts]
        shares = sorted(line.within_100.mean for line in lines)
        sizes = " or ".join(f"{size:,}" for size in sorted({round(line.bytes) for line in lines}))
        rows.append(f"| {name}, {sizes} bytes | {shares[0]:.3f} to {shares[-1]:.3f} | {needs} |")
    plain, unit, bits = (
        [_line(part, name) for part in parts]
        for name in (PLAIN, f"{PLAIN}, documents at unit norm", f"{PLAIN}, 1 bit a number")
    )
    among_100 = [b.within_100.mean - a.within_100.mean for a, b in zip(plain, unit, strict=True)]
    among_10 = [b.within_10.mean - a.within_10.mean for a, b in zip(plain, unit, strict=True)]
    return CHOICE.format(
        rows="\n".join(rows),
        unit_least=min(among_100),
        unit_most=max(among_100),
        unit_least_10=min(among_10),
        unit_most_10=max(among_10),
        bit=max(a.within_100.mean - b.within_100.mean for a, b in zip(plain, bits, strict=True)),
    )


def _line(part: Part, name: str) -> Line:
    return next(line for line in part.singles or () if line.name == name)
