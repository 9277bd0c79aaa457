"""Networks on a CPU, as whole graphs by ONNX Runtime.

One or two faces take it a third of the time of torch, which calls operators one by one, and nothing of it holds
Python's lock. Outputs are equal except for the last digits.
"""

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from onnxruntime import InferenceSession, SessionOptions
from torch import Tensor, nn

from ml.memory import trim_heap

OPSET = 17
"""Version of the ONNX operator set."""


class OnnxSession:
    """Network that maps tensors to tensors. The first dimension of each is free; it is equal in all inputs of a call.

    Threads may share a session.
    """

    def __init__(self, network: nn.Module, *examples: Tensor) -> None:
        """Export a network. `examples`: its inputs, with two rows, because one would be taken for a constant."""
        options = SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.enable_cpu_mem_arena = False  # it would keep the maximum that a batch ever needed
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        with TemporaryDirectory(prefix="affect-graph-") as folder:
            path = Path(folder) / "net.onnx"
            export_onnx(network, examples, path)
            self._session = InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._inputs = [each.name for each in self._session.get_inputs()]
        trim_heap()

    def __call__(self, *rows: Tensor) -> tuple[Tensor, ...]:
        inputs = {name: each.numpy() for name, each in zip(self._inputs, rows, strict=True)}
        return tuple(torch.from_numpy(output) for output in self._session.run(None, inputs))


@torch.inference_mode()
def export_onnx(network: nn.Module, examples: tuple[Tensor, ...], path: Path) -> None:
    """Write a network as ONNX, by tracing it on example inputs.

    The newer exporter, which reads Python code instead, needs torch's compiler, seconds and 150 MB.
    """
    outputs = network(*examples)
    input_names = [f"input_{number}" for number in range(len(examples))]
    output_names = [f"output_{number}" for number in range(len(outputs))]
    with warnings.catch_warnings():  # about the exporter's age, and about each shape that it takes for a constant
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            examples,
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=input_names,
            output_names=output_names,
            dynamic_axes={name: {0: "rows"} for name in (*input_names, *output_names)},
        )
