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
from ml.registry.classifier import ClassifierRequest, Kind, fetch_classifier
from ml.registry.fetch import Progress, WhisperSource, fetch_whisper
from ml.registry.hub_download import HUB
from ml.registry.store import ModelStore

_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")


def parser(verb: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m ml {verb}", description=__doc__)
    parser.add_argument("kind", choices=["whisper", *get_args(Kind)])
    help_text = "whisper: a size (tiny, small.en, large-v3, turbo, …); OWNER/REPO on the hub"
    parser.add_argument("name", help=help_text)
    parser.add_argument("--revision", default="main", help="branch, tag or commit")
    parser.add_argument("--endpoint", default=os.environ.get("HF_ENDPOINT") or HUB, help="address of the hub")
    parser.add_argument("--store", type=Path, default=MODEL_STORE, help="folder of the model store")
    classifiers = parser.add_argument_group("classifiers (face, audio, text)")
    help_text = "emotions of its labels: a JSON object, or LABEL=EMOTION (LABEL= for none of the seven)"
    classifiers.add_argument("--labels", nargs="+", default=[], metavar="FILE|LABEL=EMOTION", help=help_text)
    classifiers.add_argument("--as", dest="own_name", help="name in the store (default: name of the repository)")
    classifiers.add_argument("--licence", help="licence of the weights, if the repository does not state it")
    classifiers.add_argument("--commercial", action="store_true", help="the licence permits commercial use")
    classifiers.add_argument("--bundle", help="write a bundle of this name that contains the model")
    classifiers.add_argument("--base", default="default", help="bundle that gives the other models (default: default)")
    parser.set_defaults(run=fetch)
    return parser


def fetch(args: argparse.Namespace) -> None:
    """Fetch, with a progress bar on standard error; the next call resumes an interrupted one. Raises FetchFailed."""
    with tqdm(desc=args.name, unit="B", unit_scale=True, unit_divisor=1024) as bar:

        def progress(at_hand: int, total: int) -> None:
            bar.total = total
            bar.update(at_hand - bar.n)

        message = _fetch_whisper(args, progress) if args.kind == "whisper" else _fetch_classifier(args, progress)
    print(message)


def _fetch_whisper(args: argparse.Namespace, progress: Progress) -> str:
    source = WhisperSource.from_name(args.name, args.revision)
    folder = fetch_whisper(source, args.store, progress, args.endpoint)
    return f"{folder} holds {source.repository}; AFFECT_WHISPER_MODEL={source.name} serves it."


def _fetch_classifier(args: argparse.Namespace, progress: Progress) -> str:
    if not _REPOSITORY.fullmatch(args.name):
        raise FetchFailed(f"{args.name!r} is no classifier: name OWNER/REPO on the hub")
    request = ClassifierRequest(
        kind=args.kind,
        repository=args.name,
        name=_name_in_store(args.own_name or args.name.split("/")[-1]),
        revision=args.revision,
        labels=read_labels(args.labels),
        licence=args.licence,
        commercial=args.commercial,
    )
    store = ModelStore(args.store)
    base = store.bundle(args.base) if args.bundle else None
    reference = fetch_classifier(request, store, progress, args.endpoint)
    if base is None:
        return f"{reference} is in the store; --bundle NAME would have named it in a bundle."
    store.write_bundle(base.replacing(args.bundle, args.kind, reference))
    return f"{reference} is in the bundle {args.bundle}; AFFECT_BUNDLE={args.bundle} serves it."


def _name_in_store(name: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:32].rstrip("-")
    if not _NAME.fullmatch(slug):
        raise FetchFailed(f"{name!r} cannot be a name in the store: state one of small letters, digits and - with --as")
    return slug


def read_labels(words: Sequence[str]) -> dict[str, str]:
    """Return label → emotion, read from `LABEL=EMOTION` arguments and JSON files. Raises FetchFailed."""
    labels: dict[str, str] = {}
    for word in words:
        label, sign, emotion = word.rpartition("=")
        if sign:
            labels[label] = emotion
            continue
        try:
            labels |= {str(label): str(emotion or "") for label, emotion in json.loads(Path(word).read_text()).items()}
        except (OSError, ValueError, AttributeError) as error:
            raise FetchFailed(f"{word} is no JSON object of labels and emotions") from error
    return labels
