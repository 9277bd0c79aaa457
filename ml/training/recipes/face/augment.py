"""Augmentation of face crops: other detectors, light and cameras, drawn again for each training step."""

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate

PAINTED_PROB = 0.9
"""Default share of masked pictures that get the background of another picture."""
MAX_MASK_LEVEL = 6
"""Grey value below which a pixel of a masked picture counts as mask."""


def augment(crops_NHW: Tensor, masked_N: Tensor, strength: float = 1.0, painted: float = PAINTED_PROB) -> Tensor:
    """Return random variants of crops: uint8 [N, H, W] → float [N, 1, H, W] in 0..1.

    `painted`: share of masked pictures that get the background of another picture.
    """
    count, size = len(crops_NHW), crops_NHW.shape[-1]
    other_NHW = crops_NHW[torch.randperm(count)]
    paint_N11 = (masked_N & (torch.rand(count) < painted))[:, None, None]
    painted_NHW = torch.where(paint_N11 & (crops_NHW < MAX_MASK_LEVEL), other_NHW, crops_NHW)
    images = random_shift(painted_NHW, strength)
    images = torch.where(_oval(size) | (torch.rand(count, 1, 1, 1) > 0.15), images, 0.0)
    return _erase(_blurred(images, strength))


def _blurred(images: Tensor, strength: float) -> Tensor:
    """Blur a third of the images, as if they were made from half to a quarter of the pixels of a side."""
    few = torch.rand(len(images)) < strength / 3
    if few.any():
        size = images.shape[-1]
        side = int(torch.randint(size // 4, size // 2 + 1, ()))
        small = interpolate(images[few], size=(side, side), mode="area")
        images[few] = interpolate(small, size=(size, size), mode="bilinear", align_corners=False)
    return images


def random_shift(crops_NHW: Tensor, strength: float = 1.0, *, together: bool = False) -> Tensor:
    """Return the faces slightly moved, in other light: uint8 [N, H, W] → float [N, 1, H, W] in 0..1.

    `together`: the crops are frames of one clip and change in the same way, so that its motion is kept.
    """
    count, size = len(crops_NHW), crops_NHW.shape[-1]
    draws = 1 if together else count
    images = crops_NHW.float().div_(255).unsqueeze(1)
    affine = _random_affine(draws, strength).expand(count, 2, 3)
    grid = affine_grid(affine, [count, 1, size, size], align_corners=False)
    images = grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    contrast, brightness = torch.empty(2, draws, 1, 1, 1).uniform_(-0.3, 0.3) * strength
    images = ((images - 0.5) * (1 + contrast) + 0.5 + brightness * 0.6).clamp_(0, 1)
    return images ** (2.0 ** (torch.empty(draws, 1, 1, 1).uniform_(-1, 1) * strength))


def _random_affine(count: int, strength: float) -> Tensor:
    """Return affine maps [N, 2, 3]. At strength 1: scale ± 25 %, rotation ± 12°, shift ± 8 %; half are mirrored."""
    scale = 1.25 ** (torch.empty(count).uniform_(-1, 1) * strength)
    angle = torch.empty(count).uniform_(-0.21, 0.21) * strength
    flip = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    shift = torch.empty(2, count).uniform_(-0.16, 0.16) * strength
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    return torch.stack([torch.stack([cos * flip, -sin, shift[0]], 1), torch.stack([sin * flip, cos, shift[1]], 1)], 1)


def _oval(size: int) -> Tensor:
    """Return the pixels of a crop within the outline of a face: bool [H, W]."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    return (x / 0.85) ** 2 + (y / 0.98) ** 2 <= 1


def _erase(images: Tensor) -> Tensor:
    """Cover a square of half of the pictures with grey (Zhong et al. 2020), on average a quarter of the side wide."""
    count, size = len(images), images.shape[-1]
    side = torch.randint(size // 8, size // 3, (count, 1, 1))
    top, left = torch.randint(0, size, (2, count, 1, 1))
    y, x = torch.arange(size).view(1, -1, 1), torch.arange(size).view(1, 1, -1)
    hole = (y >= top) & (y < top + side) & (x >= left) & (x < left + side) & (torch.rand(count, 1, 1) < 0.5)
    return torch.where(hole.unsqueeze(1), torch.rand(count, 1, 1, 1), images)
