"""The OpenAPI document: FastAPI's, with the corrections that this API needs."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from starlette.routing import compile_path

PUBLISHED_SCHEMA_NAMES = {
    "DeliveryAttempt": "Attempt",
    "EventError": "NoticeError",
    "EventLinks": "NoticeLinks",
    "JobEvent": "JobNotice",
    "JobEventData": "JobEnd",
}
"""Schemas that the document publishes under another name than their class. Their names are part of the contract."""
_REFERENCE = "#/components/schemas/"
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


class OpenApiDocument:
    """Replacement of `FastAPI.openapi`. The document is generated at the first call."""

    def __init__(self, app: FastAPI) -> None:
        self._generate = app.openapi
        self._document: dict[str, Any] = {}

    def __call__(self) -> dict[str, Any]:
        if not self._document:
            document = self._generate()
            for parameter in _parameters(document):
                parameter["schema"] = _without_null(parameter["schema"])
            schemas = document["components"]["schemas"]
            for name, published in PUBLISHED_SCHEMA_NAMES.items():
                schemas[published] = {**schemas.pop(name), "title": published}
            _publish_references(document)
            self._document = document
        return self._document

    def allowed_methods(self, path: str) -> tuple[str, ...]:
        """Return the methods of a path, for `Allow`; empty if the API has no such path."""
        for template, item in self()["paths"].items():
            if compile_path(template)[0].match(path):
                return tuple(sorted(name.upper() for name in item if name in _METHODS))
        return ()


def _parameters(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for item in document["paths"].values():
        for operation in item.values():
            yield from operation.get("parameters", ())


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Remove null from the type of an optional parameter: headers and queries are omitted, they cannot be null."""
    types = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
    if len(types) != 1:
        return schema
    return {**{name: value for name, value in schema.items() if name != "anyOf"}, **types[0]}


def _publish_references(node: Any) -> None:
    """Replace the names of `PUBLISHED_SCHEMA_NAMES` in all references below a node."""
    if isinstance(node, dict):
        if isinstance(reference := node.get("$ref"), str):
            name = reference.removeprefix(_REFERENCE)
            node["$ref"] = _REFERENCE + PUBLISHED_SCHEMA_NAMES.get(name, name)
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            _publish_references(child)
