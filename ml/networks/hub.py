"""Other people's classifiers, as transformers has them, behind the shapes of our own nets.

Each is built from its configuration alone, without code of the hub. Their labels are mapped to the seven emotions: the
probabilities of an emotion's labels are summed, and those that mean none of the seven are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ml.networks import torchaudio_compat  # noqa: F401  (seated before transformers imports torchaudio)
from ml.networks.mel import MIN_SAMPLES, RATE
from ml.networks.registry import register
from ml.vocabulary import EMOTIONS, SENTIMENTS

LEAST = 1e-4
"""Probability of an emotion that none of their labels means."""
MAX_TOKENS = 512
_SENTIMENT_OF = {"angry": 0, "disgust": 0, "fear": 0, "sad": 0, "surprise": 1, "neutral": 1, "happy": 2}
_LOCAL = ("model_type", "transformers_version", "auto_map", "architectures", "_name_or_path", "dtype", "torch_dtype")

Groups = tuple[tuple[int, ...], ...]
"""Of each emotion, in their order, the indices of the labels that mean it."""


@dataclass(frozen=True)
class HubConfig:
    """`classifier`: their `config.json`. `several`: their labels do not exclude each other. `embedding`: how many
    labels they have, whose logits stand for an embedding."""

    classifier: dict[str, Any]
    groups: Groups
    embedding: int
    several: bool = False


@dataclass(frozen=True)
class HubFaceConfig(HubConfig):
    """`size`: side of the square crop in pixels. `mean`, `deviation`: of their pixels in 0..1, by channel."""

    size: int = 224
    mean: tuple[float, ...] = (0.5,)
    deviation: tuple[float, ...] = (0.5,)


@dataclass(frozen=True)
class HubAudioConfig(HubConfig):
    """`extractor`: their `preprocessor_config.json`."""

    extractor: dict[str, Any] | None = None


@dataclass(frozen=True)
class HubTextConfig(HubConfig):
    """`positions`: the most tokens of a sentence, which is read alone."""

    positions: int = MAX_TOKENS
    before: ClassVar[int] = 0

    @property
    def hidden(self) -> int:
        return self.embedding


class _Hub(nn.Module):
    """A classifier of transformers' and the mapping of its labels."""

    auto: str

    def __init__(self, config: HubConfig) -> None:
        super().__init__()
        import transformers

        described = {key: value for key, value in config.classifier.items() if key not in _LOCAL}
        known = transformers.AutoConfig.for_model(config.classifier["model_type"], **described)
        self.classifier: Any = getattr(transformers, self.auto).from_config(known)
        groups = [[index in group for index in range(config.embedding)] for group in config.groups]
        self.register_buffer("meant_CL", torch.tensor(groups, dtype=torch.float32), persistent=False)
        self.several = config.several

    def _read(self, **inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Their logits, and ours."""
        logits_NL = self.classifier(**inputs).logits.float()
        found_NL = logits_NL.sigmoid() if self.several else logits_NL.softmax(-1)
        emotions_NC = found_NL @ self.meant_CL.T
        return logits_NL, emotions_NC.clamp_min(LEAST).log()


class HubFaceClassifier(_Hub):
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
        return self._read(pixel_values=pixels)


class HubAudioClassifier(_Hub):
    """Sounds (16 kHz mono in −1..1, [samples] each) → (embeddings [N, L], logits [N, 7]). One by one: padding would
    let a sound's answer depend on its neighbours."""

    auto = "AutoModelForAudioClassification"

    def __init__(self, config: HubAudioConfig) -> None:
        super().__init__(config)
        from transformers.models.auto.feature_extraction_auto import feature_extractor_class_from_name

        self.config = config
        described = dict(config.extractor or {})
        kind: Any = feature_extractor_class_from_name(described["feature_extractor_type"])
        self._extractor = kind.from_dict(described)

    def forward(self, waveforms: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        device = next(self.parameters()).device
        found = []
        for waveform in waveforms:
            sound = nn.functional.pad(waveform, (0, max(MIN_SAMPLES - len(waveform), 0))).cpu().numpy()
            features = self._extractor(sound, sampling_rate=RATE, return_tensors="pt")
            found.append(self._read(**{name: tensor.to(device) for name, tensor in features.items()}))
        embeddings, logits = zip(*found, strict=True)
        return torch.cat(embeddings), torch.cat(logits)


class HubTextClassifier(_Hub):
    """Token ids and mask [N, T] → (embeddings [N, L], emotion logits [N, 7], sentiment logits [N, 3]).

    Sentiments are those of the emotions: surprise counts as neutral.
    """

    auto = "AutoModelForSequenceClassification"

    def __init__(self, config: HubTextConfig) -> None:
        super().__init__(config)
        self.config = config
        valence = [[_SENTIMENT_OF[name] == place for name in EMOTIONS] for place in range(len(SENTIMENTS))]
        self.register_buffer("valence_3C", torch.tensor(valence, dtype=torch.float32), persistent=False)

    def forward(self, ids_NT: Tensor, mask_NT: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        embeddings_NL, logits_NC = self._read(input_ids=ids_NT, attention_mask=mask_NT)
        sentiments_N3 = (logits_NC.softmax(-1) @ self.valence_3C.T).log()  # type: ignore[operator]
        return embeddings_NL, logits_NC, sentiments_N3


register("hub_face", HubFaceConfig, HubFaceClassifier)
register("hub_voice", HubAudioConfig, HubAudioClassifier)
register("hub_words", HubTextConfig, HubTextClassifier)
