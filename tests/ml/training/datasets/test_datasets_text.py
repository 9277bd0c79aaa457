from pathlib import Path

import pytest

from ml.errors import InvalidManifest
from ml.training.datasets.example import Example
from ml.training.datasets.text import READERS, read_sentences
from ml.vocabulary import EMOTIONS

FILES = {
    "goemotions": {
        "labels.txt": "anger\ndisgust\nfear\njoy\nsadness\nsurprise\nneutral\n",
        "train.tsv": "What a day!\t3\tabc\nOh no, oh yes\t2,3\tdef\n",
        "dev.tsv": "Fine.\t6\tghi\n",
    },
    "meld": {
        "train_sent_emo.csv": "Sr No.,Utterance,Speaker,Emotion,Sentiment\n1,Get out!,Ann,anger,negative\n",
        "dev_sent_emo.csv": 'Sr No.,Utterance,Speaker,Emotion,Sentiment\n1,"Well, hello",Bob,joy,positive\n',
    },
    "xed": {
        "en-annotated.tsv": "He waits.\t2\nHe laughs.\t5\n",
        "neu_en.txt": "9\tIt is noon.\n9\t\n",
    },
    "semeval2018_ec": {
        "E-c-En-train.txt": "ID\tTweet\tanger\tlove\ttrust\n1\tI &amp; you\t0\t1\t0\n2\tYes\t0\t0\t1\n",
        "E-c-En-dev.txt": "ID\tTweet\tanger\tlove\ttrust\n3\tNo\\nway\t1\t0\t0\n",
    },
    "isear": {"isear.tsv": "joy\tWhen I passed á the exam.\nguilt\tWhen I lied.\nfear\t[ No response.]\n"},
    "sst": {"stsa.fine.train": "4 good -lrb- very -rrb-\n", "stsa.fine.dev": "2 so so\n"},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder, files in FILES.items():
        (tmp_path / folder).mkdir()
        for name, content in files.items():
            (tmp_path / folder / name).write_text(content)
    return tmp_path


def _told(example: Example) -> tuple[str | None, str | None, str, str | None]:
    return example.text, example.label, example.split, example.sentiment


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "goemotions",
            [
                ("What a day!", "happy", "train", "positive"),
                ("Oh no, oh yes", "fear", "train", None),
                ("Fine.", "neutral", "valid", "neutral"),
            ],
        ),
        ("meld", [("Get out!", "angry", "train", "negative"), ("Well, hello", "happy", "valid", "positive")]),
        ("xed", [("He laughs.", "happy", "train", None), ("It is noon.", "neutral", "train", "neutral")]),
        ("semeval2018", [("I & you", "happy", "train", None), ("No way", "angry", "valid", None)]),
        ("isear", [("When I passed the exam.", "happy", "test", None)]),
        ("sst", [("good ( very)", None, "train", "positive"), ("so so", None, "valid", "neutral")]),
    ],
)
def test_the_published_layout_is_read(root: Path, name: str, expected: list[tuple[str, str, str, str]]) -> None:
    assert [_told(example) for example in read_sentences(root, [name])] == expected


def test_several_labels_share_the_target(root: Path) -> None:
    shared = list(read_sentences(root, ["goemotions"]))[1]
    assert shared.target == tuple(0.5 if name in ("fear", "happy") else 0.0 for name in EMOTIONS)


def test_a_data_set_that_is_not_there_is_told(tmp_path: Path) -> None:
    for name in READERS:
        with pytest.raises(InvalidManifest):
            list(read_sentences(tmp_path, [name]))
