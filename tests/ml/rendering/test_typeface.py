import numpy as np
import pytest
from PIL import Image, ImageDraw

from ml.rendering import typeface as module
from ml.rendering.drawing import wrap_text
from ml.rendering.summary import summary
from ml.rendering.typeface import drawable, typeface
from tests.ml.reports.test_all_scripts import SENTENCES, report


@pytest.fixture
def no_installed_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_installed_fonts", tuple)
    module._font_for.cache_clear()
    yield
    module._font_for.cache_clear()


def shown(text: str) -> str:
    return "".join(part for _, part in drawable(text))


def ink(text: str) -> int:
    """Number of dark pixels of a text."""
    image = Image.new("L", (1200, 60), 255)
    typeface(24).draw(ImageDraw.Draw(image), (5, 5), text, 0)  # type: ignore[arg-type]
    return int((np.asarray(image) < 128).sum())


@pytest.mark.usefixtures("no_installed_fonts")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ágnes Żółć 77 %", "Ágnes Żółć 77 %"),
        ("Я очень рад", "Я очень рад"),
        ("안녕하세요 여러분", "[Korean]"),
        ("今天 OK, 高兴", "[Chinese] OK, [Chinese]"),
        ("สวัสดี ครับ", "[Thai]"),
        ("मैं खुश हूँ।", "[Devanagari]"),
        ("happy 👩‍👩‍👧 end", "happy end"),
        ("\U000e0001", ""),
        ("", ""),
    ],
)
def test_drawable_names_scripts_without_font_and_leaves_out_emoji(text: str, expected: str) -> None:
    assert shown(text) == expected


def test_drawable_arabic_and_hebrew_need_shaping(monkeypatch: pytest.MonkeyPatch) -> None:
    if not module.features.check_feature("raqm"):
        pytest.skip("FriBidi is not installed")
    assert shown("مرحبا שלום") == "مرحبا שלום"
    monkeypatch.setattr(module.features, "check_feature", lambda name: False)
    module._font_for.cache_clear()
    assert shown("مرحبا שלום") == "[Arabic] [Hebrew]"
    module._font_for.cache_clear()


@pytest.mark.parametrize("code", SENTENCES)
def test_typeface_draws_each_script_without_boxes(code: str) -> None:
    """Characters without a glyph would all be drawn as the same box."""
    sentence = SENTENCES[code][:40]
    assert typeface(24).length(sentence) > 0 and ink(sentence) > 0
    boxes = ink("\U0010fffe" * 5)
    assert boxes == 0


@pytest.mark.parametrize("code", SENTENCES)
def test_wrap_text_of_each_script_fits(code: str) -> None:
    face = typeface(16)
    lines = wrap_text(SENTENCES[code], face, 300, 2)
    assert len(lines) <= 2 and all(face.length(line) <= 300 for line in lines)
    assert summary(report(code).result, report(code).name).width == 1200


def test_typeface_right_to_left_begins_on_the_right() -> None:
    """A number after Hebrew words is on their left."""
    runs = list(typeface(20)._parts("שלום 今 12"))
    assert runs[0][1].strip().endswith("12") or len(runs) == 1
