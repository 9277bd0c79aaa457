"""Generates the client's models from the OpenAPI document.

The client must understand newer services, so that its models are more tolerant than the document: unknown fields are
kept, enumerations become strings, fields that can be null may be missing. The tables below list the exceptions.
"""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from app.main import create_app
from app.settings import Settings

ROOTS = (
    *("Job", "JobList", "Change", "ArtifactList", "DeliveryLog", "ModelList", "Result"),
    *("RatingList", "RatingReceipt", "AgreementReport"),
)
"""Schemas that the client parses. Their parts follow from them."""
BASES = {"Window": "Reading"}
"""Models that extend another one, and the model that they extend."""
TYPES = {
    "Job.options": "dict[str, Any]",
    "Job.links": "dict[str, str | None]",
    "Job.status": "JobStatus",
    "Change.status": 'JobStatus | Literal["deleted"]',
    "DeliveryLog.state": 'Literal["none", "pending", "delivered", "failed"]',
    "Media.kind": 'Literal["image", "audio", "video"]',
    "Model.metrics": "dict[str, Any]",
    "Model.licence": "dict[str, Any] | None",
}
"""Types that differ from those of the schema."""
DEFAULTS = {
    "Change.progress": "0.0",
    "Job.links": "Field(default_factory=dict)",
    "Job.options": "Field(default_factory=dict)",
    "Job.progress": "0.0",
    "Job.tags": "()",
    "Problem.type": '"about:blank"',
}
"""Defaults of fields that the schema requires."""
KEYWORDS = frozenset({"from"})
"""Names of fields that Python does not allow; the model's field ends in an underscore."""
EXTRA_FIELDS = {"Change": 'id: str\n"""Id of the event, from which reading can be resumed."""\n'}
"""Fields in addition to those of the schema."""
EXTRA_METHODS = {
    "Job": (
        "@property\n"
        "def ended(self) -> bool:\n"
        '    """Whether the job has succeeded, failed or been cancelled."""\n'
        '    return self.status not in ("queued", "running")\n'
    ),
}
"""Methods and properties of models."""

_WIDTH = 116
_SCALARS = {"string": "str", "number": "float", "integer": "int", "boolean": "bool"}


def generate() -> str:
    """Return the module with the models, not formatted."""
    document = create_app(Settings()).openapi()
    schemas: dict[str, Any] = document["components"]["schemas"] | {"Change": _event_schema(document)}
    statuses = ", ".join(f'"{status}"' for status in schemas["Job"]["properties"]["status"]["enum"])
    lines = [
        '"""Models of what the service sends. Generated from its OpenAPI document: do not edit (`make generate`)."""',
        "",
        "from datetime import datetime",
        "from typing import Any, Literal",
        "",
        "from pydantic import Field",
        "",
        "from .model_base import ApiModel",
        "",
        f"JobStatus = Literal[{statuses}]",
    ]
    for name in _in_order(schemas):
        lines += ["", "", *_class(name, schemas[name], schemas.get(BASES.get(name, ""), {}))]
    return "\n".join(lines) + "\n"


def _event_schema(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of the data of a server-sent event."""
    events = document["paths"]["/v1/jobs/{job_id}/events"]["get"]["responses"]["200"]
    schema: dict[str, Any] = events["content"]["text/event-stream"]["schema"]["properties"]["data"]["contentSchema"]
    return schema


def _in_order(schemas: Mapping[str, Any]) -> list[str]:
    """Return the names of all schemas that `ROOTS` need, each after its parts."""
    ordered: list[str] = []

    def visit(name: str) -> None:
        if name in ordered:
            return
        if name in BASES:
            visit(BASES[name])
        for field, schema in schemas[name]["properties"].items():
            if f"{name}.{field}" not in TYPES:
                for part in _references(schema):
                    visit(part)
        ordered.append(name)

    for root in ROOTS:
        visit(root)
    return ordered


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema["$ref"].rpartition("/")[2]
        for child in schema.values():
            yield from _references(child)
    elif isinstance(schema, list):
        for child in schema:
            yield from _references(child)


def _class(name: str, schema: Mapping[str, Any], base: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a model. `base`: the schema that it extends, if any."""
    yield f"class {name}({BASES.get(name, 'ApiModel')}):"
    yield from _docstring(schema["description"])
    yield ""
    yield from textwrap.indent(EXTRA_FIELDS.get(name, ""), "    ").splitlines()
    required = schema.get("required", ())
    inherited = base.get("properties", {})
    for field, field_schema in schema["properties"].items():
        if inherited.get(field) == field_schema:
            continue
        key = f"{name}.{field}"
        annotation = TYPES.get(key) or _type(field_schema)
        default = DEFAULTS.get(key) or _default(field_schema, field in required)
        if field in KEYWORDS:
            arguments = [*([default] if default else []), f'alias="{field}"']
            yield f"    {field}_: {annotation} = Field({', '.join(arguments)})"
        else:
            yield f"    {field}: {annotation}" + (f" = {default}" if default else "")
        if description := field_schema.get("description"):
            yield from _docstring(description)
    if name in EXTRA_METHODS:
        yield ""
        yield from textwrap.indent(EXTRA_METHODS[name], "    ").splitlines()


def _docstring(text: str) -> Iterator[str]:
    paragraphs = [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
    first, *rest = textwrap.wrap(f'"""{paragraphs[0]}', _WIDTH)
    lines = [first, *rest]
    for paragraph in paragraphs[1:]:
        lines += ["", *textwrap.wrap(paragraph, _WIDTH)]
    if len(paragraphs) > 1:
        lines.append('"""')
    elif len(lines[-1]) + 3 <= _WIDTH:
        lines[-1] += '"""'
    else:
        *lines, last = lines
        head, _, word = last.rpartition(" ")
        lines += [head, f'{word}"""']
    return (f"    {line}" if line else "" for line in lines)


def _type(schema: Mapping[str, Any]) -> str:
    """Return the Python type of a JSON schema."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " | ".join(_type(choice) for choice in schema["anyOf"])
    kind = schema.get("type")
    if kind == "null":
        return "None"
    if kind == "string" and schema.get("format") == "date-time":
        return "datetime"
    if kind == "array":
        if "prefixItems" in schema:
            return f"tuple[{', '.join(map(_type, schema['prefixItems']))}]"
        return f"tuple[{_type(schema['items'])}, ...]"
    if kind == "object":
        values = schema.get("additionalProperties", True)
        return "dict[str, Any]" if values is True else f"dict[str, {_type(values)}]"
    return _SCALARS[kind] if kind else "Any"


def _default(schema: Mapping[str, Any], required: bool) -> str:
    """Return the default of a field as Python code, "" if it has none."""
    if {"type": "null"} in schema.get("anyOf", ()):
        return "None"
    if required or "default" not in schema:
        return ""
    empty = {"[]": "()", "{}": "Field(default_factory=dict)"}
    default = repr(schema["default"])
    return empty.get(default, default)
