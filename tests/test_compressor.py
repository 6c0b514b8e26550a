"""Which compressor a fingerprint names, and what has to be kept of it."""

import numpy as np
import pytest

from vectorplug import Lemur, MultiVectors, Muvera
from vectorplug.compressor import (
    Compressor,
    FittedCompressor,
    compressor_of,
    family_of,
    is_fitted,
    is_unfitted,
    needs_fit,
)
from vectorplug.errors import ConfigurationError, FingerprintError, InputError

MUVERA = Muvera(dim=8, repetitions=2, ksim=2, dproj=4)
UNFITTED = Lemur(dim=8, size=4, features=8, samples=16)


@pytest.fixture(scope="module")
def lemur() -> Lemur:
    rng = np.random.default_rng(0)
    return UNFITTED.fit(MultiVectors.from_list([rng.standard_normal((3, 8), np.float32) for _ in range(30)]))


def test_both_families_come_back(lemur: Lemur) -> None:
    assert compressor_of(MUVERA.fingerprint) == MUVERA
    assert compressor_of(lemur.fingerprint, lemur.to_bytes()) == lemur


def test_what_is_a_fit(lemur: Lemur) -> None:
    for each in (MUVERA, UNFITTED, lemur):
        assert isinstance(each, Compressor)
    assert [is_fitted(each) for each in (None, MUVERA, UNFITTED, lemur)] == [False, False, False, True]
    assert [is_unfitted(each) for each in (None, MUVERA, UNFITTED, lemur)] == [False, False, True, False]
    assert [needs_fit(each) for each in (None, MUVERA.fingerprint, lemur.fingerprint)] == [False, False, True]
    assert [family_of(each.fingerprint) for each in (MUVERA, UNFITTED, lemur)] == ["muvera", "lemur", "lemur"]
    assert not isinstance(MUVERA, FittedCompressor)


def test_what_cannot_be_made_again(lemur: Lemur) -> None:
    for fingerprint in ("", "plaid1:d8", UNFITTED.fingerprint):
        with pytest.raises(ConfigurationError, match="names no FDE that can be made again"):
            compressor_of(fingerprint, lemur.to_bytes())
    with pytest.raises(FingerprintError, match="has to be at hand, and none came"):
        compressor_of(lemur.fingerprint)
    with pytest.raises(FingerprintError, match=f"the fit at hand is {lemur.fingerprint}, expected lemur1:other"):
        compressor_of("lemur1:other", lemur.to_bytes())
    with pytest.raises(InputError, match="the fit is damaged"):
        compressor_of(lemur.fingerprint, lemur.to_bytes()[:-1])
