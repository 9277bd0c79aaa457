"""transformers classifiers with the inputs and outputs of the networks here.

Each is built from its configuration alone, without code of a hub. Labels of the classifier are mapped to the seven
emotions: the probabilities of an emotion's labels are summed, and labels that mean none of the seven are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ml.networks import torchaudio_compat  # noqa: F401  (before transformers imports torchaudio)
from ml.networks.mel import MIN_SAMPLES, SAMPLE_RATE
from ml.networks.registry import register
from ml.vocabulary import EMOTIONS, SENTIMENTS

MIN_PROBABILITY = 1e-4
"""Probability of an emotion that no label of the classifier means."""
MAX_TOKENS = 512
_SENTIMENT_OF = {"angry": 0, "disgust": 0, "fear": 0, "sad": 0, "surprise": 1, "neutral": 1, "happy": 2}
_IGNORED_KEYS = (
    "model_type",
    "transformers_version",
    "auto_map",
    "architectures",
    "_name_or_path",
    "dtype",
    "torch_dtype",
)

LabelGroups = tuple[tuple[int, ...], ...]
"""For each emotion, in their order, the indices of the labels that mean it."""


@dataclass(frozen=True)
class HubConfig:
    """Description of a classifier.

    `classifier`: its `config.json`. `groups`: see LabelGroups. `several`: its labels do not exclude each other.
    `embedding`: number of its labels; their logits serve as embedding.
    """

    classifier: dict[str, Any]
    groups: LabelGroups
    embedding: int
    several: bool = False


@dataclass(frozen=True)
class HubFaceConfig(HubConfig):
    """Description of an image classifier.

    `size`: side of the square crop in pixels. `mean`, `deviation`: of its pixels in 0..1, by channel.
    """

    size: int = 224
    mean: tuple[float, ...] = (0.5,)
    deviation: tuple[float, ...] = (0.5,)


@dataclass(frozen=True)
class HubAudioConfig(HubConfig):
    """Description of an audio classifier. `extractor`: its `preprocessor_config.json`."""

    extractor: dict[str, Any] | None = None


@dataclass(frozen=True)
class HubTextConfig(HubConfig):
    """Description of a text classifier. `positions`: maximum tokens of a sentence, which is read alone."""

    positions: int = MAX_TOKENS
    before: ClassVar[int] = 0

    @property
    def hidden(self) -> int:
        return self.embedding


class _HubClassifier(nn.Module):
    """transformers classifier with the mapping of its labels."""

    auto: str

    def __init__(self, config: HubConfig) -> None:
        super().__init__()
        import transformers

        settings = {key: value for key, value in config.classifier.items() if key not in _IGNORED_KEYS}
        classifier_config = transformers.AutoConfig.for_model(config.classifier["model_type"], **settings)
        self.classifier: Any = getattr(transformers, self.auto).from_config(classifier_config)
        groups = [[index in group for index in range(config.embedding)] for group in config.groups]
        self.register_buffer("emotion_labels_CL", torch.tensor(groups, dtype=torch.float32), persistent=False)
        self.several = config.several

    def _classify(self, **inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of the classifier's labels [N, L], and those of the emotions [N, 7]."""
        logits_NL = self.classifier(**inputs).logits.float()
        probabilities_NL = logits_NL.sigmoid() if self.several else logits_NL.softmax(-1)
        emotions_NC = probabilities_NL @ self.emotion_labels_CL.T
        return logits_NL, emotions_NC.clamp_min(MIN_PROBABILITY).log()


class HubFaceClassifier(_HubClassifier):
    """Grey crops [N, 1, size, size] in 0..1 → (embeddings [N, L], logits [N, 7])."""

    auto = "AutoModelForImageClassification"

    def __init__(self, config: HubFaceConfig) -> None:
        super().__init__(config)
        self.config = config
        self.register_buffer("mean", torch.tensor(config.mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(config.deviation).view(1, -1, 1, 1), persistent=False)

    def forward(self, crops_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        channels = getattr(self.classifier.config, "num_channels", 3)
        pixels = (crops_NCHW.expand(-1, channels, -1, -1) - self.mean) / self.deviation  # type: ignore[operator]
        return self._classify(pixel_values=pixels)


class HubAudioClassifier(_HubClassifier):
    """Sounds (16 kHz mono in −1..1, [samples] each) → (embeddings [N, L], logits [N, 7]).

    Sounds are read one by one: with padding an answer would depend on the other sounds of the batch.
    """

    auto = "AutoModelForAudioClassification"

    def __init__(self, config: HubAudioConfig) -> None:
        super().__init__(config)
        from transformers.models.auto.feature_extraction_auto import feature_extractor_class_from_name

        self.config = config
        settings = dict(config.extractor or {})
        extractor_class: Any = feature_extractor_class_from_name(settings["feature_extractor_type"])
        self._extractor = extractor_class.from_dict(settings)

    def forward(self, waveforms: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        device = next(self.parameters()).device
        outputs = []
        for waveform in waveforms:
            sound = nn.functional.pad(waveform, (0, max(MIN_SAMPLES - len(waveform), 0))).cpu().numpy()
            features = self._extractor(sound, sampling_rate=SAMPLE_RATE, return_tensors="pt")
            outputs.append(self._classify(**{name: tensor.to(device) for name, tensor in features.items()}))
        embeddings, logits = zip(*outputs, strict=True)
        return torch.cat(embeddings), torch.cat(logits)


class HubTextClassifier(_HubClassifier):
    """Token ids and mask [N, T] → (embeddings [N, L], emotion logits [N, 7], sentiment logits [N, 3]).

    Sentiment is derived from the emotions; surprise counts as neutral.
    """

    auto = "AutoModelForSequenceClassification"

    def __init__(self, config: HubTextConfig) -> None:
        super().__init__(config)
        self.config = config
        valence = [[_SENTIMENT_OF[name] == sentiment for name in EMOTIONS] for sentiment in range(len(SENTIMENTS))]
        self.register_buffer("valence_3C", torch.tensor(valence, dtype=torch.float32), persistent=False)

    def forward(self, ids_NT: Tensor, mask_NT: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        embeddings_NL, logits_NC = self._classify(input_ids=ids_NT, attention_mask=mask_NT)
        sentiments_N3 = (logits_NC.softmax(-1) @ self.valence_3C.T).log()  # type: ignore[operator]
        return embeddings_NL, logits_NC, sentiments_N3


register("hub_face", HubFaceConfig, HubFaceClassifier)
register("hub_voice", HubAudioConfig, HubAudioClassifier)
register("hub_words", HubTextConfig, HubTextClassifier)
