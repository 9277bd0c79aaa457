"""TensorFlow Lite files of mediapipe as torch networks, so that they run in batches and on any device.

The layout of the files: TensorFlow Lite schema, version 3. Half-precision weights become float32; sparse ones (Gale et
al. 2019) become dense. A file with an operation other than those below is refused.

Files and schema are read from the installed mediapipe package without importing it: importing loads its native library,
which does not exist for every platform. A conversion by tf2onnx would need TensorFlow, and the ONNX Runtime that is
installed has no GPU.
"""

import importlib.util
import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d, pad, relu, relu6

from ml.errors import ModelStoreError

Operation = Callable[..., Tensor]


@cache
def mediapipe_folder() -> Path:
    """Return the folder of the installed mediapipe package. Raises ModelStoreError if it is not installed."""
    spec = importlib.util.find_spec("mediapipe")
    if spec is None or not spec.submodule_search_locations:
        raise ModelStoreError("the package mediapipe, which holds the networks of the face search, is not installed")
    return Path(spec.submodule_search_locations[0])


@cache
def load_schema() -> Any:
    """Return the module with the generated classes of the TensorFlow Lite schema."""
    path = mediapipe_folder() / "tasks" / "metadata" / "schema_py_generated.py"
    spec = importlib.util.spec_from_file_location("tflite_schema", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TfliteNet(nn.Module):
    """Network of a file: images [N, 3, H, W] → its outputs, those with four axes as [N, C, H, W]."""

    def __init__(self, path: Path) -> None:
        """Raises ModelStoreError if the file has an operation that is not supported."""
        super().__init__()
        reader = _GraphReader(path)
        self.size = reader.shape(reader.graph.Inputs(0))[1]
        """Side of the images, in pixels."""
        self._input = reader.graph.Inputs(0)
        self._outputs = reader.graph.OutputsAsNumpy().tolist()
        self._wiring: list[tuple[list[int], int]] = []
        self.operations = nn.ModuleList()
        for name, operator in reader.operators():
            inputs, output = operator.InputsAsNumpy().tolist(), operator.Outputs(0)
            if name in ("DEQUANTIZE", "DENSIFY"):
                reader.constants[output] = reader.constant(inputs[0])
                continue
            if name not in _BUILDERS:
                raise ModelStoreError(f"the operation {name} of a TensorFlow Lite file is not supported")
            self.operations.append(_BUILDERS[name](reader, operator))
            self._wiring.append(([index for index in inputs if not reader.is_constant(index)], output))

    def forward(self, images_NCHW: Tensor) -> tuple[Tensor, ...]:
        tensors = {self._input: images_NCHW}
        for operation, (inputs, output) in zip(self.operations, self._wiring, strict=True):
            tensors[output] = operation(*(tensors[index] for index in inputs))
        return tuple(tensors[index] for index in self._outputs)


class _GraphReader:
    """Graph of a file, with its constants by the index of their tensor."""

    def __init__(self, path: Path) -> None:
        self.schema = load_schema()
        self._model = self.schema.Model.GetRootAsModel(path.read_bytes(), 0)
        self.graph = self._model.Subgraphs(0)
        self.constants: dict[int, NDArray[Any]] = {}

    def operators(self) -> list[tuple[str, Any]]:
        """Return the operators with their names, in the order of execution."""
        names = {code: name for name, code in vars(self.schema.BuiltinOperator).items() if isinstance(code, int)}
        operators = [self.graph.Operators(index) for index in range(self.graph.OperatorsLength())]
        codes = [self._model.OperatorCodes(operator.OpcodeIndex()) for operator in operators]
        return [
            (names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())], operator)
            for code, operator in zip(codes, operators, strict=True)
        ]

    def options(self, operator: Any, kind: str) -> Any:
        """Return the options of an operator. `kind`: their class in the schema."""
        table, options = operator.BuiltinOptions(), getattr(self.schema, kind)()
        options.Init(table.Bytes, table.Pos)
        return options

    def activation(self, options: Any) -> Operation:
        """Return the activation that is fused into an operator."""
        kinds = self.schema.ActivationFunctionType
        activations: dict[int, Operation] = {kinds.NONE: lambda x: x, kinds.RELU: relu, kinds.RELU6: relu6}
        return activations[options.FusedActivationFunction()]

    def pads_same(self, options: Any) -> bool:
        """Return whether an operator pads its input so that a stride of 1 keeps its size."""
        return bool(options.Padding() == self.schema.Padding.SAME)

    def shape(self, index: int) -> list[int]:
        return list(map(int, self.graph.Tensors(index).ShapeAsNumpy()))

    def is_constant(self, index: int) -> bool:
        return index in self.constants or self._model.Buffers(self.graph.Tensors(index).Buffer()).DataLength() > 0

    def constant(self, index: int) -> NDArray[Any]:
        """Return the values of a constant tensor, dense, half precision as float32."""
        if index in self.constants:
            return self.constants[index]
        types = self.schema.TensorType
        dtypes = {types.FLOAT32: np.float32, types.FLOAT16: np.float16, types.INT32: np.int32}
        tensor = self.graph.Tensors(index)
        content = self._model.Buffers(tensor.Buffer()).DataAsNumpy().tobytes()
        values: NDArray[Any] = np.frombuffer(content, dtypes[tensor.Type()])
        sparsity = tensor.Sparsity()
        if sparsity is None:
            values = values.reshape(self.shape(index))
        else:
            values = _to_dense(self.schema, values, sparsity, self.shape(index))
        return values.astype(np.float32) if values.dtype == np.float16 else values

    def weights(self, operator: Any, number: int) -> Tensor:
        """Return the n-th input of an operator, which is constant."""
        return torch.from_numpy(np.array(self.constant(operator.Inputs(number))))


def _to_dense(schema: Any, values: NDArray[Any], sparsity: Any, shape: Sequence[int]) -> NDArray[Any]:
    """Return a sparse tensor as a dense one.

    Its dimensions are traversed in `TraversalOrder`; those after the tensor's own are the insides of blocks.
    """
    order = sparsity.TraversalOrderAsNumpy()
    block_map = [sparsity.BlockMap(index) for index in range(sparsity.BlockMapLength())]
    positions, coordinates = np.zeros(1, np.int64), np.zeros((1, len(order)), np.int64)
    sizes = np.ones(len(order), np.int64)
    for level, dimension in enumerate(order):
        metadata = sparsity.DimMetadata(level)
        if metadata.Format() == schema.DimensionType.DENSE:
            size = sizes[dimension] = metadata.DenseSize()
            counts = np.full(len(positions), size)
            indices = np.tile(np.arange(size), len(positions))
            positions = np.repeat(positions * size, counts) + indices
        else:
            segments, listed = (_integers(schema, metadata, name) for name in ("ArraySegments", "ArrayIndices"))
            counts = segments[positions + 1] - segments[positions]
            inside = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            positions = np.repeat(segments[positions], counts) + inside
            indices = listed[positions]
        coordinates = np.repeat(coordinates, counts, axis=0)
        coordinates[:, dimension] = indices
    own = coordinates[:, : len(shape)]
    for block, dimension in enumerate(block_map):
        inner = len(shape) + block
        own[:, dimension] = own[:, dimension] * sizes[inner] + coordinates[:, inner]
    dense = np.zeros(shape, values.dtype)
    dense[tuple(own.T)] = values[positions]
    return dense


def _integers(schema: Any, metadata: Any, name: str) -> NDArray[np.int64]:
    """Return a vector of integers; the file chooses their width."""
    kinds = {
        schema.SparseIndexVector.Int32Vector: schema.Int32Vector,
        schema.SparseIndexVector.Uint16Vector: schema.Uint16Vector,
        schema.SparseIndexVector.Uint8Vector: schema.Uint8Vector,
    }
    table = getattr(metadata, name)()
    vector = kinds[getattr(metadata, f"{name}Type")()]()
    vector.Init(table.Bytes, table.Pos)
    return np.asarray(vector.ValuesAsNumpy(), np.int64)


class _Convolution(nn.Module):
    """Convolution padded as TensorFlow does it, with its fused activation."""

    def __init__(self, reader: _GraphReader, weights_OIHW: Tensor, bias_O: Tensor, options: Any, groups: int) -> None:
        super().__init__()
        channels, _, height, width = weights_OIHW.shape
        self.stride = (options.StrideH(), options.StrideW())
        self.pads_same = reader.pads_same(options)
        self.conv = nn.Conv2d(len(weights_OIHW[0]) * groups, channels, (height, width), self.stride, groups=groups)
        self.conv.weight, self.conv.bias = nn.Parameter(weights_OIHW.contiguous()), nn.Parameter(bias_O)
        self.activation = reader.activation(options)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        padded = _pad_same(x_NCHW, self.conv.kernel_size, self.stride) if self.pads_same else x_NCHW
        return self.activation(self.conv(padded))


def _pad_same(x_NCHW: Tensor, kernel: Sequence[int], stride: Sequence[int], value: float = 0.0) -> Tensor:
    """Pad as TensorFlow does with "SAME": the odd pixel at the far side."""
    margins = []
    for side, width, step in zip(x_NCHW.shape[:1:-1], kernel[::-1], stride[::-1], strict=True):
        total = max((math.ceil(int(side) / step) - 1) * step + width - int(side), 0)
        margins += [total // 2, total - total // 2]
    return pad(x_NCHW, margins, value=value) if any(margins) else x_NCHW


class _Function(nn.Module):
    """Operation without weights."""

    def __init__(self, function: Operation) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs)


def _conv_2d(reader: _GraphReader, operator: Any) -> nn.Module:
    options = reader.options(operator, "Conv2DOptions")
    weights_OIHW = reader.weights(operator, 1).permute(0, 3, 1, 2)
    return _Convolution(reader, weights_OIHW, reader.weights(operator, 2), options, groups=1)


def _depthwise_conv_2d(reader: _GraphReader, operator: Any) -> nn.Module:
    options = reader.options(operator, "DepthwiseConv2DOptions")
    weights_CIHW = reader.weights(operator, 1).permute(3, 0, 1, 2)
    return _Convolution(reader, weights_CIHW, reader.weights(operator, 2), options, groups=len(weights_CIHW))


def _prelu(reader: _GraphReader, operator: Any) -> nn.Module:
    slope_C = reader.weights(operator, 1).flatten()
    module = nn.PReLU(len(slope_C))
    module.weight = nn.Parameter(slope_C)
    return module


def _max_pool_2d(reader: _GraphReader, operator: Any) -> nn.Module:
    options = reader.options(operator, "Pool2DOptions")
    kernel, stride = (options.FilterHeight(), options.FilterWidth()), (options.StrideH(), options.StrideW())
    pads_same = reader.pads_same(options)

    def pool(x_NCHW: Tensor) -> Tensor:
        return max_pool2d(_pad_same(x_NCHW, kernel, stride, -math.inf) if pads_same else x_NCHW, kernel, stride)

    return _Function(pool)


def _pad(reader: _GraphReader, operator: Any) -> nn.Module:
    batch, height, width, channels = reader.constant(operator.Inputs(1)).tolist()
    return _Function(partial(pad, pad=(*width, *height, *channels, *batch)))


def _add(reader: _GraphReader, operator: Any) -> nn.Module:
    activation = reader.activation(reader.options(operator, "AddOptions"))
    return _Function(lambda one_NCHW, other_NCHW: activation(one_NCHW + other_NCHW))


def _resize_bilinear(reader: _GraphReader, operator: Any) -> nn.Module:
    options = reader.options(operator, "ResizeBilinearOptions")
    size = tuple(reader.constant(operator.Inputs(1)).tolist())
    if not (options.HalfPixelCenters() or options.AlignCorners()):
        raise ModelStoreError("a resize of a TensorFlow Lite file that does not align pixel centres is not supported")
    return _Function(partial(interpolate, size=size, mode="bilinear", align_corners=options.AlignCorners()))


def _depth_to_space(reader: _GraphReader, operator: Any) -> nn.Module:
    block = reader.options(operator, "DepthToSpaceOptions").BlockSize()

    def rearrange(x_NCHW: Tensor) -> Tensor:
        x = x_NCHW.unflatten(1, (block, block, -1))  # [N, down, right, C, H, W]
        return x.permute(0, 3, 4, 1, 5, 2).flatten(4, 5).flatten(2, 3)

    return _Function(rearrange)


def _reshape(reader: _GraphReader, operator: Any) -> nn.Module:
    _, *shape = reader.shape(operator.Outputs(0))
    return _Function(lambda x_NCHW: x_NCHW.permute(0, 2, 3, 1).reshape(-1, *shape))


def _concatenation(reader: _GraphReader, operator: Any) -> nn.Module:
    axis = reader.options(operator, "ConcatenationOptions").Axis()
    return _Function(lambda *parts: torch.cat(parts, dim=axis))


_BUILDERS: dict[str, Callable[[_GraphReader, Any], nn.Module]] = {
    "CONV_2D": _conv_2d,
    "DEPTHWISE_CONV_2D": _depthwise_conv_2d,
    "MAX_POOL_2D": _max_pool_2d,
    "PAD": _pad,
    "ADD": _add,
    "RELU": lambda reader, operator: _Function(relu),
    "PRELU": _prelu,
    "RESIZE_BILINEAR": _resize_bilinear,
    "DEPTH_TO_SPACE": _depth_to_space,
    "RESHAPE": _reshape,
    "CONCATENATION": _concatenation,
}
