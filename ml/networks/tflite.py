"""Nets that mediapipe carries as TensorFlow Lite files, rebuilt in torch: so they run in batches, on any device.

The layout of the files: TensorFlow Lite schema, version 3. Half-precision weights become float32; sparse ones (Gale et
al. 2019) dense. Whatever is not among the operations below is refused.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mediapipe.tasks.metadata import schema_py_generated as schema
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d, pad, relu, relu6

from ml.errors import ModelStoreError

Step = Callable[..., Tensor]

_DTYPES = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.FLOAT16: np.float16,
    schema.TensorType.INT32: np.int32,
}
_ACTIVATIONS: dict[int, Step] = {
    schema.ActivationFunctionType.NONE: lambda x: x,
    schema.ActivationFunctionType.RELU: relu,
    schema.ActivationFunctionType.RELU6: relu6,
}
_NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
_CONSTANT = ("DEQUANTIZE", "DENSIFY")


class TfliteNet(nn.Module):
    """Images [N, 3, H, W] as the file wants them → its outputs, those with four axes as [N, C, H, W]."""

    def __init__(self, path: Path) -> None:
        """Raises ModelStoreError when the file holds an operation that is not known here."""
        super().__init__()
        reader = _Reader(path)
        self.size = reader.shape(reader.graph.Inputs(0))[1]
        self._input = reader.graph.Inputs(0)
        self._outputs = reader.graph.OutputsAsNumpy().tolist()
        self._wiring: list[tuple[list[int], int]] = []
        self.steps = nn.ModuleList()
        for name, operator in reader.operators():
            inputs, output = operator.InputsAsNumpy().tolist(), operator.Outputs(0)
            if name in _CONSTANT:
                reader.constants[output] = reader.constant(inputs[0])
                continue
            self.steps.append(_module(name, reader, operator))
            self._wiring.append(([place for place in inputs if not reader.is_constant(place)], output))

    def forward(self, images_NCHW: Tensor) -> tuple[Tensor, ...]:
        made = {self._input: images_NCHW}
        for step, (inputs, output) in zip(self.steps, self._wiring, strict=True):
            made[output] = step(*(made[place] for place in inputs))
        return tuple(made[place] for place in self._outputs)


class _Reader:
    """The one graph of a file, and its constants by the place of their tensor."""

    def __init__(self, path: Path) -> None:
        self._model = schema.Model.GetRootAsModel(path.read_bytes(), 0)
        self.graph = self._model.Subgraphs(0)
        self.constants: dict[int, NDArray[Any]] = {}

    def operators(self) -> list[tuple[str, Any]]:
        every = [self.graph.Operators(index) for index in range(self.graph.OperatorsLength())]
        return [(self._name(operator.OpcodeIndex()), operator) for operator in every]

    def _name(self, index: int) -> str:
        code = self._model.OperatorCodes(index)
        return _NAMES[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]

    def shape(self, place: int) -> list[int]:
        return list(map(int, self.graph.Tensors(place).ShapeAsNumpy()))

    def is_constant(self, place: int) -> bool:
        return place in self.constants or self._model.Buffers(self.graph.Tensors(place).Buffer()).DataLength() > 0

    def constant(self, place: int) -> NDArray[Any]:
        if place in self.constants:
            return self.constants[place]
        tensor = self.graph.Tensors(place)
        content = self._model.Buffers(tensor.Buffer()).DataAsNumpy().tobytes()
        values = np.frombuffer(content, _DTYPES[tensor.Type()])
        sparsity = tensor.Sparsity()
        found = values.reshape(self.shape(place)) if sparsity is None else _dense(values, sparsity, self.shape(place))
        return found.astype(np.float32) if found.dtype == np.float16 else found

    def weights(self, operator: Any, index: int) -> Tensor:
        return torch.from_numpy(np.array(self.constant(operator.Inputs(index))))


def _dense(values: NDArray[Any], sparsity: Any, shape: Sequence[int]) -> NDArray[Any]:
    """Spreads the values that are told of a sparse tensor. Its dimensions are walked through in `TraversalOrder`; those
    after the tensor's own are the insides of blocks."""
    order = sparsity.TraversalOrderAsNumpy()
    block_map = [sparsity.BlockMap(index) for index in range(sparsity.BlockMapLength())]
    places, along = np.zeros(1, np.int64), np.zeros((1, len(order)), np.int64)
    sizes = np.ones(len(order), np.int64)
    for level, dimension in enumerate(order):
        told = sparsity.DimMetadata(level)
        if told.Format() == schema.DimensionType.DENSE:
            sizes[dimension] = told.DenseSize()
            counts = np.full(len(places), told.DenseSize())
            indices = np.tile(np.arange(told.DenseSize()), len(places))
            places = np.repeat(places * told.DenseSize(), counts) + indices
        else:
            segments, listed = (_integers(told, name) for name in ("ArraySegments", "ArrayIndices"))
            counts = segments[places + 1] - segments[places]
            within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            places = np.repeat(segments[places], counts) + within
            indices = listed[places]
        along = np.repeat(along, counts, axis=0)
        along[:, dimension] = indices
    where = along[:, : len(shape)]
    for block, dimension in enumerate(block_map):
        inside = len(shape) + block
        where[:, dimension] = where[:, dimension] * sizes[inside] + along[:, inside]
    made = np.zeros(shape, values.dtype)
    made[tuple(where.T)] = values[places]
    return made


def _integers(told: Any, name: str) -> NDArray[np.int64]:
    """A vector of integers, whose width is the file's choice."""
    kinds = {
        schema.SparseIndexVector.Int32Vector: schema.Int32Vector,
        schema.SparseIndexVector.Uint16Vector: schema.Uint16Vector,
        schema.SparseIndexVector.Uint8Vector: schema.Uint8Vector,
    }
    table = getattr(told, name)()
    vector = kinds[getattr(told, f"{name}Type")()]()
    vector.Init(table.Bytes, table.Pos)
    return np.asarray(vector.ValuesAsNumpy(), np.int64)


class _Convolution(nn.Module):
    """As TensorFlow pads it: the odd pixel at the far side."""

    def __init__(self, weights_OIHW: Tensor, bias_O: Tensor, options: Any, groups: int) -> None:
        super().__init__()
        out, _, high, wide = weights_OIHW.shape
        self.stride = (options.StrideH(), options.StrideW())
        self.same = options.Padding() == schema.Padding.SAME
        self.conv = nn.Conv2d(len(weights_OIHW[0]) * groups, out, (high, wide), self.stride, groups=groups)
        self.conv.weight, self.conv.bias = nn.Parameter(weights_OIHW.contiguous()), nn.Parameter(bias_O)
        self.activation = _ACTIVATIONS[options.FusedActivationFunction()]

    def forward(self, x_NCHW: Tensor) -> Tensor:
        padded = _same(x_NCHW, self.conv.kernel_size, self.stride) if self.same else x_NCHW
        return self.activation(self.conv(padded))


def _same(x_NCHW: Tensor, kernel: Sequence[int], stride: Sequence[int], value: float = 0.0) -> Tensor:
    margins = []
    for side, wide, step in zip(x_NCHW.shape[:1:-1], kernel[::-1], stride[::-1], strict=True):
        total = max((math.ceil(int(side) / step) - 1) * step + wide - int(side), 0)
        margins += [total // 2, total - total // 2]
    return pad(x_NCHW, margins, value=value) if any(margins) else x_NCHW


class _Does(nn.Module):
    """A step without weights."""

    def __init__(self, step: Step) -> None:
        super().__init__()
        self.step = step

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.step(*inputs)


def _options(operator: Any, kind: Any) -> Any:
    table, found = operator.BuiltinOptions(), kind()
    found.Init(table.Bytes, table.Pos)
    return found


def _module(name: str, reader: _Reader, operator: Any) -> nn.Module:
    if name not in _STEPS:
        raise ModelStoreError(f"the operation {name} of a TensorFlow Lite file is not known")
    return _STEPS[name](reader, operator)


def _conv_2d(reader: _Reader, operator: Any) -> nn.Module:
    options = _options(operator, schema.Conv2DOptions)
    return _Convolution(reader.weights(operator, 1).permute(0, 3, 1, 2), reader.weights(operator, 2), options, groups=1)


def _depthwise(reader: _Reader, operator: Any) -> nn.Module:
    options = _options(operator, schema.DepthwiseConv2DOptions)
    weights_CIHW = reader.weights(operator, 1).permute(3, 0, 1, 2)
    return _Convolution(weights_CIHW, reader.weights(operator, 2), options, groups=len(weights_CIHW))


def _prelu(reader: _Reader, operator: Any) -> nn.Module:
    slope_C = reader.weights(operator, 1).flatten()
    made = nn.PReLU(len(slope_C))
    made.weight = nn.Parameter(slope_C)
    return made


def _pool(reader: _Reader, operator: Any) -> nn.Module:
    options = _options(operator, schema.Pool2DOptions)
    kernel, stride = (options.FilterHeight(), options.FilterWidth()), (options.StrideH(), options.StrideW())
    same = options.Padding() == schema.Padding.SAME

    def step(x_NCHW: Tensor) -> Tensor:
        return max_pool2d(_same(x_NCHW, kernel, stride, -math.inf) if same else x_NCHW, kernel, stride)

    return _Does(step)


def _pad(reader: _Reader, operator: Any) -> nn.Module:
    batch, high, wide, channels = reader.constant(operator.Inputs(1)).tolist()
    return _Does(partial(pad, pad=(*wide, *high, *channels, *batch)))


def _add(reader: _Reader, operator: Any) -> nn.Module:
    activation = _ACTIVATIONS[_options(operator, schema.AddOptions).FusedActivationFunction()]
    return _Does(lambda one_NCHW, other_NCHW: activation(one_NCHW + other_NCHW))


def _resize(reader: _Reader, operator: Any) -> nn.Module:
    options = _options(operator, schema.ResizeBilinearOptions)
    size = tuple(reader.constant(operator.Inputs(1)).tolist())
    if not (options.HalfPixelCenters() or options.AlignCorners()):
        raise ModelStoreError("a resize of a TensorFlow Lite file whose pixels have no centres is not known")
    return _Does(partial(interpolate, size=size, mode="bilinear", align_corners=options.AlignCorners()))


def _depth_to_space(reader: _Reader, operator: Any) -> nn.Module:
    block = _options(operator, schema.DepthToSpaceOptions).BlockSize()

    def step(x_NCHW: Tensor) -> Tensor:
        x = x_NCHW.unflatten(1, (block, block, -1))  # [N, down, right, C, H, W]
        return x.permute(0, 3, 4, 1, 5, 2).flatten(4, 5).flatten(2, 3)

    return _Does(step)


def _reshape(reader: _Reader, operator: Any) -> nn.Module:
    _, *shape = reader.shape(operator.Outputs(0))
    return _Does(lambda x_NCHW: x_NCHW.permute(0, 2, 3, 1).reshape(-1, *shape))


def _concatenation(reader: _Reader, operator: Any) -> nn.Module:
    axis = _options(operator, schema.ConcatenationOptions).Axis()
    return _Does(lambda *parts: torch.cat(parts, dim=axis))


_STEPS: dict[str, Callable[[_Reader, Any], nn.Module]] = {
    "CONV_2D": _conv_2d,
    "DEPTHWISE_CONV_2D": _depthwise,
    "MAX_POOL_2D": _pool,
    "PAD": _pad,
    "ADD": _add,
    "RELU": lambda reader, operator: _Does(relu),
    "PRELU": _prelu,
    "RESIZE_BILINEAR": _resize,
    "DEPTH_TO_SPACE": _depth_to_space,
    "RESHAPE": _reshape,
    "CONCATENATION": _concatenation,
}
