import hashlib
from pathlib import Path

import pytest

from ml.training.datasets.example import examples_of, without_skipped
from ml.training.datasets.face_corpora import read_faces
from ml.vocabulary import EMOTIONS

VOTES = (
    "image,v_neutral,v_happy,v_surprise,v_sad,v_angry,v_disgust,v_fear,"
    "train_exact_dup_of_eval,train_near_dup_of_eval_cc\n"
    "a.png,4,6,0,0,0,0,0,0,0.2\n"
    "few.png,0,2,0,0,0,0,0,0,\n"
    "twin.png,0,9,0,0,0,0,0,1,\n"
    "near.png,0,9,0,0,0,0,0,0,0.99\n"
    "eval.png,9,0,0,0,0,0,0,0,\n"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    names = ["a", "few", "twin", "near"]
    rows = [f"fer2013/train/{name}.png,happy,fer2013,train" for name in names]
    rows += ["fer2013/valid/eval.png,sad,fer2013,valid", "sfew/x.png,fear,sfew,", "ckplus48/y.png,angry,ckplus48,"]
    rows += [f"affectnet/{number}.webp,sad,affectnet7_masked,train" for number in range(50)]
    (tmp_path / "manifest.csv").write_text("path,label,dataset,split\n" + "\n".join(rows) + "\n")
    (tmp_path / "fer2013").mkdir()
    (tmp_path / "fer2013" / "labels.csv").write_text(VOTES)
    return tmp_path


def test_read_faces_skips_training_duplicates_of_held_out_pictures(root: Path) -> None:
    names = {e.path.stem for e in examples_of(read_faces(root)) if e.path and e.dataset == "fer2013"}
    assert names == {"a", "few", "eval"}
    assert without_skipped(read_faces(root))[1] == {"duplicate of a held-out picture": 2}


def test_read_faces_counts_unknown_labels_and_splits(root: Path) -> None:
    with (root / "manifest.csv").open("a") as file:
        file.write("b.png,bored,mine,train\nc.png,sad,mine,training\nd.png,sad,mine\ne.png,sad,mine,valid\n")
    examples, skipped = without_skipped(read_faces(root))
    assert sum(example.dataset == "mine" for example in examples) == 1
    assert (skipped["unknown label"], skipped["row of another form"]) == (1, 2)


def test_read_faces_counts_malformed_votes(root: Path) -> None:
    (root / "fer2013" / "labels.csv").write_text(VOTES.replace("a.png,4", "a.png,four"))
    assert without_skipped(read_faces(root))[1]["row of another form"] == 1


def test_read_faces_votes_become_their_share_of_the_target(root: Path) -> None:
    by_name = {e.path.stem: e for e in examples_of(read_faces(root, votes_share=0.5)) if e.path}
    target = dict(zip(EMOTIONS, by_name["a"].target or (), strict=True))
    assert target["happy"] == pytest.approx(0.8) and target["neutral"] == pytest.approx(0.2)
    assert by_name["few"].target == tuple(float(name == "happy") for name in EMOTIONS), "two votes are too few"
    hard = {e.path.stem: e for e in examples_of(read_faces(root, votes_share=0.0)) if e.path}
    assert max(hard["a"].target or ()) == 1.0


def test_read_faces_holds_out_test_sets_and_a_tenth_of_affectnet(root: Path) -> None:
    splits = {(e.dataset, e.split) for e in examples_of(read_faces(root)) if e.dataset in ("sfew", "ckplus48")}
    assert splits == {("sfew", "test"), ("ckplus48", "test")}
    for example in examples_of(read_faces(root)):
        if example.dataset == "affectnet7_masked" and example.path:
            tenth = int(hashlib.sha256(example.path.name.encode()).hexdigest(), 16) % 10 == 0
            assert example.split == ("valid" if tenth else "train")


def test_read_faces_without_votes_has_hard_labels(root: Path) -> None:
    (root / "fer2013" / "labels.csv").unlink()
    assert all(max(e.target or ()) == 1.0 for e in examples_of(read_faces(root)))


def test_read_faces_knows_people_and_splits_lfw_by_them(root: Path) -> None:
    people = [f"Person_{number}" for number in range(60)]
    files = [f"lfw_emotion/{person}_{number:04}.webp" for person in people for number in (1, 2)]
    with (root / "manifest.csv").open("a") as file:
        file.writelines(f"{path},neutral,lfw_emotion,train\n" for path in files)
        file.write("indian_film/Someone_7.webp,sad,indian_film,train\njaffe/KA.AN1.39.png,angry,jaffe,\n")
    rows = "".join(f"{path},{path.split('/')[1][:-10]}\n" for path in files)
    (root / "lfw_people.csv").write_text("path,person\n" + rows)
    examples = examples_of(read_faces(root))
    sides = {example.speaker: {e.split for e in examples if e.speaker == example.speaker} for example in examples}
    lfw = [split for person, split in sides.items() if person and person.startswith("lfw_emotion/Person_")]
    assert len(lfw) == 60 and all(len(split) == 1 for split in lfw) and 3 < lfw.count({"valid"}) < 25
    assert {"indian_film/Someone", "jaffe/KA", "ckplus48/y"} < sides.keys()
