"""Networks made cheaper to run, with equal outputs except for the last digits."""

from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval


def fuse_batch_norm(network: nn.Module) -> None:
    """Fuse each batch norm into the convolution or linear layer before it, and store weights as channels_last.

    That layout is the one that CPUs and tensor cores read. For networks that are not trained any further. Consecutive
    children of a module, first a layer and then a norm, are assumed to be called in that order, as in our networks.
    """
    network.eval()
    for module in list(network.modules()):
        for (name, layer), (norm_name, norm) in pairwise(list(module.named_children())):
            if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                fused: nn.Module = fuse_conv_bn_eval(layer, norm)
            elif isinstance(layer, nn.Linear) and isinstance(norm, nn.BatchNorm1d):
                fused = fuse_linear_bn_eval(layer, norm)
            else:
                continue
            setattr(module, name, fused)
            setattr(module, norm_name, nn.Identity())
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
