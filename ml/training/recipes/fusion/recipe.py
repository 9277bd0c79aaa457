"""Recipe of the fusion, trained on recordings with picture and sound (a list), or on composed clips.

The addition of log-odds is fitted first; the gated fusion starts from it, and is trained by the loop. It is published
if it is right at least as often on every row of the table of selection clips, else the addition is.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ml.inference.fusion.calibration import KEY, FusionCalibration, by_emotion
from ml.inference.fusion.predictor import FusionPredictor
from ml.networks import config_to_dict
from ml.networks.fusion import Fusion, FusionConfig, FusionInput
from ml.registry import Bundle, ModelDescription, ModelStore
from ml.training.datasets.example import Example, Split
from ml.training.datasets.manifest import read_examples
from ml.training.loop import Task, averaged_weights, run_settings
from ml.training.metrics import fit_temperature
from ml.training.model_card import card
from ml.training.recipes.fusion.clip_data import ClipData, load_clips, load_composed_clips
from ml.training.recipes.fusion.config import FusionTrainConfig
from ml.training.recipes.fusion.figures import FusionFigures, measure_rows, worse_rows
from ml.training.recipes.fusion.fitting import calibrated, fit_addition, fit_models
from ml.training.recipes.fusion.spoiling import Random
from ml.training.recipes.fusion.synthetic_clips import drop_modalities, with_noise
from ml.training.recipes.recipe import (
    CHOSEN_BY,
    HELD_OUT_SPLITS,
    LICENCE_OF_ITS_DATA,
    HeldOut,
    OutOfFold,
    Plan,
    licence_of,
    loop_options,
    metrics_with_folds,
    restrictions,
    training_sets,
)
from ml.vocabulary import EMOTIONS

config_type: type[FusionTrainConfig] = FusionTrainConfig

WARM_UP, WEIGHT_DECAY = 0.2, 0.01
FusionBatch = tuple[FusionInput, Tensor, Tensor]
"""Windows, labels [N], and log-odds of the emotions among them against the uniform prior [C]."""
ADDITION_BATCHES = 240
"""Number of batches that the addition is fitted on."""
COMPARED_RESAMPLES = 200
"""Bootstrap resamples of the figures of the fusion that is not published."""
ACCURACY_MARGIN = 0.0
"""By how much less often the gated fusion may be right in a row, and still be published."""
LIMITS_OF_CLIPS = (
    "Trained and measured on clips composed of faces, voices and sentences that were never recorded together: these "
    "figures compare ways to fuse, and say little about real people who speak.",
    "The clips that are measured on are of other people and sentences than those trained on, and than those that "
    "choose and calibrate.",
    "`labels_90` holds on people like those of the clips. It is fitted for single readings and windows; for the "
    "overall reading of a recording it is an estimate.",
    "Prior, temperature and `labels_90` of single readings are fitted on the people of all clips; their figures are of "
    "people left out, a fifth at a time.",
)


def batches(random: Random, clips: ClipData, calibration: FusionCalibration, size: int) -> Iterator[FusionBatch]:
    """Yield the batches of one epoch."""
    for _ in range(clips.clips_per_epoch // size):
        drawn, prior_C = clips.draw(random, size)
        drawn = with_noise(random, drop_modalities(random, drawn))
        log_prior_C = torch.from_numpy(np.log(prior_C * len(EMOTIONS))).float()
        yield drawn.windows.inputs(calibration), torch.from_numpy(drawn.labels_N), log_prior_C


def loss(model: nn.Module, batch: FusionBatch) -> Tensor:
    """Return the cross-entropy of the readings under the prior that the clips were drawn with."""
    windows, labels_N, log_prior_C = batch
    return cross_entropy(model(windows).float() + log_prior_C, labels_N)


def measure_published(
    data: Path, store: ModelStore, bundle: Bundle, cache: Path, voice_folds: Path | None = None
) -> FusionFigures:
    """Evaluate the fusion of a bundle that names all models, on the composed test clips that `publish` uses."""
    assert bundle.fusion
    predictor = FusionPredictor.load(store, bundle.fusion, torch.device("cpu"))
    return FusionFigures.of(predictor, load_composed_clips(data, store, bundle, cache, voice_folds).test)


def plans(config: FusionTrainConfig) -> list[Plan]:
    """Return the run of the gated fusion, which starts from the fitted addition."""
    torch.set_num_threads(config.threads)
    clips = load_clips(config)
    calibration = FusionCalibration(
        models=fit_models(clips.selection.singles), natural_prior=by_emotion(clips.natural_prior)
    )
    addition = fit_addition(_addition_batches(config, clips, calibration))
    shape, size = FusionConfig(lstm=config.lstm, dense=config.dense), config.batch_size
    torch.manual_seed(config.seed)
    network = Fusion(shape)
    network.load_state_dict(addition.state_dict(), strict=False)
    selected = clips.selection.clips()

    def validate(model: nn.Module) -> dict[str, float]:
        logs_NC = _predictor(cast(Fusion, model), 1.0, calibration).read_arrays(selected.windows, "uniform").combined_NC
        accuracy = float((logs_NC.argmax(1) == selected.labels_N).mean())
        return {"accuracy": accuracy, CHOSEN_BY: accuracy}

    task = Task(
        model=network,
        steps=clips.clips_per_epoch // size,
        batches=lambda epoch: batches(np.random.default_rng([config.seed, epoch]), clips, calibration, size),
        loss=loss,
        validate=validate,
        best_by=CHOSEN_BY,
    )
    extra = {
        "config": config_to_dict(shape),
        "bundle": list(config.models),
        "batch": size,
        "addition": {name: tensor.tolist() for name, tensor in addition.state_dict().items()},
        KEY: calibration.model_dump(),
    }
    return [Plan(config.loop(warm_up=WARM_UP, weight_decay=WEIGHT_DECAY), task, extra)]


def _addition_batches(config: FusionTrainConfig, clips: ClipData, calibration: FusionCalibration) -> list[FusionBatch]:
    """Return clips to fit the addition on, made in the same way as those that the gated fusion is trained on."""
    random = np.random.default_rng([config.seed, config.epochs])
    one_epoch = batches(random, clips, calibration, config.batch_size)
    return list(islice(one_epoch, ADDITION_BATCHES))


def space(trial: Any, config: FusionTrainConfig) -> dict[str, Any]:
    """Return the sizes of LSTM and dense layer, and the learning rate of a trial."""
    return {
        "lstm": trial.suggest_categorical("lstm", [4, 8, 16, 32]),
        "dense": trial.suggest_categorical("dense", [16, 32, 64]),
        "learning_rate": trial.suggest_float("learning_rate", 3e-4, 1e-2, log=True),
    }


def trained_network(run: Path, *, gated: bool) -> Fusion:
    """Return the network of a run in half precision, as the store keeps it."""
    settings = run_settings(run)
    if gated:
        network = Fusion(FusionConfig(**settings["config"]))
        network.load_state_dict(averaged_weights(run))
    else:
        network = Fusion(FusionConfig(gated=False))
        network.load_state_dict({name: torch.tensor(values) for name, values in settings["addition"].items()})
    return network.half().float().eval()


def _calibration_of(run: Path) -> FusionCalibration:
    """Return what is known of the models before a fusion is calibrated."""
    return FusionCalibration.model_validate(run_settings(run)[KEY])


def _predictor(network: Fusion, temperature: float, calibration: FusionCalibration) -> FusionPredictor:
    return FusionPredictor(network, temperature, torch.device("cpu"), calibration)


def held_out(config: FusionTrainConfig, splits: Sequence[Split] = HELD_OUT_SPLITS) -> HeldOut:
    """Return the outputs of the better fusion for the selection clips, all of them as validation examples."""
    clips = load_clips(config)
    return _held_out(trained_network(config.out, gated=_gated_is_better(config.out, clips)), config.out, clips)


def _held_out(network: Fusion, run: Path, clips: ClipData) -> HeldOut:
    """Return the outputs for selection clips with several modalities, of which the temperature is fitted; if there is
    none, for all."""
    selected = clips.selection.to_calibrate()
    several = np.flatnonzero(selected.windows.mask_NM.sum(1) > 1)
    selected = selected.select(several) if len(several) else selected
    with torch.inference_mode():
        logits_NC = network(selected.windows.inputs(_calibration_of(run)))
    return HeldOut(logits_NC, [Example(EMOTIONS[label], "clips", "valid") for label in selected.labels_N.tolist()])


def _fitted(run: Path, clips: ClipData, *, gated: bool, temperature: float | None = None) -> FusionPredictor:
    """Return the calibrated predictor of one fusion of a run. `temperature`: null to fit it."""
    network = trained_network(run, gated=gated)
    if temperature is None:
        part = _held_out(network, run, clips)
        temperature = fit_temperature(part.logits_NC, part.labels_N)
    return calibrated(network, temperature, _calibration_of(run), clips.selection)


def _gated_is_better(run: Path, clips: ClipData) -> bool:
    """Return whether the gated fusion is right at least as often as the addition on every row of the selection clips,
    and more often over all clips."""
    gated, addition = (
        measure_rows(_fitted(run, clips, gated=each), clips.selection, resamples=1) for each in (True, False)
    )
    better = gated["clips"].metrics.accuracy > addition["clips"].metrics.accuracy
    return better and not worse_rows(gated, addition, ACCURACY_MARGIN)


def publish(config: FusionTrainConfig, temperature: float, folds: OutOfFold | None = None) -> str:
    """Evaluate both fusions, write the better one as the next version into `--store`, and write the bundle."""
    clips, store, run = load_clips(config), ModelStore(config.store), config.out
    gated = _gated_is_better(run, clips)
    served, other = _fitted(run, clips, gated=gated, temperature=temperature), _fitted(run, clips, gated=not gated)
    other_rows = {
        f"{'addition' if gated else 'gated'}: {name}": row
        for name, row in FusionFigures.of(other, clips.test, COMPARED_RESAMPLES).json().items()
    }
    description = _describe(
        config, served, temperature, metrics_with_folds(FusionFigures.of(served, clips.test).json() | other_rows, folds)
    )
    limits = _limits_of_recordings(clips) if config.data.is_file() else LIMITS_OF_CLIPS
    text = _card(description, limits, gated=gated)
    reference = store.publish(description, served.network.state_dict(), card=text)
    store.write_bundle(_bundle_with(config, reference))
    return reference


def _bundle_with(config: FusionTrainConfig, fusion: str) -> Bundle:
    """Return the bundle with the fused models; one that the store has keeps everything else."""
    store, (face, audio, text) = ModelStore(config.store), config.models
    fields = {"name": config.bundle, "face": face, "audio": audio, "text": text, "fusion": fusion}
    known = store.bundle(config.bundle).model_dump() if store.bundle_path(config.bundle).exists() else {}
    return Bundle.from_fields(**known | fields)


def _describe(
    config: FusionTrainConfig, served: FusionPredictor, temperature: float, metrics: dict[str, Any]
) -> ModelDescription:
    listed = config.data.is_file()
    return ModelDescription(
        name=config.name,
        architecture="gated_fusion",
        config=config_to_dict(served.network.config),
        labels=EMOTIONS,
        preprocessing={"models": list(config.models), KEY: served.calibration.model_dump()},
        temperature=temperature,
        metrics=metrics,
        data=training_sets(list(read_examples(config.data)))
        if listed
        else (
            "Composed clips of held-out pieces: FER2013 public test, AffectNet tenth, SFEW, CK+, JAFFE and others",
            "Collected voices, by networks that did not hear them",
            "GoEmotions dev, MELD dev",
        ),
        command=_command(config),
        licence=licence_of(
            config,
            LICENCE_OF_ITS_DATA if listed else "Trained on readings of data sets for research.",
            restrictions(ModelStore(config.store), config.models) if config.commercial else [],
        ),
    )


def _command(config: FusionTrainConfig) -> str:
    """Return the command that trained a run."""
    settings = run_settings(config.out)
    loop, shape = settings["loop"], settings["config"]
    command = f"python -m ml train fusion --models {' '.join(settings['bundle'])} --bundle {config.bundle}"
    if config.voice_folds:
        command += f" --voice-folds {config.voice_folds.name}"
    command += f" --lstm {shape['lstm']} --dense {shape['dense']}"
    command += f" --epochs {loop['epochs']} --batch-size {settings['batch']} --learning-rate {loop['learning_rate']}"
    return command + (" --precision bf16" if loop["bf16"] else "") + loop_options(loop)


def _limits_of_recordings(clips: ClipData) -> tuple[str, ...]:
    own_test = clips.test is not clips.selection
    return (
        "Trained and measured on the recordings of one list, each read as one window: other people, places and ways to "
        "record were not seen.",
        "If its models were trained on the same recordings, it trusts them too much.",
        "The recordings that are measured on are neither those trained on nor those that choose and calibrate."
        if own_test
        else "The recordings that are measured on also chose and calibrated it: the figures are too good.",
    )


def _card(description: ModelDescription, limits: Sequence[str], *, gated: bool) -> str:
    calibration = FusionCalibration.model_validate(description.preprocessing[KEY])
    shape = "log-odds added by weight"
    if gated:
        shape += ", gated and corrected by an LSTM over readings and their quality"
    prior = calibration.natural_prior or {}
    shares = ", ".join(f"{name} {share:.3f}" for name, share in prior.items())
    return card(
        description,
        title="Affect fusion",
        summary=f"Joins face, voice and words of one window: {shape}. Absent modalities are masked. Before they are "
        "joined, the prior that each model answers under is taken out. "
        f"Prior `natural`, the shares of the emotions in the dialogues of MELD: {shares}.",
        use="With the models that it was trained on: " + ", ".join(description.preprocessing["models"]) + ".",
        limits=limits,
    )
