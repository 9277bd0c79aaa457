"""In which format a result is asked for: by `format`, else by the `Accept` header; and what its file is called."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from app.errors import Fault, ValidationFailed
from ml.reports.formats import FORMATS, FormatName, Rows
from ml.reports.report import Report
from ml.results import Result

ResultFormat = Literal["json", FormatName]

MAX_NAME_CHARACTERS = 100

_MEDIA_TYPES: Mapping[ResultFormat, str] = {
    "json": "application/json",
    **{name: known.media_type for name, known in FORMATS.items()},
}
_WEIGHT = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")


@dataclass(frozen=True)
class Export:
    """What was asked for."""

    format: ResultFormat
    rows: Rows | None = None

    @classmethod
    def negotiate(cls, format: ResultFormat | None, rows: Rows | None, accept: str | None) -> "Export":
        """Raises ValidationFailed for rows that the format does not have, and for an `Accept` that takes none of the
        formats."""
        chosen = format or _negotiated(accept)
        known = () if chosen == "json" else tuple(FORMATS[chosen].writers)
        if rows is not None and rows not in known:
            offered = " or ".join(known) if known else "none"
            raise _refused("rows", f"The format {chosen} has no rows of that name; it has {offered}.")
        return cls(chosen, rows)

    @property
    def content_type(self) -> str:
        media_type = _MEDIA_TYPES[self.format]
        return media_type if self.format == "json" else f"{media_type}; charset=utf-8"

    def write(self, document: bytes, name: str) -> bytes:
        """The result document in this format. `name`: of the media."""
        if self.format == "json":
            return document
        known = FORMATS[self.format]
        report = Report(name, Result.model_validate_json(document))
        return known.writers[self.rows or known.default](report).encode()

    def disposition(self, name: str) -> str:
        """The header that saves the answer under the media's name. JSON is shown by browsers."""
        return disposition("inline" if self.format == "json" else "attachment", name, self._suffix)

    @property
    def _suffix(self) -> str:
        if self.format == "json":
            return ".json"
        known = FORMATS[self.format]
        rows = f".{self.rows}" if self.rows and self.rows != known.default else ""
        return f"{rows}.{known.suffix}"


def disposition(kind: Literal["inline", "attachment"], name: str, suffix: str) -> str:
    """The header that saves an answer under a name that a caller chose, without what that could do to a header or a
    path (RFC 6266)."""
    file = f"{_stem(name)}{suffix}"
    ascii_only = re.sub(r"[^A-Za-z0-9 ._()\-]", "_", file)
    extended = "" if ascii_only == file else f"; filename*=UTF-8''{quote(file, safe='')}"
    return f'{kind}; filename="{ascii_only}"{extended}'


def export_responses() -> dict[int | str, dict[str, Any]]:
    """The OpenAPI content of an answer in each format but JSON."""
    content = {known.media_type: {"schema": {"type": "string"}} for known in FORMATS.values()}
    return {200: {"description": "The result", "content": content}}


def _negotiated(accept: str | None) -> ResultFormat:
    """The format that the header (RFC 9110) likes best: of those it likes alike, the one that it names most exactly,
    then the first of ours."""
    ranges = dict(_ranges(accept or "*/*"))
    liked = {name: _preference(media_type, ranges) for name, media_type in _MEDIA_TYPES.items()}
    best = max(liked, key=liked.__getitem__)
    if liked[best][0] <= 0:
        raise _refused("Accept", f"None of the accepted types is there; there are {', '.join(_MEDIA_TYPES.values())}.")
    return best


def _ranges(accept: str) -> Iterator[tuple[str, float]]:
    """Each media range with its weight; one whose weight cannot be read is left out."""
    for part in accept.lower().split(","):
        media_range, *parameters = (piece.strip() for piece in part.split(";"))
        weight = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        if _WEIGHT.fullmatch(weight):
            yield media_range, float(weight)


def _preference(media_type: str, ranges: Mapping[str, float]) -> tuple[float, int]:
    """The weight that the most exact range gives, and how exact that is."""
    family = media_type.split("/")[0]
    for exactness, name in ((2, media_type), (1, f"{family}/*"), (0, "*/*")):
        if name in ranges:
            return ranges[name], exactness
    return 0.0, 0


def _refused(location: str, message: str) -> ValidationFailed:
    return ValidationFailed(message, errors=[Fault(location=location, message=message)])


def _stem(name: str) -> str:
    """The media's name without folders, its ending, and what cannot be in a file name."""
    last = re.split(r"[/\\]", name)[-1].rpartition(".")
    stem = "".join(c for c in (last[0] or last[2]) if c.isprintable() and c not in '<>:"|?*')
    return stem.strip(" .")[:MAX_NAME_CHARACTERS] or "result"
