import numpy as np
import pytest

from vectorplug.errors import ConfigurationError
from vectorplug.maxsim import choosing, cpu, maxsim
from vectorplug.maxsim.choosing import kernel_for, supported_paths
from vectorplug.maxsim.kernels import KERNELS, PATHS
from vectorplug.multivectors import MultiVectors

DTYPES = ["float32", "float16", "bfloat16", "int8", "int4"]
DOCUMENTS = MultiVectors.from_list([np.ones((3, 4)), np.ones((2, 4))])


@pytest.fixture
def every_path(monkeypatch):
    monkeypatch.setattr(choosing, "supported_paths", lambda: PATHS)


# What each dtype takes for one query where the setting allows the path and nothing newer.
EXPECTED = {
    "amx": {"float32": "avx512", "float16": "avx512", "bfloat16": "amx", "int8": "amx", "int4": "amx"},
    "vnni": dict.fromkeys(DTYPES, "avx512") | {"int8": "vnni", "int4": "vnni"},
    "avx512": dict.fromkeys(DTYPES, "avx512"),
    "avx2": dict.fromkeys(DTYPES, "avx2"),
    "plain": dict.fromkeys(DTYPES, "plain"),
}


@pytest.mark.usefixtures("every_path")
@pytest.mark.parametrize("newest", PATHS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_setting_names_the_newest_path(monkeypatch, newest, dtype):
    monkeypatch.setenv("VECTORPLUG_MAXSIM", newest)
    assert kernel_for(dtype, 128) is KERNELS[EXPECTED[newest][dtype], dtype]


@pytest.mark.usefixtures("every_path")
@pytest.mark.parametrize("newest", PATHS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_two_blocks_of_query_tokens_take_amx_for_float16_too(monkeypatch, newest, dtype):
    monkeypatch.setenv("VECTORPLUG_MAXSIM", newest)
    expected = "amx" if (newest, dtype) == ("amx", "float16") else EXPECTED[newest][dtype]
    for blocks in (2, 1000):
        assert kernel_for(dtype, 128, blocks) is KERNELS[expected, dtype]


@pytest.mark.usefixtures("every_path")
def test_without_the_setting_nothing_is_held_back(monkeypatch):
    monkeypatch.delenv("VECTORPLUG_MAXSIM", raising=False)
    assert {dtype: kernel_for(dtype, 128).path for dtype in DTYPES} == EXPECTED["amx"]


@pytest.mark.usefixtures("every_path")
@pytest.mark.parametrize("newest", ["amx", "vnni", "avx512", "avx2"])
def test_dims_whose_sums_need_more_than_32_bits_are_summed_as_floats(monkeypatch, newest):
    monkeypatch.setenv("VECTORPLUG_MAXSIM", newest)
    for dtype in ("int8", "int4"):
        assert kernel_for(dtype, 1 << 16).path == newest
        assert kernel_for(dtype, (1 << 16) + 1).path == "plain"


def test_the_chosen_kernel_is_the_one_that_runs(monkeypatch):
    ran = []
    monkeypatch.setattr(cpu, "compiled", lambda kernel: ran.append(kernel) or (lambda *_: None))
    for path in supported_paths():
        monkeypatch.setenv("VECTORPLUG_MAXSIM", path)
        for dtype in DTYPES:
            for tokens, blocks in ((1, 1), (32, 1), (33, 2), (65, 3)):
                maxsim(np.ones((tokens, 4)), DOCUMENTS.astype(dtype))
                assert ran.pop() is kernel_for(dtype, 4, blocks)
            maxsim(MultiVectors.from_list([np.ones((11, 4))] * 3), DOCUMENTS.astype(dtype))
            assert ran.pop() is kernel_for(dtype, 4, 2)


def test_a_setting_that_names_no_path(monkeypatch):
    monkeypatch.setenv("VECTORPLUG_MAXSIM", "sse9")
    message = "VECTORPLUG_MAXSIM is 'sse9', expected one of amx, vnni, avx512, avx2, plain"
    with pytest.raises(ConfigurationError, match=message):
        maxsim(np.ones((2, 4)), DOCUMENTS)


HASWELL = {"avx2": True, "fma": True, "f16c": True}
ICE_LAKE = HASWELL | {"avx512f": True, "avx512bw": True, "avx512vnni": True}
SAPPHIRE_RAPIDS = ICE_LAKE | {"amx-tile": True, "amx-int8": True, "amx-bf16": True}


@pytest.mark.parametrize(
    ("features", "granted", "expected"),
    [
        (SAPPHIRE_RAPIDS, True, ("amx", "vnni", "avx512", "avx2", "plain")),
        (SAPPHIRE_RAPIDS, False, ("vnni", "avx512", "avx2", "plain")),
        (ICE_LAKE, True, ("vnni", "avx512", "avx2", "plain")),
        (ICE_LAKE | {"avx512vnni": False}, True, ("avx512", "avx2", "plain")),
        (ICE_LAKE | {"avx512bw": False}, True, ("avx2", "plain")),
        (HASWELL | {"avx512f": False}, True, ("avx2", "plain")),
        (HASWELL | {"f16c": False}, True, ("plain",)),
        ({}, True, ("plain",)),
    ],
)
def test_a_path_that_the_cpu_lacks_is_refused(monkeypatch, features, granted, expected):
    monkeypatch.setattr(choosing, "get_host_cpu_features", lambda: features)
    monkeypatch.setattr(choosing, "_amx_is_granted", lambda: granted)
    monkeypatch.setattr(choosing, "supported_paths", supported_paths.__wrapped__)
    assert choosing.supported_paths() == expected
    for path in set(PATHS) - set(expected):
        monkeypatch.setenv("VECTORPLUG_MAXSIM", path)
        with pytest.raises(ConfigurationError, match=f"is '{path}', this CPU runs {', '.join(expected)}"):
            maxsim(np.ones((2, 4)), DOCUMENTS)
