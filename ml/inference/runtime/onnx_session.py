"""How nets run on a CPU: as whole graphs, by ONNX Runtime.

One or two faces take it a third of the time that torch takes, whose operators are called one by one, and nothing of it
needs Python's lock. Answers are equal but for the last digits.
"""

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from onnxruntime import InferenceSession, SessionOptions
from torch import Tensor, nn

from ml.memory import trim_heap

OPSET = 17
"""Version of ONNX's operators."""


class OnnxSession:
    """A net of tensors whose first dimension, of one length in all of them, is free. Threads may share it."""

    def __init__(self, network: nn.Module, *examples: Tensor) -> None:
        """`examples`: what the net is called with; of two rows, as one would be taken for a constant."""
        options = SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.enable_cpu_mem_arena = False  # it would keep the most that a batch ever needed
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        with TemporaryDirectory(prefix="affect-graph-") as folder:
            path = Path(folder) / "net.onnx"
            export_onnx(network, examples, path)
            self._session = InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._names = [given.name for given in self._session.get_inputs()]
        trim_heap()

    def __call__(self, *rows: Tensor) -> tuple[Tensor, ...]:
        given = {name: each.numpy() for name, each in zip(self._names, rows, strict=True)}
        return tuple(torch.from_numpy(found) for found in self._session.run(None, given))


@torch.inference_mode()
def export_onnx(network: nn.Module, examples: tuple[Tensor, ...], path: Path) -> None:
    """Writes a net as ONNX. Its operators are recorded as they run on the examples: the exporter that reads Python's
    code instead needs torch's compiler, seconds and 150 MB."""
    found = network(*examples)
    given, answers = [f"given_{n}" for n in range(len(examples))], [f"found_{n}" for n in range(len(found))]
    with warnings.catch_warnings():  # of its age, and of each shape that it takes for a constant
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            examples,
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=given,
            output_names=answers,
            dynamic_axes={name: {0: "rows"} for name in (*given, *answers)},
        )
