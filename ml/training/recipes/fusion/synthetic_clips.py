"""Clips composed of faces, voices and sentences, for lack of a corpus with all three.

They are made of samples that the single-modality networks were not trained on. The samples are split by
person or source: half are for test clips, a quarter for the clips that select and calibrate. Half of the clips have
neutral words or none, a tenth disagree in one modality, and some faces are neutral for a while. To train on, some
modalities are spoilt, or swapped for those of another person, and the shares of the emotions vary from uniform to those
of ordinary talk.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ml.inference.fusion.arrays import WindowArrays
from ml.inference.fusion.calibration import normalized
from ml.networks.fusion import FRAME_QUALITIES, WINDOW_QUALITIES
from ml.training.recipes.fusion.prediction_cache import SamplePool, SamplePools
from ml.training.recipes.fusion.spoiling import Random
from ml.vocabulary import EMOTIONS, MODALITIES, Modality

MAX_FRAMES, MAX_PICTURES = 16, 4
NO_AUDIO_PROB, NO_FACE_PROB, DISAGREEMENT_PROB, PARTLY_NEUTRAL_PROB, NO_FRAME_PROB = 0.15, 0.15, 0.1, 0.3, 0.1
NO_TEXT_PROB, NEUTRAL_TEXT_PROB = 0.25, 0.25
NOISE = 0.35
"""Deviation of the noise on log-probabilities in training, so that the samples are not learnt by heart."""
MODALITY_DROPOUT = 0.2
"""Probability of removing a modality of a clip in training, in addition to those that it lacks."""
UNKNOWN_QUALITY_PROB = 0.3
"""Probability that a quality of a clip is unknown."""
FACE, AUDIO, TEXT = range(len(MODALITIES))
UNIFORM = np.full(len(EMOTIONS), 1 / len(EMOTIONS))
_NEUTRAL = EMOTIONS.index("neutral")


@dataclass(frozen=True)
class Composition:
    """Composition of clips: shares of the emotions [7], how often each modality is spoilt, or another person's.

    `max_pictures`: of an emotion in one clip. The frames of a real window are alike: those of one picture say as much.
    """

    prior: NDArray[np.float64]
    spoilt: tuple[float, float, float] = (0.0, 0.0, 0.0)
    swapped: float = 0.0
    max_pictures: int = MAX_PICTURES - 1


EVALUATED = Composition(UNIFORM)
"""Clips to select, calibrate and evaluate on."""


@dataclass(frozen=True)
class Clips:
    """Windows with their labels."""

    windows: WindowArrays
    labels_N: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels_N)

    def select(self, rows: NDArray[np.int64]) -> "Clips":
        return Clips(self.windows.select(rows), self.labels_N[rows])

    @property
    def complete(self) -> "Clips":
        """Clips with all modalities."""
        return self.select(np.flatnonzero(self.windows.mask_NM.all(1)))


def without(clips: Clips, modality: Modality) -> Clips:
    """Return the clips that have another modality, without this one."""
    mask_NM = clips.windows.mask_NM.copy()
    mask_NM[:, MODALITIES.index(modality)] = 0
    left = Clips(masked(clips.windows, mask_NM), clips.labels_N)
    return left.select(np.flatnonzero(mask_NM.any(1)))


def only(clips: Clips, modality: Modality) -> Clips:
    """Return the clips that have the modality, without the others."""
    place = MODALITIES.index(modality)
    mask_NM = clips.windows.mask_NM * (np.arange(len(MODALITIES)) == place)
    left = Clips(masked(clips.windows, mask_NM), clips.labels_N)
    return left.select(np.flatnonzero(mask_NM[:, place]))


def masked(windows: WindowArrays, mask_NM: NDArray[np.float32]) -> WindowArrays:
    """Return windows with no more than the modalities of a mask, and without the qualities of the others."""
    mask_NM = (windows.mask_NM * mask_NM).astype(np.float32)
    quality_NQ = windows.quality_NQ.copy()
    for quality, modality in enumerate((FACE, AUDIO, AUDIO, AUDIO, TEXT, TEXT)):
        quality_NQ[mask_NM[:, modality] == 0, quality] = np.nan
    frame_mask_NT = windows.frame_mask_NT * mask_NM[:, :1]
    return replace(windows, mask_NM=mask_NM, frame_mask_NT=frame_mask_NT, quality_NQ=quality_NQ)


def compose(random: Random, pools: SamplePools, count: int, composition: Composition = EVALUATED) -> Clips:
    """Compose windows of people who show one emotion each."""
    labels_N = random.choice(len(EMOTIONS), count, p=composition.prior)
    labels_NM = np.repeat(labels_N[:, None], len(MODALITIES), axis=1)
    disagreeing = random.random(count) < DISAGREEMENT_PROB
    other_NM = _one_modality(random, count) & disagreeing[:, None]
    swapped_NM = random.random(labels_NM.shape) < composition.swapped
    others_NM = random.choice(len(EMOTIONS), labels_NM.shape, p=composition.prior)
    labels_NM = np.where(other_NM | swapped_NM, others_NM, labels_NM)
    words = random.random(count)
    labels_NM[words < NO_TEXT_PROB + NEUTRAL_TEXT_PROB, TEXT] = _NEUTRAL
    missing = random.random(count)
    absent_NM = np.stack(
        [
            missing < NO_FACE_PROB,
            (missing >= NO_FACE_PROB) & (missing < NO_FACE_PROB + NO_AUDIO_PROB),
            words < NO_TEXT_PROB,
        ],
        axis=1,
    )
    spoilt_NM = random.random(labels_NM.shape) < np.array(composition.spoilt)
    windows = WindowArrays.empty(count, MAX_FRAMES)
    windows.mask_NM[:] = ~absent_NM
    pictures_N = random.integers(1, composition.max_pictures + 1, size=count)
    _add_faces(random, windows, pools.face, labels_NM[:, FACE], spoilt_NM[:, FACE], pictures_N)
    _add_voices(random, windows, pools.audio, labels_NM[:, AUDIO], spoilt_NM[:, AUDIO])
    _add_words(random, windows, pools.text, labels_NM[:, TEXT], spoilt_NM[:, TEXT])
    return Clips(masked(windows, windows.mask_NM), labels_N)


def _one_modality(random: Random, count: int) -> NDArray[np.bool_]:
    """Return a mask with one modality of each clip: [N, M]."""
    return np.eye(len(MODALITIES), dtype=bool)[random.integers(len(MODALITIES), size=count)]


def _add_faces(
    random: Random,
    windows: WindowArrays,
    faces: SamplePool,
    labels_N: NDArray[np.int64],
    spoilt_N: NDArray[np.bool_],
    pictures_N: NDArray[np.int64],
) -> None:
    """Add frames of some pictures each, a few without a face, and at times a neutral face at the start or end."""
    count = len(labels_N)
    labels_NP = np.repeat(labels_N[:, None], MAX_PICTURES, axis=1)
    partly_N, at_start_N = random.random(count) < PARTLY_NEUTRAL_PROB, random.random(count) < 0.5
    labels_NP[partly_N & at_start_N, 0] = _NEUTRAL
    at_end = np.flatnonzero(partly_N & ~at_start_N)
    labels_NP[at_end, pictures_N[at_end]] = _NEUTRAL
    pictures_N = pictures_N + partly_N
    samples_NP = faces.draw(random, labels_NP, spoilt_N[:, None])
    frames_N = random.integers(2, MAX_FRAMES + 1, size=count)
    steps_T = np.arange(MAX_FRAMES)
    shown_NT = np.minimum(steps_T * pictures_N[:, None] // frames_N[:, None], pictures_N[:, None] - 1)
    samples_NT = np.take_along_axis(samples_NP, shown_NT, axis=1)
    made = faces.predictions
    clean_NT = random.integers(made.clean_PVC.shape[1], size=samples_NT.shape)
    copy_N1 = random.integers(made.spoilt_PSC.shape[1], size=(count, 1))
    spoilt_N11 = spoilt_N[:, None, None]
    windows.frames_NTC[:] = np.where(
        spoilt_N11, made.spoilt_PSC[samples_NT, copy_N1], made.clean_PVC[samples_NT, clean_NT]
    )
    quality_NTQ = np.where(
        spoilt_N11, made.spoilt_quality_PSQ[samples_NT, copy_N1], made.clean_quality_PVQ[samples_NT, clean_NT]
    )
    windows.frame_quality_NTQ[:] = _likely_qualities(random, quality_NTQ)
    seen_NT = (steps_T < frames_N[:, None]) & (random.random(shown_NT.shape) >= NO_FRAME_PROB)
    seen_NT[:, 0] |= ~seen_NT.any(1)
    windows.frame_mask_NT[:] = seen_NT
    windows.quality_NQ[:, WINDOW_QUALITIES.index("coverage")] = seen_NT.sum(1) / frames_N


def _likely_qualities(random: Random, quality_NTQ: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return qualities of frames with likely values, the same over a clip, for what a picture does not show.

    What is not spoilt has any usual size. Some qualities of a clip are unknown.
    """
    count, steps, _ = quality_NTQ.shape
    likely = {
        "size": random.uniform(0.4, 1, (count, 1)),
        "pose": np.abs(random.normal(0, 0.25, (count, steps))),
        "mouth": random.exponential(0.2, (count, steps)),
        "score": random.uniform(0.6, 1, (count, steps)),
    }
    for name, values in likely.items():
        place = FRAME_QUALITIES.index(name)
        quality_NTQ[..., place] = np.where(np.isnan(quality_NTQ[..., place]), values, quality_NTQ[..., place])
    unknown = random.random((count, 1, len(FRAME_QUALITIES))) < UNKNOWN_QUALITY_PROB
    return np.where(unknown, np.nan, quality_NTQ)


def _add_voices(
    random: Random, windows: WindowArrays, voices: SamplePool, labels_N: NDArray[np.int64], spoilt_N: NDArray[np.bool_]
) -> None:
    windows.audio_NC[:], quality_NQ = _drawn(random, voices, labels_N, spoilt_N)
    speech_N = np.where(spoilt_N, random.uniform(0.1, 1, len(labels_N)), random.uniform(0.3, 1, len(labels_N)))
    qualities: dict[str, NDArray[np.floating]] = {
        "speech": speech_N,
        "level": quality_NQ[:, 0],
        "snr": quality_NQ[:, 1],
    }
    for name, values_N in qualities.items():
        _set_quality(random, windows, name, values_N)


def _add_words(
    random: Random, windows: WindowArrays, texts: SamplePool, labels_N: NDArray[np.int64], spoilt_N: NDArray[np.bool_]
) -> None:
    windows.text_NC[:], quality_NQ = _drawn(random, texts, labels_N, spoilt_N)
    confidence_N = np.clip(random.normal(np.where(spoilt_N, 0.5, 0.82), 0.13), 0.05, 1)
    _set_quality(random, windows, "confidence", confidence_N)
    _set_quality(random, windows, "words", quality_NQ[:, 1])


def _drawn(
    random: Random, pool: SamplePool, labels_N: NDArray[np.int64], spoilt_N: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return log-probabilities [N, C] and qualities [N, Q] of a sample of each label, spoilt ones where wanted."""
    made, samples_N = pool.predictions, pool.draw(random, labels_N, spoilt_N)
    copy_N = random.integers(made.spoilt_PSC.shape[1], size=len(labels_N))
    logs = np.where(spoilt_N[:, None], made.spoilt_PSC[samples_N, copy_N], made.clean_PVC[samples_N, 0])
    quality = np.where(
        spoilt_N[:, None], made.spoilt_quality_PSQ[samples_N, copy_N], made.clean_quality_PVQ[samples_N, 0]
    )
    return logs, quality


def _set_quality(random: Random, windows: WindowArrays, name: str, values_N: NDArray[np.floating]) -> None:
    known_N = random.random(len(values_N)) >= UNKNOWN_QUALITY_PROB
    windows.quality_NQ[:, WINDOW_QUALITIES.index(name)] = np.where(known_N, values_N, np.nan)


def swap(clips: Clips, modality: Modality) -> Clips:
    """Return the clips with one modality of the next clip."""
    swapped, place = clips.windows, MODALITIES.index(modality)
    names = {"face": ("frames_NTC", "frame_mask_NT", "frame_quality_NTQ"), "audio": ("audio_NC",), "text": ("text_NC",)}
    changes = {name: np.roll(getattr(swapped, name), 1, axis=0) for name in names[modality]}
    own = [quality for quality, owner in enumerate((FACE, AUDIO, AUDIO, AUDIO, TEXT, TEXT)) if owner == place]
    quality_NQ = swapped.quality_NQ.copy()
    quality_NQ[:, own] = np.roll(quality_NQ[:, own], 1, axis=0)
    return Clips(replace(swapped, quality_NQ=quality_NQ, **changes), clips.labels_N)


def with_noise(random: Random, clips: Clips) -> Clips:
    """Return the clips with noise on all log-probabilities, half of which is the same for the frames of a clip."""
    windows = clips.windows
    shape = (len(clips), len(EMOTIONS))
    face_NC, audio_NC, text_NC = (random.normal(0, NOISE, shape).astype(np.float32) for _ in MODALITIES)
    frame_NTC = random.normal(0, NOISE, windows.frames_NTC.shape).astype(np.float32)
    changed = replace(
        windows,
        frames_NTC=normalized(windows.frames_NTC + face_NC[:, None] + frame_NTC),
        audio_NC=normalized(windows.audio_NC + audio_NC),
        text_NC=normalized(windows.text_NC + text_NC),
    )
    return Clips(changed, clips.labels_N)


def drop_modalities(random: Random, clips: Clips) -> Clips:
    """Return the clips with modalities removed at random, never all of them."""
    mask_NM = clips.windows.mask_NM.copy()
    for place in random.permutation(len(MODALITIES)):
        left_NM = mask_NM.copy()
        left_NM[:, place] = 0
        dropped_N = (random.random(len(clips)) < MODALITY_DROPOUT) & left_NM.any(1)
        mask_NM[dropped_N] = left_NM[dropped_N]
    return Clips(masked(clips.windows, mask_NM), clips.labels_N)
