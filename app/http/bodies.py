"""JSON bodies, read within limits of bytes and time.

FastAPI reads and parses the body that a route declares before it solves the route's dependencies, which means before
the key is checked. Routes with a JSON body use `app.dependencies.json_body` instead, which reads the body once the
caller is known. A test holds that no route declares a body.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from app.errors import Fault, ValidationFailed, describe_faults, faults_from
from ml.errors import FileTooLarge

MAX_BODY_BYTES = 65_536
"""Maximum bytes of a JSON body."""
BODY_TIMEOUT_SECONDS = 15.0
"""Seconds in which a whole JSON body must arrive."""

Model = TypeVar("Model", bound=BaseModel)


async def read_json(request: Request, model: type[Model], required: bool = True) -> Model:
    """Read and parse a JSON body. pydantic's parser bounds its depth. A request without a body is `{}` unless the body
    is required.

    Raises FileTooLarge after `MAX_BODY_BYTES`, whatever the headers declared; ValidationFailed if the body is not JSON,
    is invalid, or does not arrive in time.
    """
    if not required and _has_no_body(request):
        return model()
    body = await read_json_bytes(request, MAX_BODY_BYTES)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        faults = faults_from(error, "body")
        raise ValidationFailed(describe_faults(faults), errors=faults) from error


async def read_json_bytes(request: Request, max_bytes: int) -> bytes:
    """Read a body that is declared as JSON, unparsed. Raises FileTooLarge and ValidationFailed as `read_json`."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise ValidationFailed("The body must be application/json.", errors=[_fault("Send application/json.")])
    try:
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            return await _read(request, max_bytes)
    except TimeoutError as error:
        raise ValidationFailed(f"The body did not arrive within {BODY_TIMEOUT_SECONDS:g} seconds.") from error


def json_request_body(model: type[BaseModel], required: bool = True) -> dict[str, Any]:
    """Return the `openapi_extra` of a route whose body is read by `read_json`."""
    content = {"application/json": {"schema": body_schema(model)}}
    return {"requestBody": {"required": required, "content": content}}


def body_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema of a body without references: the OpenAPI document lacks the parts of models that only
    bodies have."""
    schema = model.model_json_schema()
    return dict(_without_references(schema, schema.pop("$defs", {})))


def _without_references(node: Any, definitions: Mapping[str, Any]) -> Any:
    """Return a schema with its definitions in place of the references to them, which hold only at its top."""
    if isinstance(node, dict):
        if "$ref" in node:
            return _without_references(definitions[node["$ref"].rpartition("/")[2]], definitions)
        return {name: _without_references(value, definitions) for name, value in node.items()}
    return [_without_references(each, definitions) for each in node] if isinstance(node, list) else node


def _has_no_body(request: Request) -> bool:
    return request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers


async def _read(request: Request, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise FileTooLarge(f"The body has more than {max_bytes} bytes.")
    return bytes(body)


def _fault(message: str) -> Fault:
    return Fault(location="header.content-type", message=message)
