"""Worker: `python -m workers [--kinds inference,io]`. Further options are those of `celery worker`."""

import argparse
import sys

from pydantic import ValidationError

from workers.process.celery_app import create_worker
from workers.protocol.observability import logs
from workers.protocol.private_files import restrict_folder, restrict_process
from workers.protocol.store.job_store import UnsupportedLayout
from workers.settings import WorkerSettings

DISABLED_FEATURES = ("--without-gossip", "--without-mingle", "--without-heartbeat")
"""Celery's own exchange between workers, which the worker registry replaces. Without it a worker starts sooner."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m workers", add_help=False, allow_abbrev=False)
    parser.add_argument(
        "--kinds", help="what this worker does, comma-separated: inference, io, live (default: AFFECT_WORKER_KINDS)"
    )
    own, celery_options = parser.parse_known_args()
    try:
        settings = WorkerSettings(**({"worker_kinds": own.kinds} if own.kinds is not None else {}))
    except ValidationError as error:
        sys.exit(str(error))
    logs.configure("worker", settings)
    restrict_process()
    for folder in (settings.data_dir, settings.scratch):
        restrict_folder(folder)
    try:
        celery = create_worker(settings)
    except UnsupportedLayout as error:
        sys.exit(error.message)
    celery.worker_main(["--quiet", "worker", *DISABLED_FEATURES, *celery_options])


if __name__ == "__main__":
    main()
