from pathlib import Path

import numpy as np
import torch

from ml.inference.voice.predictor import CPU_VOICE_BATCH_SIZE, VoicePredictor
from ml.networks import build, config_to_dict
from ml.networks.audio import SpeechEncoderConfig
from ml.registry import Licence, ModelDescription, ModelStore
from ml.vocabulary import EMOTIONS

COUNT = CPU_VOICE_BATCH_SIZE + 3
CONFIG = SpeechEncoderConfig(hidden=32, layers=2, heads=2, intermediate=64, embedding=16)


def _published(store: ModelStore, temperature: float) -> str:
    torch.manual_seed(0)
    draft = ModelDescription(
        name="audio",
        architecture="speech_encoder",
        config=config_to_dict(CONFIG),
        labels=EMOTIONS,
        preprocessing={},
        temperature=temperature,
        metrics={},
        data=("made",),
        command="made",
        licence=Licence(name="Apache-2.0", commercial=True, note=""),
    )
    return store.publish(draft, build("speech_encoder", draft.config).state_dict(), card="made")


def test_voice_predictor_answers_do_not_depend_on_order_and_number(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    predictor = VoicePredictor.load(store, _published(store, 1.0), torch.device("cpu"))
    random = np.random.default_rng(0)
    sounds = [
        random.normal(0, 0.1, random.integers(2_000, 30_000)).astype(np.float32)
        for _ in range(CPU_VOICE_BATCH_SIZE + 3)
    ]
    together = predictor.predict(sounds)
    assert together.embeddings_NE.shape == (COUNT, predictor.embedding_size)
    np.testing.assert_allclose(np.exp(together.log_probabilities_NC).sum(1), 1, atol=1e-5)
    for row in (0, COUNT - 1):
        alone = predictor.predict([sounds[row]])
        np.testing.assert_allclose(alone.log_probabilities_NC[0], together.log_probabilities_NC[row], atol=1e-4)
        np.testing.assert_allclose(alone.embeddings_NE[0], together.embeddings_NE[row], atol=1e-4)


def test_voice_predictor_temperature_softens_the_answer(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    sound = [np.random.default_rng(1).normal(0, 0.1, 16_000).astype(np.float32)]
    sharp, soft = (
        VoicePredictor.load(store, _published(store, temperature), torch.device("cpu")).predict(sound)
        for temperature in (0.5, 2.0)
    )
    assert sharp.log_probabilities_NC.max() > soft.log_probabilities_NC.max()
    assert sharp.log_probabilities_NC.argmax() == soft.log_probabilities_NC.argmax()


def test_voice_predictor_without_sounds_has_no_rows(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    outputs = VoicePredictor.load(store, _published(store, 1.0), torch.device("cpu")).predict([])
    assert outputs.log_probabilities_NC.shape == (0, 7)
