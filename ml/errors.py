"""The one error tree. A class stands for one stable `code`; its message is safe to show to a caller."""

from typing import ClassVar

from ml.vocabulary import Stage


class AffectError(Exception):
    """Base of every failure with a code. `message` never holds a path, a key or text of the media."""

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, stage: Stage | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.stage = stage


class UnsupportedMedia(AffectError):
    """The bytes are of no image, audio or video format that is accepted."""

    code = "unsupported_media"


class MediaInvalid(AffectError):
    """The format is accepted, but nothing in the file could be decoded."""

    code = "media_invalid"


class MediaTooLong(AffectError):
    code = "media_too_long"


class FileTooLarge(AffectError):
    """The file has more bytes than are accepted."""

    code = "file_too_large"


class FrameTooLarge(AffectError):
    """A frame has more pixels than `max_pixels`."""

    code = "media_too_large_frame"


class NoStreams(AffectError):
    """A container that holds neither sound nor picture."""

    code = "no_streams"


class InvalidTranscript(AffectError):
    """The caller's transcript is not text, SRT or WebVTT that can be read."""

    code = "validation_failed"


class ProcessingTimeout(AffectError):
    code = "processing_timeout"
    retryable = True


class Cancelled(AffectError):
    """The caller asked for the work to stop. No failure: the job ends `cancelled`."""

    code = "job_cancelled"


class ModelStoreError(AffectError):
    """A model in the store is missing, damaged, or refused by the licence setting."""

    code = "internal_error"


class FetchFailed(AffectError):
    """Weights or media could not be downloaded, or are not what was promised."""

    code = "fetch_failed"
    retryable = True


class InvalidManifest(AffectError):
    """A list of labelled files or sentences that cannot be read; told to a researcher, with file and line."""

    code = "invalid_manifest"
