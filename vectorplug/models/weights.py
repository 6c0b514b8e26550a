"""A network's weights in one piece of host memory, and the way there and back."""

import itertools

import torch
from torch import Tensor, nn

from vectorplug.models.prepacked import unpack

__all__ = ["HostWeights", "empty", "weight_bytes"]

# At least what any kernel aligns to, so that the copy gives the same bits as the original.
ALIGNMENT = 256


class HostWeights:
    """Every parameter and buffer of `module` in one host buffer, uint8 [nbytes]; the module's own are emptied.

    A tensor that several layers share is kept once. `pinned` takes page-locked memory, from which a GPU copies at the
    full speed of its bus. The module cannot run until `put_back`, which gives it the same bits again. Either way is
    all or nothing: where memory runs out, the module and this object are as they were.
    """

    def __init__(self, module: nn.Module, *, pinned: bool) -> None:
        self._packed = unpack(module)
        self._tensors = _tensors(module)
        self._layout = []
        size = 0
        for tensor in self._tensors:
            stride = torch.empty_like(tensor, device="meta").stride()  # dense, in the order that the tensor has
            self._layout.append((tensor.dtype, tensor.shape, stride, size // tensor.itemsize))
            size += _aligned(tensor)
        self._device = self._tensors[0].device if self._tensors else torch.device("cpu")
        self._pinned = pinned
        try:
            self._buffer = torch.empty(size, dtype=torch.uint8, pin_memory=pinned)
        except RuntimeError:
            self._pack()
            raise
        for tensor, view in zip(self._tensors, self._views(self._buffer), strict=True):
            view.copy_(tensor.detach(), non_blocking=pinned)
        self._wait()
        empty(module)

    @property
    def nbytes(self) -> int:
        """Bytes of host memory; torch rounds page-locked blocks up to a power of two."""
        size = self._buffer.nbytes
        return 1 << (size - 1).bit_length() if self._pinned and size else size

    def put_back(self) -> None:
        """One allocation and one copy to the device; the module's tensors are views into it from then on."""
        onto = torch.empty_like(self._buffer, device=self._device, pin_memory=False)
        onto.copy_(self._buffer, non_blocking=self._pinned)
        self._wait()
        for tensor, view in zip(self._tensors, self._views(onto), strict=True):
            tensor.data = view
        self._pack()

    def _pack(self) -> None:
        for layer in self._packed:
            layer.pack()

    def _views(self, buffer: Tensor) -> list[Tensor]:
        return [torch.as_strided(buffer.view(dtype), shape, stride, at) for dtype, shape, stride, at in self._layout]

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.current_stream(self._device).synchronize()


def empty(module: nn.Module) -> None:
    """Free the memory of every parameter and buffer; the module keeps its structure."""
    unpack(module)
    for tensor in _tensors(module):
        tensor.data = tensor.data.new_empty(0)


def weight_bytes(module: nn.Module) -> int:
    """Bytes of the parameters and buffers as they are held now, each from the next multiple of 256 bytes on."""
    return sum(map(_aligned, _tensors(module)))


def _aligned(tensor: Tensor) -> int:
    return -(-tensor.nbytes // ALIGNMENT) * ALIGNMENT


def _tensors(module: nn.Module) -> list[Tensor]:
    return list(itertools.chain(module.parameters(), module.buffers()))
