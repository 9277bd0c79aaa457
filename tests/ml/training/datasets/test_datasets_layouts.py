"""Small made files in each published layout."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from ml.errors import InvalidManifest
from ml.training.datasets.example import Example, without_skipped
from ml.training.datasets.registry import DATA_SETS, read


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def ravdess(root: Path) -> None:
    touch(root, "Actor_01/03-01-03-01-01-01-01.wav", "Actor_02/03-01-02-01-01-01-02.wav")
    touch(root, "Song/Actor_24/03-02-05-02-01-01-24.wav", "Actor_03/01-01-08-01-01-01-03.mp4")
    touch(root, "Actor_03/02-01-08-01-01-01-03.mp4", "Actor_07/03-01-03-01-02-02-07.wav", "Actor_04/notes.wav")
    touch(root, "Actor_05/03-01-09-01-01-01-05.wav")


def crema_d(root: Path) -> None:
    touch(root, "AudioWAV/1001_DFA_ANG_XX.wav", "AudioWAV/1002_IEO_SAD_HI.wav", "VideoFlash/1001_DFA_ANG_XX.flv")
    touch(root, "AudioWAV/1001_DFA_LOL_XX.wav")
    (root / "VideoDemographics.csv").write_text("ActorID,Age,Sex\n1001,51,Male\n1002,21,Female\n")


def savee(root: Path) -> None:
    touch(root, "AudioData/DC/a01.wav", "AudioData/KL/su12.wav", "JK_sa02.wav", "AudioVisualClip/JE/n3.avi")
    touch(root, "AudioData/DC/zz01.wav", "AudioData/XX/a01.wav")


def tess(root: Path) -> None:
    touch(root, "OAF_angry/OAF_back_angry.wav", "YAF_pleasant_surprised/YAF_back_ps.wav", "OA_bite_neutral.wav")
    touch(root, "YAF_back_bored.wav")


def omg(root: Path) -> None:
    header = "link,start,end,video,utterance,arousal,valence,EmotionMaxVote\n"
    train = (
        "u,0.5,3.25,abc,utterance_1.mp4,0,0,3\nu,3.25,4,abc,utterance_2.mp4,0,0,9\nu,0,1,gone,utterance_1.mp4,0,0,0\n"
    )
    (root / "omg_TrainVideos.csv").write_text(header + train)
    (root / "omg_ValidationVideos.csv").write_text(header + "u,0,2,cut,utterance_7.mp4,0,0,6\n")
    touch(root, "videos/abc.mp4", "videos/cut/utterance_7.mp4")


MELD = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime\n"


def meld_clips(root: Path) -> None:
    rows = '1,"Well, no.",A,joy,positive,0,0,8,21,"00:16:16,059","00:16:21,731"\n'
    rows += "2,Hm.,B,anger,negative,0,1,8,21,00:16:22,00:16:20\n3,Oh!,B,surprise,positive,9,1,9,2,x,y\n"
    rows += '4,Fine.,A,sadness,negative,0,2,8,21,"00:17:00,500","00:17:02,250"\n'
    (root / "train_sent_emo.csv").write_text(MELD + rows)
    (root / "dev_sent_emo.csv").write_text(MELD + "1,Go.,C,neutral,neutral,1,1,1,1,a,b\n")
    touch(root, "train_splits/dia0_utt0.mp4", "dev_splits_complete/dia1_utt1.mp4", "episodes/s08e21.mp4")


def fer_table(root: Path) -> None:
    pixels = " ".join(["7"] * 48 * 48)
    rows = [f"0,{pixels},Training", f"4,{pixels},PublicTest", f"6,{pixels},PrivateTest"]
    (root / "fer2013.csv").write_text("emotion,pixels,Usage\n" + "\n".join(rows) + "\n")


def fer_folders(root: Path) -> None:
    touch(root, "train/angry/Training_1.png", "test/sad/PublicTest_2.png", "test/neutral/PrivateTest_3.png")
    touch(root, "train/bored/Training_4.png")


def fer_plus(root: Path) -> None:
    fer_table(root)
    header = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"
    rows = "Training,fer0000000.png,4,0,0,0,6,0,0,0,0,0\nPublicTest,fer0028709.png,0,0,0,1,0,0,0,9,0,0\n"
    (root / "fer2013new.csv").write_text(header + rows + "PrivateTest,fer0032298.png,0,0,0,0,0,0,10,0,0,0\n")


def ck_plus(root: Path) -> None:
    touch(root, *(f"cohn-kanade-images/S005/001/S005_001_{number:08}.png" for number in range(1, 7)))
    touch(
        root, "cohn-kanade-images/S006/002/S006_002_00000001.png", "cohn-kanade-images/S007/001/S007_001_00000001.png"
    )
    for name, number in (("S005/001/S005_001_00000006", 3), ("S007/001/S007_001_00000001", 2)):
        touch(root, f"Emotion/{name}_emotion.txt")
        (root / f"Emotion/{name}_emotion.txt").write_text(f"   {number}.0000000e+00\n")


def raf_db(root: Path) -> None:
    touch(root, "basic/Image/aligned/train_00001_aligned.jpg", "basic/Image/aligned/test_0001_aligned.jpg")
    touch(root, "basic/EmoLabel/list_patition_label.txt")
    lines = "train_00001.jpg 5\ntest_0001.jpg 1\ntrain_00002.jpg 4\ntrain_00003.jpg 8\n"
    (root / "basic/EmoLabel/list_patition_label.txt").write_text(lines)


def goemotions(root: Path) -> None:
    (root / "emotions.txt").write_text("admiration\nannoyance\nneutral\n")
    (root / "train.tsv").write_text("Nice one.\t0\ta\nHm, no.\t1,2\tb\n")
    (root / "dev.tsv").write_text("A table.\t2\tc\n")


def generic(root: Path) -> None:
    touch(root, "mine_1_happy.jpg", "mine_2_0.wav", "anna/mine_3_Sadness.mp4", "mine_4_bored.png", "odd.png")
    touch(root, "mine_5_7.png")


CASES: list[tuple[str, Callable[[Path], None], dict[str, int], dict[str, int]]] = [
    (
        "ravdess",
        ravdess,
        {
            "ravdess valid happy": 1,
            "ravdess train neutral": 1,
            "ravdess-song test angry": 1,
            "ravdess train surprise": 1,
        },
        {"video without sound": 1, "same bytes as another file": 1, "name of another form": 1, "unknown label": 1},
    ),
    ("crema-d", crema_d, {"crema-d train angry": 2, "crema-d train sad": 1}, {"unknown label": 1}),
    (
        "savee",
        savee,
        {"savee train angry": 1, "savee test surprise": 1, "savee valid sad": 1, "savee train neutral": 1},
        {"unknown label": 1, "name of another form": 1},
    ),
    (
        "tess",
        tess,
        {"tess train angry": 1, "tess valid surprise": 1, "tess train neutral": 1},
        {"unknown label": 1},
    ),
    ("omg", omg, {"omg train happy": 1, "omg valid surprise": 1}, {"unknown label": 1, "no such video": 1}),
    (
        "meld-clips",
        meld_clips,
        {"meld-clips train happy": 1, "meld-clips train sad": 1, "meld-clips valid neutral": 1},
        {"impossible time stamps": 1, "no such clip": 1},
    ),
    ("fer2013", fer_table, {"fer2013 train angry": 1, "fer2013 valid sad": 1, "fer2013 test neutral": 1}, {}),
    (
        "fer2013",
        fer_folders,
        {"fer2013 train angry": 1, "fer2013 valid sad": 1, "fer2013 test neutral": 1},
        {"unknown label": 1},
    ),
    ("fer-plus", fer_plus, {"fer-plus train angry": 1, "fer-plus test fear": 1}, {"none of the seven": 1}),
    (
        "ck-plus",
        ck_plus,
        {"ck-plus train neutral": 1, "ck-plus train disgust": 3},
        {"no label": 1, "unknown label": 1},
    ),
    ("raf-db", raf_db, {"raf-db train sad": 1, "raf-db test surprise": 1}, {"no such picture": 1, "unknown label": 1}),
    (
        "goemotions",
        goemotions,
        {"goemotions train happy": 1, "goemotions train angry": 1, "goemotions valid neutral": 1},
        {},
    ),
    (
        "generic",
        generic,
        {"mine happy": 1, "mine angry": 1, "mine sad": 1},
        {"unknown label": 2, "name of another form": 1},
    ),
]


@pytest.mark.parametrize(
    ("name", "make", "expected", "skipped"), CASES, ids=[f"{case[0]}-{case[1].__name__}" for case in CASES]
)
def test_reader_reads_the_published_layout(
    tmp_path: Path,
    name: str,
    make: Callable[[Path], None],
    expected: dict[str, int],
    skipped: dict[str, int],
) -> None:
    root = tmp_path / "data"
    root.mkdir()
    make(root)
    examples, reasons = without_skipped(read(name, root, tmp_path / "made"))
    told = Counter(
        f"{e.dataset} {e.label}" if name == "generic" else f"{e.dataset} {e.split} {e.label}" for e in examples
    )
    assert dict(told) == expected
    assert dict(reasons) == skipped


def found(tmp_path: Path, name: str, make: Callable[[Path], None]) -> list[Example]:
    root = tmp_path / "data"
    root.mkdir()
    make(root)
    return without_skipped(read(name, root, tmp_path / "made"))[0]


def test_reader_keeps_speakers_and_genders(tmp_path: Path) -> None:
    people = {(e.speaker, e.gender) for e in found(tmp_path, "crema-d", crema_d)}
    assert people == {("crema-d/1001", "male"), ("crema-d/1002", "female")}


def test_read_omg_whole_videos_get_time_stamps(tmp_path: Path) -> None:
    pieces = [(e.path.name if e.path else "", e.start, e.end) for e in found(tmp_path, "omg", omg)]
    assert pieces == [("abc.mp4", 0.5, 3.25), ("utterance_7.mp4", None, None)]


def test_read_meld_clips_episodes_get_time_stamps(tmp_path: Path) -> None:
    sad = next(e for e in found(tmp_path, "meld-clips", meld_clips) if e.label == "sad")
    assert (sad.start, sad.end, sad.text, sad.before) == (1020.5, 1022.25, "Fine.", "Well, no. Hm.")
    assert sad.path and sad.path.name == "s08e21.mp4"


def test_unpack_fer2013_writes_pictures(tmp_path: Path) -> None:
    path = found(tmp_path, "fer2013", fer_table)[0].path
    assert path and np.array_equal(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.full((48, 48), 7))


def test_read_fer_plus_votes_become_the_target(tmp_path: Path) -> None:
    first = found(tmp_path, "fer-plus", fer_plus)[0]
    assert first.target == pytest.approx((0.6, 0, 0, 0, 0, 0, 0.4))


def test_read_ck_plus_takes_first_picture_and_peak(tmp_path: Path) -> None:
    names = [e.path.stem[-2:] for e in found(tmp_path, "ck-plus", ck_plus) if e.path]
    assert names == ["01", "04", "05", "06"]


@pytest.mark.parametrize("name", list(DATA_SETS))
def test_reader_other_layout_is_refused(tmp_path: Path, name: str) -> None:
    empty = tmp_path / "other"
    empty.mkdir()
    with pytest.raises(InvalidManifest, match="other"):
        list(read(name, empty, tmp_path / "made"))


def test_reader_missing_column_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fer2013.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InvalidManifest, match="needs the columns"):
        list(read("fer2013", tmp_path, tmp_path / "made"))


def counted(tmp_path: Path, name: str, root: Path) -> dict[str, int]:
    return dict(without_skipped(read(name, root, tmp_path / "made"))[1])


def test_read_fer2013_counts_unknown_emotions(tmp_path: Path) -> None:
    pixels = " ".join(["7"] * 48 * 48)
    rows = [f"{emotion},{pixels},{part}" for emotion in ("0", "7", "-1", "sad?") for part in ("Training", "PublicTest")]
    (tmp_path / "fer2013.csv").write_text("emotion,pixels,Usage\n" + "\n".join(rows) + "\n")
    examples, skipped = without_skipped(read("fer2013", tmp_path, tmp_path / "made"))
    assert [example.label for example in examples] == ["angry", "angry"] and skipped == {"unknown label": 6}


@pytest.mark.parametrize(
    ("row", "told"),
    [("0,1 2 3,Training", "pixels"), (f"0,{'300 ' * 2304},Training", "pixels"), ("0,1,Elsewhere", "Elsewhere")],
)
def test_unpack_fer2013_malformed_pixels_are_refused(tmp_path: Path, row: str, told: str) -> None:
    (tmp_path / "fer2013.csv").write_text(f"emotion,pixels,Usage\n{row}\n")
    with pytest.raises(InvalidManifest, match=told):
        list(read("fer2013", tmp_path, tmp_path / "made"))


@pytest.mark.parametrize("lacking", ["fer2013.csv", "fer2013new.csv"])
def test_unpack_fer_plus_tables_of_unequal_length_are_refused(tmp_path: Path, lacking: str) -> None:
    fer_plus(tmp_path)
    lines = (tmp_path / lacking).read_text().splitlines()
    (tmp_path / lacking).write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(InvalidManifest, match="differ in length"):
        list(read("fer-plus", tmp_path, tmp_path / "made"))


def test_reader_counts_malformed_votes_stamps_and_labels(tmp_path: Path) -> None:
    for make in (fer_plus, ck_plus, omg):
        make(tmp_path)
    votes, stamps = tmp_path / "fer2013new.csv", tmp_path / "omg_TrainVideos.csv"
    votes.write_text(votes.read_text().replace("fer0000000.png,4", "fer0000000.png,four"))
    assert counted(tmp_path, "fer-plus", tmp_path)["row of another form"] == 1
    stamps.write_text(stamps.read_text() + "u,soon,4,abc,a.mp4,0,0,3\nu,4,1,abc,b.mp4,0,0,3\n")
    told = counted(tmp_path, "omg", tmp_path)
    assert (told["row of another form"], told["impossible time stamps"]) == (1, 1)
    (tmp_path / "Emotion/S005/001/S005_001_00000006_emotion.txt").write_text("three")
    assert counted(tmp_path, "ck-plus", tmp_path) == {"no label": 1, "unknown label": 2}


def test_read_meld_clips_counts_episodes_without_a_number(tmp_path: Path) -> None:
    meld_clips(tmp_path)
    rows = "1,Go.,C,neutral,neutral,2,1,pilot,1,a,b\n2,Go.,C,bored,neutral,2,2,1,1,a,b\n"
    (tmp_path / "dev_sent_emo.csv").write_text(MELD + rows)
    told = counted(tmp_path, "meld-clips", tmp_path)
    assert (told["row of another form"], told["unknown label"]) == (1, 1)


@pytest.mark.parametrize("name", ["collected-faces", "collected-voices"])
def test_reader_list_without_columns_or_text_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "manifest.csv").write_text("path\na.png\n")
    with pytest.raises(InvalidManifest, match="needs the columns path, label"):
        list(read(name, tmp_path, tmp_path / "made"))
    (tmp_path / "manifest.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidManifest, match="cannot be read"):
        list(read(name, tmp_path, tmp_path / "made"))
