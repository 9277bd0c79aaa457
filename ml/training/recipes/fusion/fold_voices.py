"""Voices as networks read them that did not hear their speakers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ml.errors import InvalidManifest
from ml.inference.api import FloatArray
from ml.inference.voice.predictor import VoicePredictor
from ml.registry import ModelStore
from ml.training.datasets.audio_corpora import FOLDS, read_voices
from ml.training.datasets.example import Example, examples_of
from ml.training.recipes.audio.recipe import trained_network
from ml.vocabulary import EMOTIONS


@dataclass(frozen=True)
class VoiceReaders:
    """Networks that read collected voices: the published model, if it left out a fold of the speakers, or those of the
    runs `folds/fold-K`, if it heard all of them."""

    store: ModelStore
    reference: str
    folds: Path | None = None

    def examples(self, data: Path) -> dict[Example, int]:
        """Return the utterances of `data/manifest.csv` whose speakers a network did not hear, with its fold.

        Raises InvalidManifest if no such network is known.
        """
        return {
            example: fold
            for fold in self.held_out_folds
            for example in examples_of(read_voices(data, fold))
            if example.split != "train"
        }

    def predict(self, folds: Sequence[int], waveforms: Sequence[FloatArray]) -> FloatArray:
        """Return log-probabilities [N, C] of utterances, each by the network of its fold."""
        logs_NC = np.zeros((len(folds), len(EMOTIONS)), np.float32)
        for fold in sorted(set(folds)):
            rows = [row for row, own in enumerate(folds) if own == fold]
            logs_NC[rows] = self._load(fold).predict([waveforms[row] for row in rows]).log_probabilities_NC
        return logs_NC

    @property
    def held_out_folds(self) -> Sequence[int]:
        """Folds of speakers that a network did not hear. Raises InvalidManifest if no such network is known."""
        own = self.store.manifest(self.reference).preprocessing.get("held_out_fold")
        if own is not None:
            return [own]
        if self.folds is None:
            raise InvalidManifest(
                f"{self.reference} does not state which fold of the collected speakers it left out: clips are composed "
                "of voices that the network was not trained on. --voice-folds names runs of `evaluate audio --folds`"
            )
        return range(FOLDS)

    def _load(self, fold: int) -> VoicePredictor:
        manifest, device = self.store.manifest(self.reference), torch.device("cpu")
        if manifest.preprocessing.get("held_out_fold") is not None:
            return VoicePredictor.load(self.store, self.reference, device)
        assert self.folds is not None
        network = trained_network(self.folds / f"fold-{fold}", manifest.config.get("frozen_share"))
        return VoicePredictor(network, manifest.temperature, device)
