"""Licences of what comes from a hub, by the tags of its repository."""

from collections.abc import Iterable

from ml.registry.manifest import Licence

PERMISSIVE = frozenset(
    {
        *("apache-2.0", "mit", "bsd", "bsd-2-clause", "bsd-3-clause", "isc", "unlicense", "zlib", "cc0-1.0"),
        *("cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "openrail", "bigscience-openrail-m"),
    }
)
"""What the hub calls licences that permit commercial use."""


def licence_of_tags(tags: Iterable[str], repository: str, told: str | None = None, commercial: bool = False) -> Licence:
    """`told` and `commercial`: what the caller knows better. A model without a known licence is not for commerce."""
    tagged = next((tag.removeprefix("license:") for tag in tags if tag.startswith("license:")), None)
    name = told or tagged or "unknown"
    if commercial:
        return Licence(name=name, commercial=True, note=f"Whoever fetched {repository} says that this is permitted.")
    if name.lower() in PERMISSIVE:
        return Licence(name=name, commercial=True, note=f"As {repository} is published; its data are not known here.")
    return Licence(name=name, commercial=False, note=f"{repository} names no licence that is known to permit it.")
