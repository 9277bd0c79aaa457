"""Typed configuration of commands: a frozen dataclass is the one source of its flags, their help and their defaults."""

import argparse
from collections.abc import Callable, Iterable
from dataclasses import MISSING, Field, field, fields
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

ConfigT = TypeVar("ConfigT")


def option(
    *,
    help: str,
    default: Any = MISSING,
    flag: str | None = None,
    alias: str | None = None,
    metavar: str | tuple[str, ...] | None = None,
    choices: Iterable[Any] | None = None,
    nargs: str | None = None,
    group: str | None = None,
) -> Any:
    """Return a dataclass field that is also a command line option.

    Its type follows from the annotation: `bool` is a switch, a `Literal` a choice, `tuple[T, ...]` takes any number of
    values, `tuple[T, T]` exactly two. Without a default the option is required.

    Args:
        flag: Spelling on the command line; by default the name of the field. Without dashes it is positional.
        alias: Earlier spelling, which is accepted but not listed.
        nargs: As argparse has it, if it does not follow from the annotation.
        group: Name of the group of which exactly one option has to be given.
    """
    metadata = {"help": help, "flag": flag, "alias": alias, "metavar": metavar, "nargs": nargs, "group": group}
    return field(default=default, metadata=metadata | {"choices": None if choices is None else tuple(choices)})


def with_default(config_type: type[Any], name: str, default: Any) -> Any:
    """Return the option `name` of a base configuration with another default, for a subclass."""
    inherited = next(each for each in fields(config_type) if each.name == name)
    return field(default=default, metadata=inherited.metadata)


def add_options(parser: argparse.ArgumentParser, config_type: type[Any]) -> None:
    """Add an argument for each field of the configuration."""
    hints = get_type_hints(config_type)
    groups: dict[str, argparse._MutuallyExclusiveGroup] = {}
    for each in fields(config_type):
        group = each.metadata["group"]
        if group and group not in groups:
            groups[group] = parser.add_mutually_exclusive_group(required=True)
        _add_option(groups[group] if group else parser, each, hints[each.name])


def from_args(config_type: type[ConfigT], args: argparse.Namespace) -> ConfigT:
    """Return the configuration that the parsed arguments describe. Lists become tuples."""
    values = {each.name: getattr(args, each.name) for each in fields(config_type)}  # type: ignore[arg-type]
    return config_type(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def bind(parser: argparse.ArgumentParser, config_type: type[ConfigT], run: Callable[[ConfigT], None]) -> None:
    """Add the options to the parser, and let its command call `run` with the configuration."""
    add_options(parser, config_type)
    parser.set_defaults(run=lambda args: run(from_args(config_type, args)))


def changed_options(config: Any) -> list[str]:
    """Return the names of the fields that do not have their default."""
    return [each.name for each in fields(config) if getattr(config, each.name) != each.default]


def command_words(config: Any, names: Iterable[str]) -> list[str]:
    """Return the command line words that set the named fields as the configuration has them."""
    known = {each.name: each for each in fields(config)}
    words: list[str] = []
    for name in names:
        value = getattr(config, name)
        if value is True:
            words.append(_flag(known[name]))
        elif value is not False:
            words += [_flag(known[name]), *map(str, value if isinstance(value, tuple | list) else (value,))]
    return words


def _flag(each: Field[Any]) -> str:
    return each.metadata["flag"] or f"--{each.name.replace('_', '-')}"


def _add_option(target: argparse._ActionsContainer, each: Field[Any], hint: Any) -> None:
    metadata, flag = each.metadata, _flag(each)
    kind = _argument_kind(hint) | {
        name: metadata[name] for name in ("choices", "metavar", "nargs") if metadata[name] is not None
    }
    if not flag.startswith("-"):
        target.add_argument(each.name, help=metadata["help"], **kind)
        return
    if metadata["group"] or each.default is not MISSING:
        kind["default"] = None if each.default is MISSING else each.default
    else:
        kind["required"] = True
    target.add_argument(flag, dest=each.name, help=metadata["help"], **kind)
    if metadata["alias"]:
        kind["default"] = argparse.SUPPRESS
        target.add_argument(metadata["alias"], dest=each.name, help=argparse.SUPPRESS, **kind)


def _argument_kind(hint: Any) -> dict[str, Any]:
    """Return how argparse reads a value of the annotated type."""
    if hint is bool:
        return {"action": "store_true"}
    if NoneType in get_args(hint):
        (hint,) = (each for each in get_args(hint) if each is not NoneType)
    if get_origin(hint) is tuple:
        element, *others = get_args(hint)
        count = "*" if Ellipsis in others else 1 + len(others)
        return _argument_kind(element) | {"nargs": count}
    if get_origin(hint) is Literal:
        return {"choices": get_args(hint)}
    return {"type": hint}
