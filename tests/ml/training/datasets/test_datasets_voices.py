from pathlib import Path

import pytest

from ml.training.datasets.audio_corpora import FOLDS, read_voices
from ml.training.datasets.example import examples_of, without_skipped


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rows = [f"ravdess/03-01-05-01-01-01-{actor:02}.opus,angry,ravdess,{actor:02},m,en" for actor in range(1, 11)]
    rows += [f"nemo/{name}.opus,sad,nemo,{name},f,pl" for name in "abcde"]
    rows += ["tess/x.opus,fear,tess,oaf,f,en", "urdu/y.opus,happy,urdu,s1,m,ur"]
    rows += ["ravdess/03-01-03-01-02-02-07.opus,happy,ravdess,07,m,en"]
    (tmp_path / "manifest.csv").write_text("path,label,dataset,speaker,gender,language\n" + "\n".join(rows) + "\n")
    return tmp_path


@pytest.mark.parametrize("fold", range(FOLDS))
def test_read_voices_fold_holds_out_its_speakers(root: Path, fold: int) -> None:
    held_out = {e.speaker for e in examples_of(read_voices(root, fold)) if e.split == "valid"}
    actors = {f"ravdess/{actor:02}" for actor in range(1, 11) if (actor - 1) % 5 == fold}
    alone = {"tess/oaf", "urdu/s1"} if fold == 0 else set()
    assert held_out == actors | {f"nemo/{'abcde'[fold]}"} | alone
    training = {e.speaker for e in examples_of(read_voices(root, fold)) if e.split == "train"}
    assert not training & held_out and len(training | held_out) == 10 + 5 + 2


def test_read_voices_without_fold_trains_on_all_that_is_not_left_out(root: Path) -> None:
    found = {(e.dataset, e.split) for e in examples_of(read_voices(root, None, ["tess"]))}
    assert found == {("ravdess", "train"), ("nemo", "train"), ("tess", "test"), ("urdu", "train")}


def test_read_voices_skips_duplicates_and_unknown_labels(root: Path) -> None:
    assert sum(e.dataset == "ravdess" for e in examples_of(read_voices(root))) == 10
    with (root / "manifest.csv").open("a") as file:
        file.write("ravdess/bored.opus,bored,ravdess,08,m,en\n")
    assert without_skipped(read_voices(root))[1] == {"same bytes as another file": 1, "unknown label": 1}
