"""Programs that `test_e2e_outbound_traffic.py` runs in a network trap: `python -m … NAME FILE`.

Each stays for a while after its work, because a library may send what it has gathered only then.
"""

import socket
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

LINGER_SECONDS = 15
"""Seconds to wait at the end. onnxruntime 1.32 contacts its vendor ten seconds after the first model is loaded."""
LONG_LINGER_SECONDS = 60
"""The same on a busy machine."""


def talkative(_: Path) -> None:
    """Look a name up and connect to its address, as a library that sends usage data would."""
    with suppress(OSError), socket.create_connection(("usage.example.com", 443), timeout=1):
        pass


def session(_: Path) -> None:
    """Load a model with onnxruntime alone, without this project."""
    import onnxruntime
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "graph", ends[:1], ends[1:])
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)])
    loaded = onnxruntime.InferenceSession(model.SerializeToString())
    time.sleep(LONG_LINGER_SECONDS)
    del loaded


def modalities_read(result: Any) -> set[str]:
    """Return the modalities that the windows of all people have: the mouth of a still picture does not speak."""
    windows = [*result.windows, *(window for person in result.people for window in person.windows)]
    return {name for window in windows for name in ("face", "audio", "text") if name not in window.missing}


def predict(file: Path) -> None:
    """Run `python -m ml predict` with the models of the default bundle."""
    from ml.__main__ import main
    from ml.results import Result

    assert main(["predict", str(file), "--json", f"{file}.json", "--summary", f"{file}.png"]) == 0
    result = Result.model_validate_json(Path(f"{file}.json").read_text())
    assert modalities_read(result) == {"face", "audio", "text"}, "a model of the bundle has read nothing"
    time.sleep(LINGER_SECONDS)


def service(file: Path) -> None:
    """Run a gateway and a worker for a job from a web page, with a webhook and traces."""
    from app.client import Client
    from ml.paths import MODEL_STORE
    from tests import cluster
    from tests.e2e.conftest import WEBHOOK_SECRET
    from tests.loopback import Handler, loopback

    def answer(handler: Handler) -> None:
        if handler.path == "/watch":
            handler.reply(200, b"<html><video src='/clip.mp4'></video></html>", Content_Type="text/html")
        elif handler.path == "/clip.mp4":
            handler.reply(200, file.read_bytes(), Content_Type="video/mp4")
        else:  # webhooks and traces
            handler.reply(200)

    with loopback(answer) as server, tempfile.TemporaryDirectory() as folder:
        settings = {
            "model_store": str(MODEL_STORE),
            "egress_allow": "127.0.0.0/8",
            "webhook_secrets": f"local:{WEBHOOK_SECRET}",
            "pages": "true",
            "traces": "true",
        }
        with cluster.running(Path(folder), **settings) as running:
            worker = running.start_worker(worker_kinds="inference,io,live")
            gateway = running.start_gateway()
            running.wait_for_workers()
            with Client(f"http://127.0.0.1:{gateway.port}") as client:
                job = client.submit(url=server.url("/watch"), webhook_url=server.url("/hook"))
                result = client.result(job, timeout=120)
                assert modalities_read(result) == {"face", "audio", "text"}, "a model of the bundle has read nothing"
                cluster.until(lambda: client.deliveries(job).state == "delivered", what="the webhook")
            time.sleep(LINGER_SECONDS)
            for process in (worker, gateway.process):
                process.terminate()
                process.wait()


PROGRAMS: dict[str, Callable[[Path], None]] = {
    "talkative": talkative,
    "session": session,
    "predict": predict,
    "service": service,
}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](Path(sys.argv[2]))
