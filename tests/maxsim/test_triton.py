"""The fused kernel: run in Triton's interpreter, and compiled for a GPU that need not be there."""

import os

import pytest
import torch
from interpreting import assert_equal_in_the_interpreter

triton = pytest.importorskip("triton", reason="triton is not installed: it comes with torch for CUDA")


def test_equals_the_references_in_the_interpreter():
    assert_equal_in_the_interpreter("maxsim.interpreted")


def compiled(queries, tokens, dim):
    """The kernel of one query without candidates for compute capability 9.0, as triton compiles it on first use."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from vectorplug.maxsim.triton import kernel, options

    chosen = options(queries, tokens, dim)
    how = {name: chosen.pop(name) for name in ("num_warps", "num_stages", "enable_fp_fusion")}
    names = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16", torch.int8: "i8"}
    pointers = {"queries": f"*{names[queries]}", "tokens": f"*{names[tokens]}", "offsets": "*i64", "scores": "*fp32"}
    pointers |= {"scales": "*fp32"} if tokens == torch.int8 else {}
    numbers = dict.fromkeys(("query_tokens", "documents", "n", "asked"), "i32")
    signature = {name: (pointers | numbers).get(name, "constexpr") for name in kernel.arg_names}
    constants = {name: chosen.get(name) for name, kind in signature.items() if kind == "constexpr"}
    aligned = {(i,): [["tt.divisibility", 16]] for i, name in enumerate(kernel.arg_names) if name in pointers}
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=aligned)
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=how)


@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="TRITON_INTERPRET is set: nothing is compiled")
@pytest.mark.parametrize(
    ("queries", "tokens", "products"),
    [(torch.float32, torch.bfloat16, 3), (torch.bfloat16, torch.bfloat16, 1), (torch.float32, torch.int8, 3)],
    ids=str,
)
def test_compiles_to_the_tensor_cores_of_a_gpu(queries, tokens, products):
    kernel = compiled(queries, tokens, 128)
    assert kernel.asm["ttgir"].count("ttng.warp_group_dot ") == products, "one for each piece of the query"
    assert ".local" not in kernel.asm["ptx"], "registers spill into memory"
    assert kernel.metadata.shared < 100 * 1024, "two programs do not fit a processor"
