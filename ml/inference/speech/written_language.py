"""Language of a transcript that comes without one, as far as its script shows it: Latin letters show nothing.

Where several languages share a script, letters that only one of them has decide, and else the language that most write
in it. The character names of Unicode say which script a letter belongs to.
"""

import unicodedata
from collections import Counter

MAX_LETTERS = 10_000
"""Letters that are looked at."""
_BY_SCRIPT = {
    "ARABIC": "ar",
    "ARMENIAN": "hy",
    "BENGALI": "bn",
    "CJK": "zh",
    "CYRILLIC": "ru",
    "DEVANAGARI": "hi",
    "ETHIOPIC": "am",
    "GEORGIAN": "ka",
    "GREEK": "el",
    "GUJARATI": "gu",
    "GURMUKHI": "pa",
    "HANGUL": "ko",
    "HEBREW": "he",
    "HIRAGANA": "ja",
    "KANNADA": "kn",
    "KATAKANA": "ja",
    "KHMER": "km",
    "LAO": "lo",
    "MALAYALAM": "ml",
    "MYANMAR": "my",
    "SINHALA": "si",
    "TAMIL": "ta",
    "TELUGU": "te",
    "THAI": "th",
}
_BY_LETTER = {
    "ar": {"ur": "ٹڈڑےں", "fa": "پچژگ"},
    "hi": {"mr": "ळ"},
    "ru": {"tt": "әөүҗңһ", "uk": "іїєґ", "be": "ў", "sr": "ђћљњџј"},
}
"""Letters of the other languages of a script, in the order in which they decide: Urdu also has the Persian ones."""
_RUSSIAN_LETTERS = frozenset("ыэё")
_MIN_SHARE = 0.01
"""Minimum share of such letters: a name in another language has a few."""
_KANA_SHARE = 0.05
"""Minimum share of kana in Japanese, which writes Chinese characters too."""


def written_language(text: str) -> str | None:
    """Return the ISO 639 code of the language of most letters of a text; null for Latin letters and for none."""
    letters = [character for character in text if character.isalpha()][:MAX_LETTERS]
    scripts = Counter(unicodedata.name(letter, "").split(" ")[0].partition("-")[0] for letter in letters)
    kana = scripts["HIRAGANA"] + scripts["KATAKANA"]
    if kana + scripts["CJK"] > len(letters) / 2:
        return "ja" if kana >= _KANA_SHARE * len(letters) else "zh"
    script, count = max(scripts.items(), key=lambda each: each[1], default=("", 0))
    language = _BY_SCRIPT.get(script)
    if language is None or count <= len(letters) / 2:
        return None
    return _with_own_letters(language, letters)


def _with_own_letters(language: str, letters: list[str]) -> str:
    counts = Counter(letter.lower() for letter in letters)
    for other, own in _BY_LETTER.get(language, {}).items():
        if sum(counts[letter] for letter in own) >= _MIN_SHARE * len(letters):
            return other
    if language == "ru" and counts["ъ"] and not any(counts[letter] for letter in _RUSSIAN_LETTERS):
        return "bg"
    return language
