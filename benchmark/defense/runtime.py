"""A network's answers from an inference runtime: for queries, which need no gradient."""

import contextlib
import functools
import io
import sys
import warnings
from typing import Any

import torch
from torch import Tensor, nn


class Compiled(nn.Module):
    """A network whose answers without a gradient come from ONNX Runtime: the same function to the last digits.

    A small network takes half the time in it that it takes in torch, and a tenth for one image. With a gradient, or on
    a GPU, the network itself answers.

    Args:
        network: in eval mode, on the CPU.
        differentiable: the same function, asked where a gradient is wanted.
        shape: (C, H, W) of its images.

    Raises:
        Exception: the network cannot be traced or written down.
    """

    def __init__(self, network: nn.Module, differentiable: nn.Module, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.differentiable = differentiable
        self._shape = shape
        self._session = _session(network, shape)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K) of images (N, C, H, W) float32."""
        # Stages may resize images, and for other sizes other graphs would have to be written down.
        other = len(images) == 0 or images.shape[1:] != self._shape or images.dtype != torch.float32
        if other or (torch.is_grad_enabled() and images.requires_grad):
            logits: Tensor = self.differentiable(images)
            return logits
        return torch.from_numpy(self._session.run(None, {"images": images.detach().numpy()})[0])


def is_own(network: nn.Module) -> bool:
    """Whether a network is one of the benchmark's, in all its parts: others could be another while they are traced."""
    return type(network).__module__.startswith("benchmark.") and all(is_known(part) for part in network.modules())


def is_known(part: nn.Module) -> bool:
    """Whether a module is of a class of the benchmark's or of torch's, computes by it, and has no hooks."""
    kind, held = type(part), vars(part)
    home: Any = sys.modules.get(kind.__module__)
    real = functools.reduce(lambda at, name: getattr(at, name, None), kind.__qualname__.split("."), home) is kind
    known = kind.__module__.partition(".")[0] in ("benchmark", "torch", "torchvision")
    return known and real and "forward" not in held and not any(held.get(name) for name in _HOOKS)


_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def compiled(network: nn.Module, differentiable: nn.Module, shape: tuple[int, int, int]) -> nn.Module:
    """The network with its answers from the runtime, on a CPU; elsewhere, or where that fails, ``differentiable``."""
    if any(parameter.device.type != "cpu" for parameter in network.parameters()):
        return differentiable
    try:
        return Compiled(network, differentiable, shape)
    except Exception:
        return differentiable


def _session(network: nn.Module, shape: tuple[int, int, int]):  # type: ignore[no-untyped-def]
    import onnxruntime  # type: ignore[import-untyped]

    written = io.BytesIO()
    # Where it fails the exporter prints the whole graph.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        # Two images, so that nothing takes the length of a batch for a constant one.
        torch.onnx.export(
            network,
            (torch.full((2, *shape), 0.5),),
            written,  # type: ignore[arg-type]
            dynamo=False,
            input_names=["images"],
            output_names=["logits"],
            dynamic_axes={"images": {0: "n"}, "logits": {0: "n"}},
            opset_version=17,
        )
    options = onnxruntime.SessionOptions()
    # A pool of threads would not live through a fork.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(written.getvalue(), options, providers=["CPUExecutionProvider"])
