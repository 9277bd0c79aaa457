"""Errors with a stable `code`. Their messages are shown to callers."""

from typing import ClassVar

from ml.vocabulary import Stage


class AffectError(Exception):
    """Base class of errors with a code. `message` never contains a path, a key or text of the media."""

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, stage: Stage | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.stage = stage


class UnsupportedMedia(AffectError):
    """The file is not in a supported image, audio or video format."""

    code = "unsupported_media"


class MediaInvalid(AffectError):
    """The format is supported, but nothing in the file could be decoded."""

    code = "media_invalid"


class MediaTooLong(AffectError):
    """The media is longer than allowed."""

    code = "media_too_long"


class FileTooLarge(AffectError):
    """The file has more bytes than allowed."""

    code = "file_too_large"


class FrameTooLarge(AffectError):
    """A frame has more pixels than `max_pixels`."""

    code = "media_too_large_frame"


class NoStreams(AffectError):
    """The container has no audio or video."""

    code = "no_streams"


class InvalidTranscript(AffectError):
    """The caller's transcript has no words, no readable cue, or too many words."""

    code = "validation_failed"


class UnsupportedTranscript(AffectError):
    """The caller's transcript is in a format or an encoding that is not read."""

    code = "unsupported_transcript"


class InvalidRatings(AffectError):
    """The file of ratings is damaged, or has too many."""

    code = "validation_failed"


class UnsupportedRatings(AffectError):
    """The file of ratings is in a format that is not read."""

    code = "unsupported_ratings"


class ProcessingTimeout(AffectError):
    """Reading or analysing the file took longer than allowed."""

    code = "processing_timeout"
    retryable = True


class Cancelled(AffectError):
    """The caller cancelled the work. Not a failure: the job ends as `cancelled`."""

    code = "job_cancelled"


class ModelStoreError(AffectError):
    """A model in the store is missing, damaged, or refused by the licence setting."""

    code = "internal_error"


class FetchFailed(AffectError):
    """Weights or media could not be downloaded, or are not the expected content."""

    code = "fetch_failed"
    retryable = True


class InvalidManifest(AffectError):
    """A list of labelled files or sentences cannot be read. The message names file and line."""

    code = "invalid_manifest"
