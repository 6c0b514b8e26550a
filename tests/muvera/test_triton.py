"""The fused blocks: run in Triton's interpreter, and compiled for a GPU that need not be there."""

import os

import pytest
from interpreting import assert_equal_in_the_interpreter

triton = pytest.importorskip("triton", reason="triton is not installed: it comes with torch for CUDA")


def test_equals_plain_torch_in_the_interpreter():
    assert_equal_in_the_interpreter("muvera.interpreted")


@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="TRITON_INTERPRET is set: nothing is compiled")
def test_compiles_for_a_gpu():
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from vectorplug.muvera.triton import kernel, options

    constants = options(5, 16, True)
    how = {name: constants.pop(name) for name in ("num_warps", "num_stages", "enable_fp_fusion")}
    pointers = {"products": "*fp64", "parts": "*fp32", "offsets": "*i64", "blocks": "*fp32", "firsts": "*i32"}
    signature = {name: (pointers | dict.fromkeys(constants, "constexpr")).get(name, "i32") for name in kernel.arg_names}
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    assembly = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=how).asm
    assert "tt.dot" in assembly["ttir"], "sums are matrix products"
    assert ".local" not in assembly["ptx"], "registers spill into memory"
