"""Content negotiation of results: which format a caller asks for, by `format` or the `Accept` header, and the name of
the downloaded file."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from app.errors import Fault, ValidationFailed
from ml.reports.formats import FORMATS, FormatName, Rows
from ml.reports.people import result_of
from ml.reports.report import Report
from ml.results import Result

if TYPE_CHECKING:
    ResultFormat = FormatName
else:
    ResultFormat = Literal["json", FormatName]

MAX_FILE_NAME_CHARACTERS = 100

_MEDIA_TYPES: Mapping[ResultFormat, str] = {
    "json": "application/json",
    **{name: format.media_type for name, format in FORMATS.items()},
}
_STRONG_TAG = re.compile(r'(?<!W/)"([^"]*)"')
_WEIGHT = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")


@dataclass(frozen=True)
class Export:
    """The format and rows that a caller asked for. Without `rows`, the format's default applies. `bom`: whether a CSV
    begins with a byte order mark; `person`: the only one to report, by number."""

    format: ResultFormat
    rows: Rows | None = None
    bom: bool = False
    person: int | None = None

    @classmethod
    def negotiate(
        cls,
        format: ResultFormat | None,
        rows: Rows | None,
        accept: str | None,
        *,
        bom: bool = False,
        person: int | None = None,
    ) -> "Export":
        """Choose the format by the query, else by the `Accept` header. Raises ValidationFailed if the format has no
        such rows, or if `Accept` permits none of the formats."""
        chosen = format or _preferred_format(accept)
        offered = () if chosen == "json" else tuple(FORMATS[chosen].writers)
        if rows is not None and rows not in offered:
            choices = " or ".join(offered) if offered else "none"
            raise _invalid("rows", f"The format {chosen} has no such rows. Choices: {choices}.")
        return cls(chosen, rows, bom, person)

    @property
    def is_whole_document(self) -> bool:
        """Return whether the result document is sent as it is."""
        return self.format == "json" and self.person is None

    @property
    def content_type(self) -> str:
        media_type = _MEDIA_TYPES[self.format]
        return media_type if self.format == "json" else f"{media_type}; charset=utf-8"

    def write(self, document: bytes, name: str) -> bytes:
        """Return the result document in this format. `name` is the name of the media. Raises ValidationFailed if the
        result has no such person."""
        if self.is_whole_document:
            return document
        result = Result.model_validate_json(document)
        if self.person is not None:
            try:
                result = result_of(result, self.person)
            except KeyError as error:
                raise _invalid("person", f"The result has no person {self.person}.") from error
        if self.format == "json":
            return result.model_dump_json().encode()
        format, report = FORMATS[self.format], Report(name, result)
        text = format.writers[self.rows or format.default](report)
        return text.encode("utf-8-sig" if self.bom and self.format == "csv" else "utf-8")

    def disposition(self, name: str) -> str:
        """Return the header that names the download after the media. Browsers display JSON and save the others."""
        return disposition("inline" if self.format == "json" else "attachment", name, self.suffix)

    @property
    def suffix(self) -> str:
        """Return the end of the name of a file of this export: `.person-2.windows.vtt`."""
        person = "" if self.person is None else f".person-{self.person}"
        if self.format == "json":
            return f"{person}.json"
        format = FORMATS[self.format]
        rows = f".{self.rows}" if self.rows and self.rows != format.default else ""
        return f"{person}{rows}.{format.suffix}"


def disposition(kind: Literal["inline", "attachment"], name: str, suffix: str) -> str:
    """Return a `Content-Disposition` header (RFC 6266) with a file name derived from the caller's, safe for headers
    and paths."""
    file = file_name(name, suffix)
    ascii_only = re.sub(r"[^A-Za-z0-9 ._()\-]", "_", file)
    extended = "" if ascii_only == file else f"; filename*=UTF-8''{quote(file, safe='')}"
    return f'{kind}; filename="{ascii_only}"{extended}'


def file_name(name: str, suffix: str) -> str:
    """Return the name of a file that is derived from the caller's media, safe for headers, paths and archives."""
    return f"{_safe_stem(name)}{suffix}"


def export_responses() -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI response with the media type of each format except JSON, which its model describes."""
    content = {format.media_type: {"schema": {"type": "string"}} for format in FORMATS.values()}
    return {200: {"description": "The result", "content": content}}


def versions_in(if_match: str | None) -> tuple[str, ...]:
    """Return the versions that an `If-Match` header permits (RFC 9110); none if it permits any. A weak tag, or what is
    no tag, matches no version."""
    if if_match is None or if_match.strip() == "*":
        return ()
    return tuple(_STRONG_TAG.findall(if_match)) or ("",)


def _preferred_format(accept: str | None) -> ResultFormat:
    """Return the format with the highest weight in an `Accept` header (RFC 9110). Among equals the most specific media
    range wins, then our order."""
    ranges = dict(_media_ranges(accept or "*/*"))
    preferences = {name: _preference(media_type, ranges) for name, media_type in _MEDIA_TYPES.items()}
    best = max(preferences, key=preferences.__getitem__)
    if preferences[best][0] <= 0:
        choices = ", ".join(_MEDIA_TYPES.values())
        raise _invalid("Accept", f"None of the accepted types is available. Choices: {choices}.")
    return best


def _media_ranges(accept: str) -> Iterator[tuple[str, float]]:
    """Yield each media range with its weight. A range with an invalid weight is ignored."""
    for part in accept.lower().split(","):
        media_range, *parameters = (piece.strip() for piece in part.split(";"))
        weight = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        if _WEIGHT.fullmatch(weight):
            yield media_range, float(weight)


def _preference(media_type: str, ranges: Mapping[str, float]) -> tuple[float, int]:
    """Return the weight of the most specific matching range, and how specific it is (0 to 2)."""
    family = media_type.split("/")[0]
    for specificity, name in ((2, media_type), (1, f"{family}/*"), (0, "*/*")):
        if name in ranges:
            return ranges[name], specificity
    return 0.0, 0


def _invalid(location: str, message: str) -> ValidationFailed:
    return ValidationFailed(message, errors=[Fault(location=location, message=message)])


def _safe_stem(name: str) -> str:
    """Return the media's name without folders, extension, and characters that file names cannot contain."""
    last = re.split(r"[/\\]", name)[-1].rpartition(".")
    stem = "".join(c for c in (last[0] or last[2]) if c.isprintable() and c not in '<>:"|?*')
    return stem.strip(" .")[:MAX_FILE_NAME_CHARACTERS] or "result"
