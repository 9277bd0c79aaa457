"""The real worker, but a stage waits, or kills the process, while a file in `AFFECT_DATA_DIR/hold` says so.

`<stage>` there: whoever comes to that stage writes its process id into it and stands still until it is gone.
`<stage>.all`: everybody who comes there does so. `<stage>.kill`: whoever comes there is killed at once.
"""

import os
import signal
import time
from pathlib import Path

from ml.vocabulary import Stage
from workers.__main__ import main
from workers.jobs.lease import Lease
from workers.settings import WorkerSettings


def wait_while_there(lease: Lease, file: Path) -> None:
    while file.exists():
        lease.check()
        time.sleep(0.02)


def hold() -> None:
    folder = WorkerSettings().data_dir / "hold"
    begin = Lease.stage

    def held(self: Lease, stage: Stage) -> None:
        begin(self, stage)
        file = folder / stage
        if (folder / f"{stage}.kill").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        if file.exists() and not file.read_text():
            file.write_text(str(os.getpid()))
            wait_while_there(self, file)
        wait_while_there(self, folder / f"{stage}.all")

    Lease.stage = held  # type: ignore[method-assign]


if __name__ == "__main__":
    hold()
    main()
