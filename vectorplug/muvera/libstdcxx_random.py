"""std::mt19937 and the distributions over it that Google's FDE uses, as GNU libstdc++ (GCC 11 and later) has them."""

import numpy as np
import numpy.typing as npt

__all__ = ["count_sketch", "mt19937", "standard_normal"]

KEY_LENGTH = 624


def mt19937(seed: int) -> np.random.MT19937:
    """`std::mt19937(seed)`; its `random_raw` gives the 32-bit draws. The seed is taken modulo 2^32."""
    # numpy's constructor stretches the seed through SeedSequence, C++ fills the key by this recurrence.
    key = [seed % (1 << 32)]
    for i in range(1, KEY_LENGTH):
        key.append((1812433253 * (key[-1] ^ key[-1] >> 30) + i) % (1 << 32))
    generator = np.random.MT19937()
    generator.state = {
        "bit_generator": "MT19937",
        "state": {"key": np.array(key, np.uint32), "pos": KEY_LENGTH},
    }
    return generator


def standard_normal(seed: int, count: int) -> npt.NDArray[np.float32]:
    """float32 [count]: what a fresh `std::normal_distribution<float>` makes of `std::mt19937(seed)`.

    Marsaglia's polar method: two uniforms, tried again outside the unit circle, give y at once and then the saved x.
    """
    generator = mt19937(seed)
    accepted = np.empty((0, 2), np.float32)
    while 2 * len(accepted) < count:
        draws = generator.random_raw((count, 2)).astype(np.float32) / np.float32(1 << 32)
        # A draw that rounds up to 1 is moved below it by generate_canonical.
        uniform = np.minimum(draws, np.nextafter(np.float32(1), np.float32(0)))
        points = (np.float32(2) * uniform.astype(np.float64) - 1).astype(np.float32)
        radius = (points * points).sum(axis=1)
        inside = (radius <= 1) & (radius != 0)
        # The logarithm in float64 is the correctly rounded logf on every platform.
        logarithm = np.log(radius[inside], dtype=np.float64).astype(np.float32)
        factor = np.sqrt(np.float32(-2) * logarithm / radius[inside])
        accepted = np.concatenate([accepted, points[inside, ::-1] * factor[:, None]])
    return accepted.reshape(-1)[:count]


def count_sketch(seed: int, rows: int, columns: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """int64 [rows] below `columns` and float32 [rows] of -1 and 1, drawn in turn from `std::mt19937(seed)`.

    A row takes one draw for `uniform_int_distribution` (Lemire's method) and two for `bernoulli_distribution(0.5)`.
    """
    generator = mt19937(seed)
    draws = generator.random_raw(3 * rows)
    threshold = (1 << 32) % columns
    while True:
        column, low, high = draws.reshape(rows, 3).T
        product = column * np.uint64(columns)
        rejected = np.flatnonzero((product & np.uint64(0xFFFFFFFF)) < threshold)
        if len(rejected) == 0:
            break
        # Lemire's method draws again, which moves every later draw one place.
        draws = np.append(np.delete(draws, 3 * rejected[0]), generator.random_raw(1))
    canonical = (low + high * np.float64(1 << 32)) / np.float64(1 << 64)
    signs = np.where(canonical < 0.5, np.float32(1), np.float32(-1))
    return (product >> np.uint64(32)).astype(np.int64), signs
