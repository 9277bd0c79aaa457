"""Runs a worker: `python -m workers [--kinds inference,io]`. Further options are those of `celery worker`."""

import argparse
import sys

from pydantic import ValidationError

from workers.process.celery_app import create_worker
from workers.protocol.observability import logs
from workers.settings import WorkerSettings

SPARED = ("--without-gossip", "--without-mingle", "--without-heartbeat")
"""What Celery's workers tell each other: the roster says it better, and the start need not wait for answers."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m workers", add_help=False, allow_abbrev=False)
    parser.add_argument("--kinds")
    own, further = parser.parse_known_args()
    try:
        settings = WorkerSettings(**({"worker_kinds": own.kinds} if own.kinds is not None else {}))
    except ValidationError as error:
        sys.exit(str(error))
    logs.set_up("worker", settings)
    create_worker(settings).worker_main(["--quiet", "worker", *SPARED, *further])


if __name__ == "__main__":
    main()
