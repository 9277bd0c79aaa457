"""Published models as something that runs: the only module of the runtime that knows weight formats and engines.

A new weight format is read by `open_network` (and `ml.registry.weights`), a new engine is chosen by `open_session`.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ml.errors import ModelStoreError
from ml.inference.runtime.cuda_graphs import CudaGraphRunner
from ml.inference.runtime.onnx_session import OnnxSession
from ml.registry import Manifest, ModelStore

NetworkT = TypeVar("NetworkT", bound=nn.Module)

Session = Callable[..., tuple[Tensor, ...]]
"""Network on its engine: input tensors with the same number of rows → output tensors with that number of rows."""


def open_network(store: ModelStore, manifest: Manifest) -> Any:
    """Return the network of a published model with its weights, in eval mode; its class is that of the architecture.

    Raises ModelStoreError if it is damaged or its weights do not fit.
    """
    return store.network(manifest.reference)


def open_network_of(kind: type[NetworkT], purpose: str, store: ModelStore, reference: str) -> NetworkT:
    """Return the network of a published model that has this class. Raises ModelStoreError as `open_network`, and if it
    has another class. `purpose`: of such models, for the message."""
    network = open_network(store, store.manifest(reference))
    if not isinstance(network, kind):
        raise ModelStoreError(f"{reference} is no model of {purpose}")
    return network


def open_session(
    network: nn.Module, device: torch.device, examples: tuple[Tensor, ...], *, exportable: bool
) -> Session:
    """Return the network on the fastest engine that can run it on `device`.

    On a CPU that is ONNX Runtime, if the network can be exported; on a GPU CUDA graphs, if it has a single input. Other
    networks run in torch. `examples`: inputs of two rows.
    """
    if device.type == "cpu" and exportable:
        return OnnxSession(network, *examples)
    return CudaGraphRunner(network) if len(examples) == 1 else network


def capture_graphs(session: Session, examples: tuple[Tensor, ...]) -> None:
    """Capture the CUDA graphs of a session on a GPU; other sessions have none."""
    if isinstance(session, CudaGraphRunner) and examples[0].device.type == "cuda":
        session.capture(examples[0][0])
