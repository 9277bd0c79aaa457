"""Images that explain a reading: RGB, with a title line above."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ml.explanation.text_attribution import TextAttribution
from ml.explanation.voice_attribution import VoiceRelevance
from ml.networks.mel import FRAMES_PER_SECOND, MEL_BANDS, SAMPLE_RATE
from ml.rendering.drawing import BLACK
from ml.rendering.typeface import Colour, typeface
from ml.scripts import is_right_to_left

Image_HW3 = NDArray[np.uint8]

_SIDE, _TILE = 240, 96
_FONT_SIZE, _MARGIN, _HEAD = 15, 12, 40
_PAPER: Colour = (255, 255, 255)
_FOR: Colour = (230, 120, 40)
_AGAINST: Colour = (70, 130, 200)
_MAX_WIDTH = 1000
_FREQUENCIES = (0, 500, 1000, 2000, 4000)


def heat(values_HW: NDArray[np.float32]) -> Image_HW3:
    """Convert 0..1 to RGB, from black over red to yellow (inferno: perceptually uniform for any colour vision)."""
    bytes_HW = (np.clip(values_HW, 0, 1) * 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(cv2.applyColorMap(bytes_HW, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB), np.uint8)


def face_heatmap(crop_HW: NDArray[np.uint8], map_HW: NDArray[np.float32], title: str) -> Image.Image:
    """Draw the crop as the net sees it, and the same under its map."""
    crop = cv2.cvtColor(_enlarged(crop_HW, _SIDE), cv2.COLOR_GRAY2RGB).astype(np.float32)
    weight = cv2.resize(map_HW, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    mixed = crop * (1 - 0.6 * weight[..., None]) + heat(weight) * 0.6 * weight[..., None]
    return _with_title(np.concatenate([crop, mixed], axis=1).astype(np.uint8), title)


def feature_map_sheet(maps: Sequence[NDArray[np.float32]], title: str) -> Image.Image:
    """Draw a row of feature maps for each resolution."""
    rows = []
    for maps_CHW in maps:
        tiles = [heat(_enlarged(each, _TILE - 4)) for each in maps_CHW]
        framed = [np.pad(tile, ((2, 2), (2, 2), (0, 0)), constant_values=255) for tile in tiles]
        rows.append(np.concatenate(framed, axis=1))
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    return _with_title(np.concatenate(padded), title)


def voice_heatmap(voice: VoiceRelevance, title: str) -> Image.Image:
    """Draw the log-mel map in grey, high frequencies at the top, with the relevance for the reading over it."""
    frames = voice.map_MT.shape[1]
    pixels_per_frame = max(1, min(6, _MAX_WIDTH // frames))
    size = (frames * pixels_per_frame, MEL_BANDS * 3)
    ground = cv2.resize(_normalized(voice.map_MT), size, interpolation=cv2.INTER_LINEAR)
    positive = np.asarray(cv2.GaussianBlur(np.maximum(voice.relevance_MT, 0), (0, 0), 1.5), np.float32)
    largest = np.float32(max(float(positive.max()), 1e-12))
    weight = np.asarray(cv2.resize(positive / largest, size, interpolation=cv2.INTER_LINEAR), np.float32)
    grey = np.repeat(ground[..., None], 3, axis=-1) * 200
    mixed = grey * (1 - 0.8 * weight[..., None]) + heat(weight) * 0.8 * weight[..., None]
    image = _with_title(np.ascontiguousarray(mixed[::-1].astype(np.uint8)), title, left=56, below=24)
    _mark_axes(ImageDraw.Draw(image), size, frames / FRAMES_PER_SECOND)
    return image


def _mark_axes(draw: ImageDraw.ImageDraw, size: tuple[int, int], seconds: float) -> None:
    width, height = size
    for frequency in _FREQUENCIES:
        y = _HEAD + height - 1 - height * _mel(frequency) / _mel(SAMPLE_RATE / 2)
        draw.text((50, y), f"{frequency} Hz", font=typeface(11).main, fill=BLACK, anchor="rm")
    for tenth in range(int(seconds * 2) + 1):
        place = (56 + tenth / 2 / seconds * width, _HEAD + height + 4)
        draw.text(place, f"{tenth / 2:g} s", font=typeface(11).main, fill=BLACK)


def text_heatmap(text: TextAttribution, title: str) -> Image.Image:
    """Draw the text with the ground of each word coloured by its weight for (orange) or against (blue) the emotion."""
    face, line = typeface(20), 34
    largest = max((abs(word.weight) for word in text.words if word.weight is not None), default=0.0) or 1.0
    width = 900
    image = Image.new("RGB", (width, 4000), _PAPER)
    draw = ImageDraw.Draw(image)
    mirrored = is_right_to_left("".join(word.word for word in text.words))
    x, y = float(_MARGIN), float(_HEAD)
    for word in text.words:
        length = face.length(word.word)
        if x > _MARGIN and x + length > width - _MARGIN:
            x, y = _MARGIN, y + line
        if y + 2 * line > image.height:
            break
        share = 0.0 if word.weight is None else word.weight / largest
        left = width - x - length if mirrored else x
        draw.rectangle((left - 3, y, left + length + 3, y + line - 6), fill=_tinted(share))
        face.draw(draw, (left, y), word.word, BLACK)
        x += length + face.main.getlength(" ") + 4
    draw.text((_MARGIN, _MARGIN), title, font=typeface(_FONT_SIZE).main, fill=BLACK)
    return image.crop((0, 0, width, round(y) + line + _MARGIN))


def _tinted(share: float) -> Colour:
    """Return white at 0, the full colour at −1 and 1."""
    full = _FOR if share > 0 else _AGAINST
    red, green, blue = (round(255 + (part - 255) * min(abs(share), 1.0)) for part in full)
    return red, green, blue


def _enlarged(image_HW: NDArray, side: int) -> NDArray:
    return np.asarray(cv2.resize(image_HW, (side, side), interpolation=cv2.INTER_NEAREST))


def _normalized(values: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = float(values.min()), float(values.max())
    return (values - low) / max(high - low, 1e-12)


def _mel(frequency: float) -> float:
    """Convert Hz to Slaney's mel scale: linear below 1 kHz, logarithmic above (Auditory Toolbox, 1998)."""
    return frequency / (200 / 3) if frequency < 1000 else 15 + 27 * np.log(frequency / 1000) / np.log(6.4)


def _with_title(image_HW3: Image_HW3, title: str, left: int = _MARGIN, below: int = _MARGIN) -> Image.Image:
    height, width = image_HW3.shape[:2]
    needed = round(typeface(_FONT_SIZE).main.getlength(title)) + 2 * _MARGIN
    sheet = Image.new("RGB", (max(width + left + _MARGIN, needed), height + _HEAD + below), _PAPER)
    ImageDraw.Draw(sheet).text((_MARGIN, _MARGIN), title, font=typeface(_FONT_SIZE).main, fill=BLACK)
    sheet.paste(Image.fromarray(image_HW3), (left, _HEAD))
    return sheet
