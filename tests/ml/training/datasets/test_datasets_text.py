import lzma
from pathlib import Path

import pytest

from ml.errors import InvalidManifest
from ml.training.datasets.emobank import read_emobank
from ml.training.datasets.example import Example, SkippedRecord, without_skipped
from ml.training.datasets.multilingual_sentences import read_brighter, read_xed_projections
from ml.training.datasets.text_corpora import READERS, read_sentences
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
def test_read_sentences_reads_the_published_layout(
    root: Path, name: str, expected: list[tuple[str, str, str, str]]
) -> None:
    assert [_told(example) for example in read_sentences(root, [name])] == expected


def test_read_meld_adds_preceding_sentences(root: Path) -> None:
    rows = ("Hi.,A,joy,positive,0", "Bored?,B,bored,neutral,0", "Go.,A,anger,negative,1", "No!,A,anger,negative,0")
    table = "\n".join(["Utterance,Speaker,Emotion,Sentiment,Dialogue_ID", *rows])
    (root / "meld" / "train_sent_emo.csv").write_text(table)
    told = [(example.text, example.before) for example in read_sentences(root, ["meld"]) if example.split == "train"]
    assert told == [("Hi.", None), ("Go.", None), ("No!", "Hi. Bored?")]


def test_read_sentences_several_labels_share_the_target(root: Path) -> None:
    shared = list(read_sentences(root, ["goemotions"]))[1]
    assert shared.target == tuple(0.5 if name in ("fear", "happy") else 0.0 for name in EMOTIONS)


@pytest.mark.parametrize(
    ("name", "file", "content", "expected"),
    [
        (
            "goemotions",
            "dev.tsv",
            "Hm.\t9\ta\nHm.\t-1\ta\nHm.\tx\ta\nHm.\n",
            {"unknown label": 2, "row of another form": 2},
        ),
        ("xed", "neu_en.txt", "no tab\n", {"unknown label": 1, "none of the seven": 1}),
        (
            "xed",
            "en-annotated.tsv",
            "Hm.\t-1\nHm.\t12\nHm.\nHm.\t3\n",
            {"unknown label": 2, "row of another form": 1, "no text": 1},
        ),
        (
            "meld",
            "dev_sent_emo.csv",
            "Utterance,Speaker,Emotion,Sentiment\nHm,A,bored,neutral\nHm,A,joy,good\n",
            {"unknown label": 2},
        ),
        (
            "semeval2018_ec",
            "E-c-En-dev.txt",
            "ID\tTweet\tanger\ttrust\n1\tHm\tNONE\tNONE\n2\tHm\t1\n3\n",
            {"row of another form": 3, "none of the seven": 1},
        ),
        (
            "isear",
            "isear.tsv",
            "guilt\tI lied.\njoy\t[ No response.]\nfear\n",
            {"none of the seven": 1, "no answer": 1, "row of another form": 1},
        ),
        ("sst", "stsa.fine.dev", "5 good\n-1 bad\nfair\nx y\n", {"unknown label": 2, "row of another form": 2}),
    ],
)
def test_read_sentences_counts_skipped_rows(
    root: Path, name: str, file: str, content: str, expected: dict[str, int]
) -> None:
    (root / name / file).write_text(content)
    reader = next(reader for folder, reader in READERS.values() if folder == name)
    assert without_skipped(reader(root / name))[1] == expected


def test_read_goemotions_unknown_emotion_is_refused(root: Path) -> None:
    (root / "goemotions" / "labels.txt").write_text("anger\nbored\n")
    with pytest.raises(InvalidManifest, match=r"labels\.txt .*bored"):
        list(read_sentences(root, ["goemotions"]))


def test_read_sentences_missing_data_set_is_named(tmp_path: Path) -> None:
    for name in READERS:
        with pytest.raises(InvalidManifest):
            list(read_sentences(tmp_path, [name]))


def test_read_brighter_digits_are_emotions_of_a_language(tmp_path: Path) -> None:
    rows = {
        "train": ["deu\t100010\tWarum nur?", "eng\t0-0100\tYes", "ukr\t000000\tТак", "deu\t1\tKurz"],
        "dev": ["vmw\t000001\tAh"],
    }
    for name, lines in rows.items():
        (tmp_path / f"{name}.tsv.xz").write_bytes(lzma.compress("\n".join(lines).encode()))
    german, english, ukrainian, short, makhuwa = read_brighter(tmp_path)
    assert isinstance(german, Example) and isinstance(ukrainian, Example) and isinstance(makhuwa, Example)
    assert (german.dataset, german.language, german.sentiment) == ("brighter-deu", "de", "negative")
    assert german.target == tuple(0.5 * (name in ("angry", "sad")) for name in EMOTIONS)
    assert isinstance(english, Example) and english.label == "happy", "an emotion that was not asked is not felt"
    assert ukrainian.label == ukrainian.sentiment == "neutral"
    assert short == SkippedRecord("row 4", "row of another form")
    assert (makhuwa.language, makhuwa.split) == ("vmw", "valid"), "no code of two letters"


def test_read_xed_projections_has_languages_and_holds_lines_out(tmp_path: Path) -> None:
    rows = [f"fi\t1\tVihainen {number}" for number in range(200)]
    rows += ["en\t1\tAngry", "br\t2\tAmanhã", 'cn\t5,6\t"好"']
    (tmp_path / "projections.tsv.xz").write_bytes(lzma.compress("\n".join(rows).encode()))
    *finnish, english, expecting, chinese = read_xed_projections(tmp_path)
    held_out = sum(isinstance(each, Example) and each.split == "valid" for each in finnish)
    assert 2 <= held_out <= 25
    assert english == SkippedRecord("Angry", "English")
    assert expecting == SkippedRecord("Amanhã", "none of the seven")
    assert isinstance(chinese, Example)
    assert (chinese.text, chinese.dataset, chinese.language) == ("好", "xed-projections-cn", "zh")


def test_read_emobank_centres_the_ratings(tmp_path: Path) -> None:
    (tmp_path / "emobank.csv").write_text("id,split,V,A,D,text\nx,dev,5.0,3.0,2.0,Fine!\n")
    (example,) = read_emobank(tmp_path)
    assert isinstance(example, Example)
    assert example.dimensions == (1.0, 0.0, -0.5)
    assert (example.split, example.label) == ("valid", None)
