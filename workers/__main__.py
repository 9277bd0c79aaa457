"""Runs a worker: `python -m workers`. Further options are those of `celery worker`."""

import sys

from workers.main import celery

SPARED = ("--without-gossip", "--without-mingle", "--without-heartbeat")
"""What Celery's workers tell each other: the roster says it better, and the start need not wait for answers."""


def main() -> None:
    celery.worker_main(["worker", *SPARED, *sys.argv[1:]])


if __name__ == "__main__":
    main()
