"""Human ratings of a result: corrections and comments, import from annotation tools, and agreement."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from app.dependencies import Owner, RatingsDep
from app.errors import ValidationFailed
from app.http.bodies import body_schema, read_json
from app.http.multipart import parse_boundary
from app.http.uploads import UploadForm, UploadLimits, UploadReader
from app.routes.jobs import JobId
from app.schemas import CALLER_ERRORS, problem_responses
from app.services.jobs import LOOKUP_ERRORS, RESULT_ERRORS
from app.services.ratings import RatingList, RatingReceipt, RatingRequest
from ml.errors import FileTooLarge, MediaInvalid, UnsupportedRatings
from ml.ratings.agreement import DEFAULT_STEP_SECONDS, AgreementReport
from ml.ratings.annotations import ACCEPTED, MAX_BYTES
from ml.ratings.importing import ImportChoice
from ml.ratings.rating import MAX_NAME_CHARACTERS
from workers.protocol.blobs.storage_backend import StorageError, StorageFull

MAX_TIERS = 16
_UPLOAD_IDLE_SECONDS = 30.0

router = APIRouter(
    prefix="/v1/jobs/{job_id}",
    tags=["ratings"],
    responses=problem_responses(*CALLER_ERRORS, *LOOKUP_ERRORS, StorageError),
)

_LIMITS = UploadLimits(
    max_file_bytes=MAX_BYTES,
    max_files=1,
    max_field_bytes={"rater": 4 * MAX_NAME_CHARACTERS, "person": 8, "tier": 1024},
    max_repeats=MAX_TIERS,
    idle_seconds=_UPLOAD_IDLE_SECONDS,
)
_EXAMPLE = {"rater": "Ann", "ratings": [{"target": "window", "start": 0.0, "end": 4.0, "emotion": "happy"}]}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": body_schema(RatingRequest), "example": _EXAMPLE},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": f"{ACCEPTED}. The content decides, not the name. A table may have the "
                            "columns `rater`, `person` and `comment` too.",
                        },
                        "rater": {
                            "type": "string",
                            "pattern": r"^[^\x00-\x1f]*[^\x00-\x1f\s][^\x00-\x1f]*$",
                            "maxLength": MAX_NAME_CHARACTERS,
                            "description": "Name of the rater. Default: the annotator that the file names, else the "
                            "name of the tier.",
                        },
                        "person": {
                            "type": "integer",
                            "minimum": 1,
                            "maximum": 1_000_000,
                            "description": "Person who is rated. Default: the participant that the file names, if a "
                            "person has that name or number.",
                        },
                        "tier": {
                            "type": "array",
                            "maxItems": MAX_TIERS,
                            "items": {"type": "string", "minLength": 1, "maxLength": 256},
                            "description": "Names of the tiers to import. Default: all; what names no emotion is left "
                            "out.",
                        },
                    },
                },
            },
        },
    }
}


@router.post(
    "/ratings",
    status_code=201,
    openapi_extra=_BODY,
    responses=problem_responses(
        *RESULT_ERRORS, ValidationFailed, FileTooLarge, MediaInvalid, UnsupportedRatings, StorageFull
    ),
)
async def add_ratings(request: Request, job_id: JobId, ratings: RatingsDep, owner: Owner) -> RatingReceipt:
    """Add ratings of people: JSON for corrections and comments of one rater, a form for a file of an annotation tool.

    They are stored with the result, which stays as it is. A rating of the same thing by the same rater replaces the
    earlier one.
    """
    content_type = request.headers.get("content-type", "")
    if content_type.lower().startswith("multipart/"):
        data, choice = await _read_form(request, content_type)
        return await ratings.add_file(owner, job_id, data, choice)
    given = await read_json(request, RatingRequest)
    return await ratings.add(owner, job_id, given.rater, given.ratings)


@router.get("/ratings", responses=problem_responses(ValidationFailed))
async def list_ratings(
    job_id: JobId,
    ratings: RatingsDep,
    owner: Owner,
    rater: Annotated[
        str | None, Query(min_length=1, max_length=MAX_NAME_CHARACTERS, description="Only those of this rater.")
    ] = None,
) -> RatingList:
    """List the ratings of a job."""
    return await ratings.list_ratings(owner, job_id, rater)


@router.delete("/ratings", status_code=204, responses=problem_responses(ValidationFailed))
async def delete_ratings(
    job_id: JobId,
    ratings: RatingsDep,
    owner: Owner,
    rater: Annotated[
        str | None, Query(min_length=1, max_length=MAX_NAME_CHARACTERS, description="Only those of this rater.")
    ] = None,
    rating: Annotated[str | None, Query(min_length=1, max_length=64, description="Only the one with this id.")] = None,
) -> None:
    """Delete ratings: those of a rater, one, or all."""
    await ratings.delete(owner, job_id, rater, rating)


@router.get("/agreement", responses=problem_responses(*RESULT_ERRORS, MediaInvalid, ValidationFailed))
async def get_agreement(
    job_id: JobId,
    ratings: RatingsDep,
    owner: Owner,
    step: Annotated[float, Query(ge=0.1, le=60, description="Seconds of a unit of time.")] = DEFAULT_STEP_SECONDS,
) -> AgreementReport:
    """Return how far the raters of a job agree, with each other and with the model, over all emotions, for each
    emotion, and for each person."""
    return await ratings.agreement(owner, job_id, step)


async def _read_form(request: Request, content_type: str) -> tuple[bytes, ImportChoice]:
    """Return the file of a form, and what its fields say of it. Raises ValidationFailed, FileTooLarge, MediaInvalid."""
    sink = _MemorySink()
    async with UploadReader(_LIMITS, lambda: sink, _check_field, detect_format=lambda head, name: "file") as reader:
        form = await reader.read(request.stream(), parse_boundary(content_type))
        reader.commit()
    if not form.files:
        raise ValidationFailed("Send a file in the field `file`.")
    return bytes(sink.content), _choice(form)


def _choice(form: UploadForm) -> ImportChoice:
    person = form.single("person")
    return ImportChoice(form.single("rater"), int(person) if person else None, form.fields.get("tier", ()))


async def _check_field(name: str, value: str) -> None:
    if name == "person" and not (value.isascii() and value.isdigit() and 1 <= int(value) <= 1_000_000):
        raise ValidationFailed("The field person must be the number of a person.")
    if name == "rater" and not (value.strip() and len(value.strip()) <= MAX_NAME_CHARACTERS and value.isprintable()):
        raise ValidationFailed(f"The field rater must be a name of 1 to {MAX_NAME_CHARACTERS} characters.")


class _MemorySink:
    """Sink that keeps a small file."""

    def __init__(self) -> None:
        self.content = bytearray()

    async def write(self, data: bytes) -> None:
        self.content += data

    async def close(self) -> None:
        pass

    async def discard(self) -> None:
        self.content.clear()
