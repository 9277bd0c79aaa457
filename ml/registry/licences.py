"""Licences of hub models, derived from the tags of their repositories."""

from collections.abc import Iterable

from ml.registry.manifest import Licence

PERMISSIVE = frozenset(
    {
        *("apache-2.0", "mit", "bsd", "bsd-2-clause", "bsd-3-clause", "isc", "unlicense", "zlib", "cc0-1.0"),
        *("cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "openrail", "bigscience-openrail-m"),
    }
)
"""The hub's names of licences that permit commercial use."""


def licence_from_tags(
    tags: Iterable[str], repository: str, name: str | None = None, commercial: bool = False
) -> Licence:
    """Return the licence that the tags state; `name` and `commercial` of the caller take precedence.

    A model without a known licence does not permit commercial use.
    """
    tagged = next((tag.removeprefix("license:") for tag in tags if tag.startswith("license:")), None)
    name = name or tagged or "unknown"
    if commercial:
        return Licence(name=name, commercial=True, note=f"Permitted according to the person who fetched {repository}.")
    if name.lower() in PERMISSIVE:
        return Licence(
            name=name,
            commercial=True,
            note=f"As {repository} is published; its data are not known here.",
        )
    return Licence(name=name, commercial=False, note=f"{repository} states no licence that is known to permit it.")
