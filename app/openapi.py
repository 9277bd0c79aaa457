"""The OpenAPI document, where it must say more or less than FastAPI would."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from starlette.routing import compile_path

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


class OpenApiDocument:
    """Made once, at the first call."""

    def __init__(self, app: FastAPI) -> None:
        self._make = app.openapi
        self._made: dict[str, Any] = {}

    def __call__(self) -> dict[str, Any]:
        if not self._made:
            made = self._make()
            for parameter in _parameters(made):
                parameter["schema"] = _without_null(parameter["schema"])
            self._made = made
        return self._made

    def allowed_methods(self, path: str) -> tuple[str, ...]:
        """Those that a path of the API knows, for `Allow`; none where it knows none."""
        for template, item in self()["paths"].items():
            if compile_path(template)[0].match(path):
                return tuple(sorted(name.upper() for name in item if name in _METHODS))
        return ()


def _parameters(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for item in document["paths"].values():
        for operation in item.values():
            yield from operation.get("parameters", ())


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """What a header or a query can leave out, it cannot send as null."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    return {**{name: value for name, value in schema.items() if name != "anyOf"}, **kinds[0]}
