"""`python -m ml fetch`: weights from a hub into the model store."""

import argparse
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from tqdm import tqdm

from ml.errors import FetchFailed
from ml.paths import MODEL_STORE
from ml.registry.classifier import Asked, Kind, fetch_classifier
from ml.registry.fetch import Progress, Source, fetch_whisper
from ml.registry.hub_download import HUB
from ml.registry.store import ModelStore

_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")


def parser(verb: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m ml {verb}", description=__doc__)
    parser.add_argument("kind", choices=["whisper", *get_args(Kind)])
    told = "whisper: a size (tiny, small.en, large-v3, turbo, …); OWNER/REPO on the hub"
    parser.add_argument("name", help=told)
    parser.add_argument("--revision", default="main", help="a branch, tag or commit")
    parser.add_argument("--endpoint", default=os.environ.get("HF_ENDPOINT") or HUB)
    parser.add_argument("--store", type=Path, default=MODEL_STORE)
    classifiers = parser.add_argument_group("classifiers (face, audio, text)")
    told = "what its labels mean: a JSON object, or theirs=ours (theirs= for none of the seven)"
    classifiers.add_argument("--labels", nargs="+", default=[], metavar="FILE|THEIRS=OURS", help=told)
    classifiers.add_argument("--as", dest="own_name", help="its name in the store; by default that of the repository")
    classifiers.add_argument("--licence", help="of the weights, where the repository does not tell it")
    classifiers.add_argument("--commercial", action="store_true", help="the licence permits commercial use")
    classifiers.add_argument("--bundle", help="write this bundle, with the model in it")
    classifiers.add_argument("--base", default="default", help="the bundle that gives the other models")
    parser.set_defaults(run=fetch)
    return parser


def fetch(args: argparse.Namespace) -> None:
    """With a bar on standard error; an interrupted download is gone on with next time. Raises FetchFailed."""
    with tqdm(desc=args.name, unit="B", unit_scale=True, unit_divisor=1024) as bar:

        def progress(at_hand: int, total: int) -> None:
            bar.total = total
            bar.update(at_hand - bar.n)

        told = _whisper(args, progress) if args.kind == "whisper" else _classifier(args, progress)
    print(told)


def _whisper(args: argparse.Namespace, progress: Progress) -> str:
    source = Source.of(args.name, args.revision)
    folder = fetch_whisper(source, args.store, progress, args.endpoint)
    return f"{folder} holds {source.repository}; AFFECT_WHISPER_MODEL={source.name} serves it."


def _classifier(args: argparse.Namespace, progress: Progress) -> str:
    asked = Asked(
        kind=args.kind,
        repository=_repository(args.name),
        name=_own_name(args.own_name or args.name.split("/")[-1]),
        revision=args.revision,
        labels=read_labels(args.labels),
        licence=args.licence,
        commercial=args.commercial,
    )
    store = ModelStore(args.store)
    base = store.bundle(args.base) if args.bundle else None
    reference = fetch_classifier(asked, store, progress, args.endpoint)
    if base is None:
        return f"{reference} is in the store; --bundle NAME would have named it in a bundle."
    store.write_bundle(base.beside(args.bundle, args.kind, reference))
    return f"{reference} is in the bundle {args.bundle}; AFFECT_BUNDLE={args.bundle} serves it."


def _repository(name: str) -> str:
    if not _REPOSITORY.fullmatch(name):
        raise FetchFailed(f"{name!r} is no classifier: name OWNER/REPO on the hub")
    return name


def _own_name(name: str) -> str:
    own = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:32].rstrip("-")
    if not _NAME.fullmatch(own):
        raise FetchFailed(f"{name!r} is no name for the store: tell one with --as, of small letters, digits and -")
    return own


def read_labels(words: Sequence[str]) -> dict[str, str]:
    """Their labels → ours, from `theirs=ours` and JSON files. Raises FetchFailed."""
    found: dict[str, str] = {}
    for word in words:
        theirs, sign, ours = word.rpartition("=")
        if sign:
            found[theirs] = ours
            continue
        try:
            found |= {str(label): str(emotion or "") for label, emotion in json.loads(Path(word).read_text()).items()}
        except (OSError, ValueError, AttributeError) as error:
            raise FetchFailed(f"{word} is no JSON object of their labels to ours") from error
    return found
