"""The deployment, for real: `make deploy-test`. Not part of the test suite.

Builds the images of the CPU profile, brings the profile up under a project of its own, posts a clip, a photo, a link
with a webhook and a live stream; kills a worker, scales, upgrades, backs up, restores by the commands of OPERATIONS.md,
takes everything down, and looks that nothing is left. Media are made with ffmpeg. Needs a Docker engine; without one,
`make deploy-test` starts its own (engine.sh), which needs root.

Prints a line with the time of each step. The exit status is 1 at the first step that fails, after the logs.
"""

import argparse
import base64
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from app.client.client import Client
from app.client.models import Job
from app.client.webhooks import verify
from tests import media_files
from tests.live_client import LiveClient, jpeg

ROOT = Path(__file__).parents[2]
PROJECT = "affect-deploy-test"
FIRST, NEXT = "deploy-test", "deploy-test-next"
PORT, GRAFANA_PORT, PEER_PORT = 18080, 18030, 18081
PEER_NETWORK = "172.28.77.0/24"
JOB_SECONDS = 300.0
UP_SECONDS = 600


class StepFailed(Exception):
    """A step that did not end as it should."""


def require(holds: object, message: str) -> None:
    """Raise StepFailed unless `holds`."""
    if not holds:
        raise StepFailed(message)


def until(holds: Callable[[], Any], seconds: float, what: str) -> Any:
    """Return what `holds` returns once it is true. Raises StepFailed."""
    deadline = time.monotonic() + seconds
    while not (value := holds()):
        require(time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s")
        time.sleep(0.25)
    return value


def run(*command: str | Path, **options: Any) -> str:
    """Run a program and return what it prints. Raises StepFailed with its errors."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, **options)
    require(done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def operations_commands() -> tuple[str, str]:
    """Return the commands of OPERATIONS.md that back up and restore."""
    page = (ROOT / "docker" / "OPERATIONS.md").read_text()
    section = page.partition("## Back-up and restore")[2].partition("\n## ")[0]
    back_up, restore = re.findall(r"```\n(.*?)```", section, re.DOTALL)
    return back_up, restore


class Deployment:
    """The project under test, in a folder with a copy of the deployment files and secrets of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("docker-compose.yml", "docker"):
            source = ROOT / name
            ignored = shutil.ignore_patterns("secrets")
            shutil.copytree(source, folder / name, ignore=ignored) if source.is_dir() else shutil.copy(source, folder)
        shutil.copy(ROOT / "tests" / "deploy" / "compose.yml", folder / "docker-compose.override.yml")
        (folder / "peer" / "media").mkdir(parents=True)
        shutil.copy(ROOT / "tests" / "deploy" / "peer.py", folder / "peer")
        self.environment = os.environ | {
            "COMPOSE_PROJECT_NAME": PROJECT,
            "COMPOSE_PROFILES": "cpu",
            "COMPOSE_PROGRESS": "quiet",
            "AFFECT_IMAGE": os.environ.get("AFFECT_IMAGE", "affect"),
            "AFFECT_VERSION": FIRST,
            "AFFECT_FIRST_VERSION": FIRST,
            "AFFECT_BIND": "127.0.0.1",
            "AFFECT_PORT": str(PORT),
            "GRAFANA_PORT": str(GRAFANA_PORT),
            "PEER_PORT": str(PEER_PORT),
            "PEER_NETWORK": PEER_NETWORK,
            "AFFECT_EGRESS_ALLOW": PEER_NETWORK,
        }
        said = run("bash", "docker/secrets.sh", "ann", cwd=folder)
        self.key = said.strip().rpartition(" ")[2]
        self.webhook_secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        (folder / "docker" / "secrets" / "webhook_secrets").write_text(f"ann:{self.webhook_secret}\n")
        self.services: tuple[str, ...] = ()
        """Services under test."""

    @cached_property
    def _config(self) -> Path:
        """Folder of the Docker client's settings with Compose as a plugin, if `docker compose` is not installed."""
        folder = self.folder / "client"
        (folder / "cli-plugins").mkdir(parents=True)
        (folder / "cli-plugins" / "docker-compose").symlink_to(Path(sys.executable).parent / "docker-compose")
        return folder

    def find_compose(self) -> str:
        """Take the installed Docker Compose, or the one of the virtual environment; return its version."""
        if subprocess.run(["docker", "compose", "version"], capture_output=True).returncode:
            self.environment["DOCKER_CONFIG"] = str(self._config)
        return self.compose("version", "--short").strip()

    def compose(self, *arguments: str, **options: Any) -> str:
        return run("docker", "compose", *arguments, cwd=self.folder, env=self.environment, **options)

    def up(self, *arguments: str) -> None:
        """Start the services and wait until each is healthy."""
        services = () if any(argument in self.services for argument in arguments) else self.services
        self.compose("up", "-d", "--no-build", "--wait", "--wait-timeout", str(UP_SECONDS), *arguments, *services)

    def shell(self, script: str) -> str:
        """Run commands of OPERATIONS.md as written, for the services under test."""
        script = script.replace("docker compose up -d", f"docker compose up -d --no-build {' '.join(self.services)}")
        return run("bash", "-euo", "pipefail", "-c", script, cwd=self.folder, env=self.environment)

    def docker(self, *arguments: str, **options: Any) -> str:
        return run("docker", *arguments, env=self.environment, **options)

    def container(self, service: str) -> str:
        return self.compose("ps", "-q", service).split()[0]

    def health(self, service: str) -> tuple[str, str]:
        """Health of a service and what its last check printed."""
        state = json.loads(self.docker("inspect", "--format", "{{json .State.Health}}", self.container(service)))
        return state["Status"], (state["Log"] or [{"Output": ""}])[-1]["Output"].strip()

    def scratch_files(self) -> list[str]:
        """Files of the working directories of all workers, but for locks."""
        found = self.compose("exec", "-T", "io", "find", "/scratch", "-type", "f", "-not", "-name", "lock")
        return found.split()

    def scrapes(self) -> dict[str, str]:
        """Health of each container that Prometheus scrapes, by address."""
        url = "http://127.0.0.1:9090/api/v1/targets?state=active"
        answer = json.loads(self.compose("exec", "-T", "prometheus", "wget", "-qO-", url))
        return {target["scrapeUrl"]: target["health"] for target in answer["data"]["activeTargets"]}

    def client(self) -> Client:
        return Client(f"http://127.0.0.1:{PORT}", self.key)

    def leftovers(self) -> dict[str, list[str]]:
        """Containers, volumes and networks of the project that are still there, and unnamed volumes."""
        of_project = ["--filter", f"label=com.docker.compose.project={PROJECT}"]
        return {
            "containers": self.docker("ps", "-aq", *of_project).split(),
            "volumes": self.docker("volume", "ls", "-q", *of_project).split(),
            "networks": self.docker("network", "ls", "-q", *of_project).split(),
        }

    def volumes(self) -> set[str]:
        return {*self.docker("volume", "ls", "-q").split()}


class Trial:
    """The steps, in order, and the clock of their log."""

    def __init__(self, deployment: Deployment, build: bool) -> None:
        self.deployment, self.build_first = deployment, build
        self.began = time.monotonic()
        media = deployment.folder / "peer" / "media"
        self.clip = media_files.make_video(media / "clip.mp4", 8.0, (320, 240))
        self.long = media_files.make_video(media / "long.mp4", 120.0, (320, 240))
        self.photo = media_files.make_image(media / "photo.png", (320, 240))
        self.results: dict[str, bytes] = {}

    def say(self, text: str) -> None:
        print(f"{time.strftime('%T')} {text}", flush=True)

    @contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """Time a step; what the body adds is printed behind it."""
        began, notes = time.monotonic(), list[str]()
        yield notes
        self.say(f"{time.monotonic() - began:7.1f} s  {name}" + (f": {', '.join(notes)}" if notes else ""))

    def run(self) -> None:
        for step in (
            self.images,
            self.start,
            self.jobs,
            self.link_and_webhook,
            self.live_stream,
            self.confinement,
            self.logs,
            self.kill_and_down,
            self.no_gpu,
            self.scale,
            self.upgrade,
            self.back_up_and_restore,
            self.logs,
            self.take_down,
        ):
            step()
        self.say(f"{time.monotonic() - self.began:7.1f} s  all steps passed")

    def images(self) -> None:
        deployment = self.deployment
        self.say(
            f"Docker {deployment.docker('version', '--format', '{{.Server.Version}}').strip()}, "
            f"Compose {deployment.find_compose()}"
        )
        if self.build_first:
            with self.step("images built"):
                run("docker", "compose", "build", cwd=ROOT, env=deployment.environment)
        for image in (f"affect-gateway:{FIRST}", f"affect-worker-cpu:{FIRST}"):
            size = int(deployment.docker("image", "inspect", "--format", "{{.Size}}", image))
            label = deployment.docker("image", "inspect", "--format", "{{json .Config.Labels}}", image).strip()
            require(f'"org.opencontainers.image.version":"{FIRST}"' in label, f"{image} has the labels {label}")
            self.say(f"           {image}: {size / 1e6:.0f} MB")
        declared = deployment.compose("config", "--services").split()
        images = json.loads(deployment.compose("config", "--format", "json"))["services"]
        missing = {name for name in declared if not self.has_image(images[name]["image"])}
        require(missing <= {"grafana"}, f"no images for {missing}")
        deployment.services = tuple(name for name in declared if name not in missing)
        if missing:
            self.say("           grafana left out: its image cannot be had here")

    def has_image(self, image: str) -> bool:
        for command in (("image", "inspect"), ("pull", "--quiet")):
            with suppress(StepFailed):
                self.deployment.docker(*command, image)
                return True
        return False

    def start(self) -> None:
        self.volumes_before = self.deployment.volumes()
        with self.step("up: every service is healthy"):
            self.deployment.up()

    def finished(self, client: Client, job: Job | str, what: str) -> Job:
        ended = client.wait(job, timeout=JOB_SECONDS)
        require(ended.status == "succeeded", f"{what}: {ended.status}, {ended.error}")
        return ended

    def jobs(self) -> None:
        with self.deployment.client() as client:
            with self.step("a clip, with all artifacts") as notes:
                options = {"keep_media": True, "annotate": True, "thumbnails": True, "heatmaps": True}
                job = client.submit(self.clip, options=options, tags=["deploy-test"])
                self.finished(client, job, "the clip")
                result = client.result(job)
                require(len(result.windows) >= 3, "the clip has too few windows")
                names = [artifact.name for artifact in client.artifacts(job)]
                require({"summary.png", "index.json"} <= {*names} or names, f"artifacts: {names}")
                notes += [f"{len(result.windows)} windows", f"{len(names)} artifacts"]
                self.kept = job.id
            with self.step("a photo"):
                job = client.submit(self.photo)
                self.finished(client, job, "the photo")
                require(client.result(job).overall is not None, "the photo has no reading")
        self.results[self.kept] = self.raw(self.kept)

    def raw(self, job_id: str) -> bytes:
        headers = {"Authorization": f"Bearer {self.deployment.key}"}
        return httpx.get(f"http://127.0.0.1:{PORT}/v1/jobs/{job_id}/result", headers=headers).raise_for_status().content

    def link_and_webhook(self) -> None:
        with self.step("a link, and the webhook of its end"), self.deployment.client() as client:
            job = client.submit(url="http://peer:8001/clip.mp4", webhook_url="http://peer:8001/hook")
            self.finished(client, job, "the link")
            received = until(self.received, 60, "the webhook")
            event = verify(received[0]["body"].encode(), received[0]["headers"], self.deployment.webhook_secret)
            require((event.type, event.job_id) == ("job.succeeded", job.id), f"the webhook says {event}")

    def received(self) -> list[dict[str, Any]]:
        received: list[dict[str, Any]] = httpx.get(f"http://127.0.0.1:{PEER_PORT}/received").json()
        return received

    def live_stream(self) -> None:
        with self.step("a live stream of 10 s") as notes:
            picture = jpeg(np.random.default_rng(1).integers(0, 255, (240, 320, 3), np.uint8))
            sound = np.random.default_rng(2).integers(-3000, 3000, 16_000 * 4).astype(np.int16)
            headers = {"Authorization": f"Bearer {self.deployment.key}"}
            stream = LiveClient.open(f"ws://127.0.0.1:{PORT}/v1/stream", additional_headers=headers)
            require(stream.ready.wait(30), f"the stream does not begin: {stream.ended}")
            stream.play([picture], sound, 10, rate=5)
            stream.close()
            require(len(stream.updates) >= 5, f"{len(stream.updates)} updates")
            latencies = sorted(stream.latencies())
            notes += [
                f"{len(stream.updates)} updates",
                f"median latency {latencies[len(latencies) // 2] * 1000:.0f} ms",
            ]

    def confinement(self) -> None:
        connect = "import socket,sys; socket.create_connection(({!r}, {}), 5)"
        peer = self.deployment.docker(
            "inspect",
            "--format",
            "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
            self.deployment.container("peer"),
        ).strip()
        with self.step("confinement") as notes:
            program = connect.format(peer, 8001)
            self.deployment.compose("exec", "-T", "io", "python", "-c", program)
            for service in ("worker-cpu", "live-cpu"):
                require(self.fails("exec", "-T", service, "python", "-c", program), f"{service} reaches a host outside")
            for service in self.deployment.services:
                if service not in ("redis", "prometheus", "grafana", "peer"):
                    user = self.deployment.compose("exec", "-T", service, "id", "-u").strip()
                    require(user == "10001", f"{service} runs as {user}")
                    tried = self.deployment.compose(
                        "exec",
                        "-T",
                        service,
                        "sh",
                        "-c",
                        "touch /srv/affect/x 2>/dev/null && echo written || echo refused",
                    ).strip()
                    require(tried == "refused", f"{service} writes to its own files")
            notes.append("models cannot reach out, io can; no root, nothing writable but data")

    def fails(self, *arguments: str) -> bool:
        """Return whether a command of Compose fails."""
        try:
            self.deployment.compose(*arguments)
        except StepFailed:
            return True
        return False

    def kill_and_down(self) -> None:
        deployment = self.deployment
        with self.step("a worker is killed while it analyses, then down: the next start leaves nothing") as notes:
            with deployment.client() as client:
                job = client.submit(self.long)
                left = until(deployment.scratch_files, 90, "decoded sound in /scratch")
                deployment.compose("kill", "-s", "KILL", "worker-cpu")
                require(deployment.scratch_files(), "nothing is left in /scratch by the killed worker")
                deployment.compose("down")
                deployment.up()
                notes.append(f"left by the kill: {' '.join({Path(name).name for name in left})}")
                self.finished(client, job, "the job of the killed worker")
                notes.append("its job succeeded")
                until(lambda: not deployment.scratch_files(), 15, "an empty /scratch")
                client.delete(job)

    def no_gpu(self) -> None:
        deployment = self.deployment
        with self.step("a GPU that does not work: not healthy, and PyTorch's reason is named") as notes:
            deployment.environment["DEVICE"] = "cuda"
            deployment.compose("up", "-d", "--no-build", "--no-deps", "worker-cpu")
            reason = until(lambda: self.unhealthy_reason("worker-cpu"), 180, "a failed health check")
            ready = httpx.get(f"http://127.0.0.1:{PORT}/readyz")
            require(ready.status_code == 503 and "cuda" in ready.text, f"/readyz says {ready.text}")
            require(deployment.health("gateway")[0] == "healthy", "the gateway is not healthy")
            notes.append(reason)
            del deployment.environment["DEVICE"]
            deployment.up("worker-cpu", "--no-deps")
        with self.step("the profile gpu on this host") as notes:
            deployment.docker("tag", f"affect-worker-cpu:{FIRST}", f"affect-worker-gpu:{FIRST}")
            gpu = deployment.environment | {"COMPOSE_PROFILES": ""}
            command = ["docker", "compose", "up", "-d", "--no-build", "--no-deps", "live"]
            done = subprocess.run(command, cwd=deployment.folder, env=gpu, capture_output=True, text=True)
            require(not done.returncode or "device driver" in done.stderr, done.stderr)
            notes.append(done.stderr.strip().splitlines()[-1] if done.returncode else "it starts")
            run("docker", "compose", "rm", "-sf", "live", cwd=deployment.folder, env=gpu)
            deployment.docker("rmi", f"affect-worker-gpu:{FIRST}")

    def unhealthy_reason(self, service: str) -> str | None:
        status, output = self.deployment.health(service)
        return output if status != "healthy" and "rejects" in output else None

    def scale(self) -> None:
        deployment = self.deployment
        with self.step("two workers share twelve jobs") as notes:
            deployment.up("--no-recreate", "--scale", "worker-cpu=2")
            containers = deployment.compose("ps", "-q", "worker-cpu").split()
            require(len(containers) == 2, f"{len(containers)} workers")
            with deployment.client() as client:
                jobs = client.submit_all([self.photo] * 4 + [self.clip] * 8)
                for job in jobs:
                    self.finished(client, job, "a job of two workers")
            done = [deployment.docker("exec", each, "python", "-c", _ATTEMPTS).strip() for each in containers]
            require(all(float(count) > 0 for count in done), f"attempts of the workers: {done}")
            until(lambda: self.all_scraped(5), 90, "Prometheus scrapes gateway, io, live-cpu and two worker-cpu")
            notes += [f"attempts {' and '.join(done)}", "Prometheus scrapes all five containers"]
            deployment.up("--scale", "worker-cpu=1")

    def all_scraped(self, count: int) -> dict[str, str] | None:
        """Return the targets of Prometheus once there are `count` and all are up."""
        scrapes = self.deployment.scrapes()
        return scrapes if len(scrapes) == count and {*scrapes.values()} == {"up"} else None

    def upgrade(self) -> None:
        deployment = self.deployment
        for image in ("gateway", "worker-cpu"):
            dockerfile = f"FROM affect-{image}:{FIRST}\nLABEL org.opencontainers.image.version={NEXT}\n"
            deployment.docker("build", "-q", "-t", f"affect-{image}:{NEXT}", "-", input=dockerfile)
        deployment.environment["AFFECT_VERSION"] = NEXT
        with self.step("upgrade, service by service, while jobs run") as notes, deployment.client() as client:
            jobs = client.submit_all([self.long, self.clip, self.photo])
            with refusals() as refused:
                for service in ("worker-cpu", "live-cpu", "io", "gateway"):
                    deployment.up("--no-deps", service)
            for job in jobs:
                self.finished(client, job, "a job during the upgrade")
            require(self.raw(self.kept) == self.results[self.kept], "an old result has changed")
            for service in ("worker-cpu", "live-cpu", "io", "gateway"):
                image = deployment.docker("inspect", "--format", "{{.Config.Image}}", deployment.container(service))
                require(image.strip().endswith(NEXT), f"{service} runs {image}")
            notes += ["every job succeeded", f"the only gateway did not answer for {refused[0]:.1f} s"]

    def back_up_and_restore(self) -> None:
        deployment = self.deployment
        back_up, restore = operations_commands()
        with self.step("back-up of a running service") as notes, deployment.client() as client:
            deployment.compose("stop", "worker-cpu")
            waiting = client.submit(self.clip).id
            deployment.shell(back_up)
            sizes = [
                f"{name} {(deployment.folder / name).stat().st_size / 1e6:.1f} MB"
                for name in ("redis.tar", "blobs.tar")
            ]
            notes += sizes
        with self.step("everything is lost: down -v"):
            deployment.compose("down", "-v")
        with self.step("restored") as notes:
            deployment.shell(restore)
            deployment.up()
            with deployment.client() as client:
                require(self.raw(self.kept) == self.results[self.kept], "the restored result differs")
                self.finished(client, waiting, "the job that waited")
                path = deployment.folder / "media.mp4"
                client.download_media(self.kept, path)
                require(path.read_bytes() == self.clip.read_bytes(), "the restored media differs")
                again = client.submit(source_job=self.kept, options={"hop_seconds": 1})
                self.finished(client, again, "the analysis of restored media")
                client.delete(self.kept)
            left = deployment.compose("exec", "-T", "gateway", "sh", "-c", f"find /data -name '*{self.kept}*' | wc -l")
            require(left.strip() == "0", "blobs of a deleted job are left")
            notes.append("old result and media are the same, the waiting job succeeded, a deleted job leaves nothing")

    def logs(self) -> None:
        for service in ("gateway", "io", "worker-cpu", "live-cpu"):
            lines = self.deployment.compose("logs", "--no-log-prefix", "--no-color", service).splitlines()
            noise = [line for line in lines if line.strip() and not line.startswith("{")]
            errors = [
                line for line in lines if line.startswith("{") and json.loads(line)["level"] in ("error", "critical")
            ]
            self.say(
                f"           log of {service}: {len(lines)} lines, {len(noise)} by libraries, {len(errors)} errors"
            )
            for line in [*dict.fromkeys(noise), *errors][:12]:
                self.say(f"             {line[:300]}")

    def take_down(self) -> None:
        deployment = self.deployment
        with self.step("down -v") as notes:
            deployment.compose("down", "-v")
            left = deployment.leftovers()
            require(not any(left.values()), f"left on the host: {left}")
            further = deployment.volumes() - self.volumes_before
            require(not further, f"volumes left on the host: {further}")
            notes.append("no container, volume or network is left")


_ATTEMPTS = """
import re, urllib.request
text = urllib.request.urlopen("http://127.0.0.1:9100/metrics").read().decode()
print(sum(float(count) for count in re.findall(r"^affect_attempts_total\\{.*\\} (\\S+)", text, re.M)))
"""


@contextmanager
def refusals() -> Iterator[list[float]]:
    """Measure for how long the gateway's port refuses connections within the context, in seconds."""
    total, stop = [0.0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.1):
            began = time.monotonic()
            with suppress(OSError, httpx.HTTPError):
                httpx.get(f"http://127.0.0.1:{PORT}/livez", timeout=2)
                continue
            total[0] += 0.1 + time.monotonic() - began

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield total
    finally:
        stop.set()
        thread.join()


def port_is_free(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) != 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.deploy")
    parser.add_argument("--no-build", action="store_true", help=f"take the images that have the tag {FIRST}")
    parser.add_argument("--keep", action="store_true", help="leave the deployment running if a step fails")
    options = parser.parse_args()
    require(all(map(port_is_free, (PORT, PEER_PORT))), f"port {PORT} or {PEER_PORT} is taken")
    with tempfile.TemporaryDirectory(prefix="affect-deploy-") as folder:
        deployment = Deployment(Path(folder))
        trial = Trial(deployment, build=not options.no_build)
        try:
            trial.run()
        except Exception as error:
            trial.say(f"FAILED: {error}")
            with suppress(StepFailed):
                print(
                    deployment.compose("ps", "-a"),
                    deployment.compose("logs", "--tail", "20", "gateway", "io", "worker-cpu", "live-cpu", "redis"),
                    flush=True,
                )
            if options.keep:
                input(f"{folder} is kept. Press Enter to take everything down. ")
            with suppress(StepFailed):
                deployment.compose("down", "-v")
            if not isinstance(error, StepFailed):
                raise
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
