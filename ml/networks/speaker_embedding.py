"""CAM++: a network that turns speech into an embedding of the speaker.

Source: Wang et al., "CAM++: A Fast and Efficient Network for Speaker Verification Using Context-Aware Masking",
Interspeech 2023. The names of the layers are those of the published weights (3D-Speaker, Apache-2.0).
"""

from collections import OrderedDict
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

MEL_BANDS = 80
EMBEDDING_SIZE = 192
_CONTEXT_FRAMES = 100
_BLOCKS = ((12, 1), (24, 2), (16, 2))
"""Layers and dilation of each dense block."""
_GROWTH, _BOTTLENECK, _FIRST_CHANNELS = 32, 128, 128


class SpeakerEmbedding(nn.Module):
    """log-mel frames [N, T, 80], mean of each band removed → embeddings [N, 192], not normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.head = _ConvolutionHead()
        channels = _FIRST_CHANNELS
        layers: OrderedDict[str, nn.Module] = OrderedDict(tdnn=_FirstTdnn(self.head.out_channels, channels))
        for number, (count, dilation) in enumerate(_BLOCKS, start=1):
            layers[f"block{number}"] = _DenseBlock(count, channels, dilation)
            channels += count * _GROWTH
            layers[f"transit{number}"] = _Transit(channels, channels // 2)
            channels //= 2
        layers["out_nonlinear"] = _norm_relu(channels)
        layers["stats"] = _StatisticsPooling()
        layers["dense"] = _Dense(channels * 2, EMBEDDING_SIZE)
        self.xvector = nn.Sequential(layers)

    def forward(self, frames_NTM: Tensor) -> Tensor:
        embeddings: Tensor = self.xvector(self.head(frames_NTM.transpose(1, 2)))
        return embeddings

    def fuse_frame_norms(self) -> None:
        """Fuse each batch norm over frames that follows a convolution into it. For networks that are not trained."""
        for module in self.modules():
            if isinstance(module, _DenseLayer):
                module.linear1 = fuse_conv_bn_eval(module.linear1, cast(nn.BatchNorm1d, module.nonlinear2.batchnorm))
                module.nonlinear2.batchnorm = nn.Identity()
            elif isinstance(module, _FirstTdnn):
                module.linear = fuse_conv_bn_eval(module.linear, cast(nn.BatchNorm1d, module.nonlinear.batchnorm))
                module.nonlinear.batchnorm = nn.Identity()


def _norm_relu(channels: int) -> nn.Sequential:
    return nn.Sequential(OrderedDict(batchnorm=nn.BatchNorm1d(channels), relu=nn.ReLU()))


class _ResidualBlock(nn.Module):
    """Two 3×3 convolutions; `stride` applies to the bands."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, (stride, 1), 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride != 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, channels, 1, (stride, 1), bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, inputs: Tensor) -> Tensor:
        outputs = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(inputs)))))
        return functional.relu(outputs + self.shortcut(inputs))


class _ConvolutionHead(nn.Module):
    """Bands [N, 80, T] → [N, 320, T]."""

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, channels, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.layer1 = nn.Sequential(_ResidualBlock(channels, 2), _ResidualBlock(channels, 1))
        self.layer2 = nn.Sequential(_ResidualBlock(channels, 2), _ResidualBlock(channels, 1))
        self.conv2 = nn.Conv2d(channels, channels, 3, (2, 1), 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.out_channels = channels * MEL_BANDS // 8

    def forward(self, bands: Tensor) -> Tensor:
        maps = functional.relu(self.bn1(self.conv1(bands.unsqueeze(1))))
        maps = functional.relu(self.bn2(self.conv2(self.layer2(self.layer1(maps)))))
        return maps.flatten(1, 2)


class _FirstTdnn(nn.Module):
    """Convolution over five frames, with stride 2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Conv1d(inputs, outputs, 5, stride=2, padding=2, bias=False)
        self.nonlinear = _norm_relu(outputs)

    def forward(self, frames: Tensor) -> Tensor:
        outputs: Tensor = self.nonlinear(self.linear(frames))
        return outputs


class _ContextAwareMask(nn.Module):
    """Convolution whose output is gated by the mean of the recording and of the second around each frame."""

    def __init__(self, inputs: int, outputs: int, dilation: int) -> None:
        super().__init__()
        self.linear_local = nn.Conv1d(inputs, outputs, 3, padding=dilation, dilation=dilation, bias=False)
        self.linear1 = nn.Conv1d(inputs, inputs // 2, 1)
        self.linear2 = nn.Conv1d(inputs // 2, outputs, 1)

    def forward(self, frames: Tensor) -> Tensor:
        near = functional.avg_pool1d(frames, _CONTEXT_FRAMES, _CONTEXT_FRAMES, ceil_mode=True)
        near = near.repeat_interleave(_CONTEXT_FRAMES, dim=-1)[..., : frames.shape[-1]]
        context = functional.relu(self.linear1(frames.mean(-1, keepdim=True) + near))
        return self.linear_local(frames) * torch.sigmoid(self.linear2(context))


class _DenseLayer(nn.Module):
    def __init__(self, inputs: int, dilation: int) -> None:
        super().__init__()
        self.nonlinear1 = _norm_relu(inputs)
        self.linear1 = nn.Conv1d(inputs, _BOTTLENECK, 1, bias=False)
        self.nonlinear2 = _norm_relu(_BOTTLENECK)
        self.cam_layer = _ContextAwareMask(_BOTTLENECK, _GROWTH, dilation)

    def forward(self, frames: Tensor) -> Tensor:
        outputs: Tensor = self.cam_layer(self.nonlinear2(self.linear1(self.nonlinear1(frames))))
        return outputs


class _DenseBlock(nn.Module):
    """Layers each of which reads the outputs of all before it."""

    def __init__(self, count: int, channels: int, dilation: int) -> None:
        super().__init__()
        for number in range(count):
            self.add_module(f"tdnnd{number + 1}", _DenseLayer(channels + number * _GROWTH, dilation))

    def forward(self, frames: Tensor) -> Tensor:
        for layer in self.children():
            frames = torch.cat([frames, layer(frames)], dim=1)
        return frames


class _Transit(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.nonlinear = _norm_relu(inputs)
        self.linear = nn.Conv1d(inputs, outputs, 1, bias=False)

    def forward(self, frames: Tensor) -> Tensor:
        outputs: Tensor = self.linear(self.nonlinear(frames))
        return outputs


class _StatisticsPooling(nn.Module):
    """[N, C, T] → mean and standard deviation over time [N, 2C]."""

    def forward(self, frames: Tensor) -> Tensor:
        return torch.cat([frames.mean(-1), frames.std(-1, unbiased=True)], dim=-1)


class _Dense(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Conv1d(inputs, outputs, 1, bias=False)
        self.nonlinear = nn.Sequential(OrderedDict(batchnorm=nn.BatchNorm1d(outputs, affine=False)))

    def forward(self, statistics: Tensor) -> Tensor:
        outputs: Tensor = self.nonlinear(self.linear(statistics.unsqueeze(-1)).squeeze(-1))
        return outputs
