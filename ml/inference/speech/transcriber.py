"""Transcription: speech → words with their times in the media, each stretch of speech in its own language.

Segments of speech are packed into chunks that the recognizer hears at once, without the silence between them. What it
makes of laughter, music, noise or an unknown language is recognized by its own doubts and dropped.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Self

import torch

from ml.inference.api import TimeSpan
from ml.inference.speech.chunks import PackedChunk, pack_pieces, pack_speech, split_stretches
from ml.inference.speech.languages import StretchEvidence, contenders, guess_languages
from ml.inference.speech.recognizer import RecognizedClip, SpeechRecognizer
from ml.inference.speech.sentences import Sentence, SpokenChunk, certainty, split_sentences
from ml.inference.speech.whisper import Whisper
from ml.inference.voice.vad import Pcm
from ml.results import Notice, Segment, Word

CHUNK_BATCH_SIZE = 4
"""Chunks decoded together: 0.6 of the time of one by one on two CPU cores; a cancelled job waits for one batch."""
BATCHES_PER_GPU_CALL = 4
"""Number of chunk batches decoded together on a GPU."""

MIN_SCORE = {"en": -0.7}
DEFAULT_MIN_SCORE = -0.9
"""Minimum mean log-probability of a sentence, by language. Measured with tiny.en: below are 2 in 100 clips of acted or
noisy English that were understood, 5 in 6 noisy ones that were not, and 95 in 100 Polish and Urdu clips. Measured with
base, in other languages: below is what is more wrong than right."""
CONFIDENT_SCORE = -0.4
"""Minimum score of a sentence that is kept if most of the file is not in the model's language: no Polish or Urdu clip
reaches it."""
MIN_CERTAINTY = -0.75
"""Minimum `certainty` of the sentences of a language that was detected. With base, nine in ten short Polish and English
sentences of actors are above; below are more than nine in ten Urdu and Amharic ones, taken for another language."""
FAIR_SCORE = -1.0
MIN_DOUBT_SECONDS = 0.3
"""Minimum score, and minimum seconds of words, of dropped sentences that make the transcript uncertain."""
MIN_OPEN_SECONDS = 2.0
"""Seconds of words in languages that are not certain from which a notice says so."""
COMPLETE_SHARE = 0.7
UNDERSTOOD_SHARE = 0.5
"""Shares of the speech that kept words cover: clear English has 0.8 to 1.0. Below the first a notice says that the
transcript has holes (a decoder that skips a sentence reports nothing); below the second the language is unknown."""


@dataclass(frozen=True)
class Transcription:
    """Words of a sound. `language`: of most of them; null if it is unknown, though there may be segments."""

    segments: tuple[Segment, ...] = ()
    language: str | None = None
    notices: tuple[Notice, ...] = ()


def unavailable_notice(name: str) -> Notice:
    """Return the notice of a job for which the Whisper model `name` could not be loaded."""
    return Notice(
        code="transcript_unavailable",
        message=f"Speech was not recognised: no Whisper model {name} is there (`python -m ml fetch whisper {name}`).",
    )


def min_score(language: str) -> float:
    """Return the minimum score of a sentence in a language."""
    return MIN_SCORE.get(language, DEFAULT_MIN_SCORE)


def main_language(sentences: Iterable[Sentence]) -> str | None:
    """Return the language of most seconds of words; null for no sentence."""
    seconds: dict[str, float] = {}
    for sentence in sentences:
        seconds[sentence.language] = seconds.get(sentence.language, 0.0) + sentence.seconds
    return max(sorted(seconds), key=seconds.__getitem__) if seconds else None


class Transcriber:
    """Transcribes speech with one Whisper model. The same sound gives the same words, alone or after other jobs."""

    def __init__(self, name: str, recognizer: SpeechRecognizer, batches_per_call: int = 1) -> None:
        """`batches_per_call`: batches of chunks that are decoded together."""
        self.name = name
        self._recognizer = recognizer
        self._batches_per_call = batches_per_call

    @classmethod
    def load(cls, name: str, store_root: Path, device: torch.device, threads: int = 0) -> Self | None:
        """Return a transcriber, or None if there is no Whisper model `name`: jobs then have `unavailable_notice(name)`.

        `threads`: CPU threads; 0 takes all that the process may use. Raises ModelStoreError if the model is damaged.
        """
        recognizer = Whisper.load(name, store_root, device, threads)
        if recognizer is None:
            return None
        return cls(name, recognizer, BATCHES_PER_GPU_CALL if device.type == "cuda" else 1)

    def transcribe(
        self,
        pcm: Pcm,
        speech: Sequence[TimeSpan],
        language: str | None,
        check: Callable[[], None],
        progress: Callable[[float], None],
    ) -> Transcription:
        """Return the words of the segments of `speech` (in order) of `pcm`: 16 kHz mono, int16 or float32 [samples].

        `language`: as the caller states it; null lets the model detect it as far as it can. `check` is called before
        each batch of chunks, `progress` after it with the share that is done. Memory does not grow with the length.
        """
        if language is not None and not self.supports(language):
            return Transcription(notices=(self.unsupported_notice(language),))
        batches = self.batches(pcm, speech)
        if not batches:
            return Transcription(language=language)
        sentences = self.recognize(pcm, speech, batches, language, check, progress)
        return self.accept(sentences, speech, language)

    def supports(self, language: str) -> bool:
        """Return whether the model was trained on the language."""
        return language in self._recognizer.languages

    def batches(self, pcm: Pcm, speech: Sequence[TimeSpan]) -> list[list[PackedChunk]]:
        """Return the chunks in batches, which are the same, whichever worker decodes them."""
        chunks = pack_speech(pcm, speech)
        return [chunks[first : first + CHUNK_BATCH_SIZE] for first in range(0, len(chunks), CHUNK_BATCH_SIZE)]

    def recognize(
        self,
        pcm: Pcm,
        speech: Sequence[TimeSpan],
        batches: Sequence[Sequence[PackedChunk]],
        language: str | None,
        check: Callable[[], None],
        progress: Callable[[float], None],
    ) -> list[Sentence]:
        """Return all sentences of some batches, including doubtful ones, each in the language that it was taken for."""
        sentences: list[Sentence] = []
        for first in range(0, len(batches), self._batches_per_call):
            check()
            own = batches[first : first + self._batches_per_call]
            runs = [run for batch in own for run in self._language_runs(pcm, batch, language)]
            spoken = [each for run in runs for alternative in run for each in alternative]
            clips = iter(self._recognize_each(pcm, spoken))
            for run in runs:
                alternatives = [
                    [each for chunk in alternative for each in split_sentences(chunk, next(clips), speech)]
                    for alternative in run
                ]
                best = max(alternatives, key=certainty)
                sentences += best
            progress(min(first + self._batches_per_call, len(batches)) / len(batches))
        return sentences

    def _language_runs(
        self, pcm: Pcm, batch: Sequence[PackedChunk], language: str | None
    ) -> list[list[list[SpokenChunk]]]:
        """Return the chunks of each run of one language of a batch, once in each language that it may be.

        Chunks are packed again where the language changes, if it is to be detected.
        """
        languages, detectable = self._recognizer.languages, self._recognizer.detectable_languages
        if language is not None or len(languages) == 1:
            return [[[SpokenChunk(chunk, language or languages[0]) for chunk in batch]]]
        stretches = split_stretches(pcm, batch)
        probabilities = self._recognizer.detect_languages([stretch.sound(pcm) for stretch in stretches])
        evidence = [StretchEvidence(stretch.seconds, p) for stretch, p in zip(stretches, probabilities, strict=True)]
        guesses = zip(guess_languages(evidence, detectable), stretches, evidence, strict=True)
        runs = []
        for guessed, run in groupby(guesses, lambda each: each[0]):
            members = list(run)
            chunks = pack_pieces(piece for _, stretch, _ in members for piece in stretch.pieces)
            likely = contenders(guessed, [heard for *_, heard in members], detectable)
            runs.append([[SpokenChunk(chunk, *contender) for chunk in chunks] for contender in likely])
        return runs

    def _recognize_each(self, pcm: Pcm, chunks: Sequence[SpokenChunk]) -> list[RecognizedClip]:
        """Return the words of each chunk; those of one language are recognized together."""
        clips = [RecognizedClip() for _ in chunks]
        for language in dict.fromkeys(spoken.language for spoken in chunks):
            rows = [row for row, spoken in enumerate(chunks) if spoken.language == language]
            heard = self._recognizer.recognize([chunks[row].chunk.sound(pcm) for row in rows], language)
            for row, clip in zip(rows, heard, strict=True):
                clips[row] = clip
        return clips

    def accept(self, sentences: Sequence[Sentence], speech: Sequence[TimeSpan], language: str | None) -> Transcription:
        """Return the sentences of a sound that are certain enough. `language`: as the caller states it."""
        speech_seconds = sum(segment.length for segment in speech)
        named = {language} if language else self._named_languages(sentences)
        accepted = [
            sentence
            for sentence in sentences
            if sentence.language in named and sentence.reaches(min_score(sentence.language))
        ]
        understood_seconds = sum(sentence.seconds for sentence in accepted)
        if understood_seconds < UNDERSTOOD_SHARE * speech_seconds and language is None and self._is_monolingual:
            confident = [sentence for sentence in accepted if sentence.reaches(CONFIDENT_SCORE)]
            return Transcription(_to_segments(confident), None, (self._undetected_notice(),))
        notices: tuple[Notice, ...] = ()
        open_seconds = sum(sentence.seconds for sentence in sentences if sentence.language not in named)
        if open_seconds >= MIN_OPEN_SECONDS or (not accepted and language is None):
            notices = (self._undetected_notice(),)
        elif understood_seconds < COMPLETE_SHARE * speech_seconds or self._dropped_fair(sentences, accepted, named):
            notices = (_UNCERTAIN,)
        return Transcription(_to_segments(accepted), language or main_language(accepted), notices)

    @staticmethod
    def _dropped_fair(sentences: Sequence[Sentence], accepted: Sequence[Sentence], named: Collection[str]) -> bool:
        """Return whether sentences in a language of the sound were dropped that were fairly certain."""
        fair = [each for each in sentences if each.language in named and each.reaches(FAIR_SCORE)]
        return sum(each.seconds for each in fair) - sum(each.seconds for each in accepted) >= MIN_DOUBT_SECONDS

    @property
    def _is_monolingual(self) -> bool:
        return len(self._recognizer.languages) == 1

    def _named_languages(self, sentences: Sequence[Sentence]) -> set[str]:
        """Return the languages in which enough of the sentences are certain to have been spoken."""
        if self._is_monolingual:
            return set(self._recognizer.languages)
        found = {sentence.language for sentence in sentences} & self._recognizer.detectable_languages
        by_language = {name: [each for each in sentences if each.language == name] for name in found}
        return {name for name, own in by_language.items() if certainty(own) >= MIN_CERTAINTY}

    def unsupported_notice(self, language: str) -> Notice:
        """Return the notice of a job in a language that the model was not trained on."""
        return Notice(
            code="language_unsupported",
            message=f"Speech was not recognised: the Whisper model {self.name} does not know the language {language}.",
        )

    def _undetected_notice(self) -> Notice:
        problem = "Most of the speech does not look like English, the only language of the"
        if not self._is_monolingual:
            problem = "Some speech is in no language that is certain enough for the"
        advice = "What is doubtful was left out; state `language` if you know it."
        return Notice(code="language_undetected", message=f"{problem} Whisper model {self.name}. {advice}")


_UNCERTAIN = Notice(
    code="transcript_uncertain", message="Part of the speech could not be recognised with confidence and is left out."
)


def _to_segments(sentences: Iterable[Sentence]) -> tuple[Segment, ...]:
    return tuple(
        Segment(
            start=sentence.words[0].start,
            end=sentence.words[-1].end,
            text="".join(word.text for word in sentence.words).strip(),
            language=sentence.language,
            words=tuple(Word(start=word.start, end=word.end, word=word.text.strip()) for word in sentence.words),
        )
        for sentence in sentences
    )
