"""Voices as networks read them that did not hear their speakers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch

from ml.errors import InvalidManifest
from ml.inference.api import FloatArray
from ml.inference.voice.predictor import VoicePredictor
from ml.registry import Manifest
from ml.training.datasets.audio_corpora import FOLDS, read_voices
from ml.training.datasets.example import Example, examples_of
from ml.training.recipes.audio.recipe import trained_network
from ml.vocabulary import EMOTIONS


@dataclass(frozen=True)
class VoiceReaders:
    """Predictors of collected voices, by the fold of speakers that each of them did not hear."""

    by_fold: Mapping[int, VoicePredictor]

    @classmethod
    def of(cls, published: VoicePredictor, manifest: Manifest, folds: Path | None) -> Self:
        """Return the published model, if it left out a fold, or the networks of the runs `folds/fold-K`.

        Raises InvalidManifest if neither is known.
        """
        own = manifest.preprocessing.get("held_out_fold")
        if own is not None:
            return cls({own: published})
        if folds is None:
            raise InvalidManifest(
                f"{manifest.reference} does not state which fold of the collected speakers it left out: clips are "
                "composed of voices that the network was not trained on. --voice-folds names the runs of "
                "`evaluate audio --folds`"
            )
        share, device = manifest.config.get("frozen_share"), torch.device("cpu")
        runs = {fold: folds / f"fold-{fold}" for fold in range(FOLDS)}
        return cls(
            {
                fold: VoicePredictor(trained_network(run, share), manifest.temperature, device)
                for fold, run in runs.items()
            }
        )

    def examples(self, data: Path) -> list[Example]:
        """Return the utterances of `data/manifest.csv` whose speakers a network did not hear."""
        return list(self._held_out(data))

    def predict(self, data: Path, examples: Sequence[Example], waveforms: Sequence[FloatArray]) -> FloatArray:
        """Return log-probabilities [N, C] of utterances, each by a network that did not hear the speaker."""
        folds = {example.path: fold for example, fold in self._held_out(data).items()}
        logs_NC = np.zeros((len(examples), len(EMOTIONS)), np.float32)
        for fold, predictor in self.by_fold.items():
            rows = [row for row, example in enumerate(examples) if folds[example.path] == fold]
            logs_NC[rows] = predictor.predict([waveforms[row] for row in rows]).log_probabilities_NC
        return logs_NC

    def _held_out(self, data: Path) -> dict[Example, int]:
        """Return the fold of each utterance that is held out."""
        return {
            example: fold
            for fold in self.by_fold
            for example in examples_of(read_voices(data, fold))
            if example.split != "train"
        }
