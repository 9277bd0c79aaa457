"""The release workflow: linted; its first step run; its images those that the deployment names. It has never run as a
whole."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "release.yml"
JOBS: dict[str, dict[str, Any]] = yaml.safe_load(WORKFLOW.read_text())["jobs"]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
CHANGES = """# Changelog

## [Unreleased]

Later.

## [1.2.30] - 2026-02-01

Not this one.

## [1.2.3] - 2026-01-01

### Added

- Something.

## [1.2.2]

Earlier.
"""


def script(job: str) -> str:
    """Return the shell commands of a job's last step."""
    return str(JOBS[job]["steps"][-1]["run"])


def prepare(folder: Path, tag: str, changes: str = CHANGES) -> tuple[int, str]:
    """Run the first job on a project of version 1.2.3. Return the exit status and the outputs."""
    (folder / "bin").mkdir()
    (folder / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    (folder / "CHANGELOG.md").write_text(changes)
    (folder / "output").touch()
    programs = {"docker": 'echo \'{"digest": "sha256:abc"}\'', "jq": "grep -o 'sha256:[a-z]*'"}
    for name, body in programs.items():
        (folder / "bin" / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / "bin" / name).chmod(0o755)
    environment = {
        "PATH": f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "GITHUB_REF_NAME": tag,
        "GITHUB_REPOSITORY": "Team/Affect",
        "GITHUB_OUTPUT": str(folder / "output"),
        "PYTHON_IMAGE": "python:3",
    }
    done = subprocess.run(["bash", "-e", "-c", script("prepare")], cwd=folder, env=environment, check=False)
    return done.returncode, (folder / "output").read_text()


def test_workflow_passes_actionlint_and_pins_every_action() -> None:
    actionlint = Path(sys.executable).parent / "actionlint"
    done = subprocess.run([actionlint, "-no-color", WORKFLOW], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    used = re.findall(r"uses: (\S+)", WORKFLOW.read_text())
    assert used and all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", action) for action in used)


def test_prepare_takes_version_base_image_and_notes(tmp_path: Path) -> None:
    status, outputs = prepare(tmp_path, "v1.2.3")
    assert status == 0
    assert outputs.splitlines()[:3] == ["version=1.2.3", "image=ghcr.io/team/affect", "base=python:3@sha256:abc"]
    (notes,) = re.findall(r"^notes<<END-OF-NOTES\n(.*)\nEND-OF-NOTES\n", outputs, re.DOTALL | re.MULTILINE)
    assert notes.strip() == "### Added\n\n- Something."
    assert JOBS["prepare"]["outputs"].keys() == {"version", "image", "base", "notes"}


@pytest.mark.parametrize(
    ("tag", "changes"), [("v1.2.4", CHANGES), ("v1.2.3", CHANGES.replace("[1.2.3]", "[1.2.5]")), ("1.2.3", CHANGES)]
)
def test_prepare_refuses_another_version_or_a_version_without_notes(tag: str, changes: str, tmp_path: Path) -> None:
    status, outputs = prepare(tmp_path, tag, changes)
    assert status != 0 and outputs == ""


def test_nothing_is_published_before_the_tests_pass() -> None:
    assert set(JOBS["images"]["needs"]) >= {"test", "deploy-test"} and "images" in JOBS["release"]["needs"]
    writing = {name: job.get("permissions", {}) for name, job in JOBS.items()}
    assert writing == {
        "prepare": {},
        "test": {},
        "deploy-test": {},
        "images": {"contents": "read", "packages": "write"},
        "release": {"contents": "write", "packages": "write"},
    }
    assert yaml.safe_load(WORKFLOW.read_text())["permissions"] == {"contents": "read"}


def test_images_are_those_of_compose_with_sbom_provenance_and_a_pinned_base() -> None:
    published = {entry["name"]: entry["file"] for entry in JOBS["images"]["strategy"]["matrix"]["include"]}
    built = {
        re.sub(r".*\}-([a-z-]+):.*", r"\1", service["image"]): service["build"]["dockerfile"]
        for service in COMPOSE["services"].values()
        if "build" in service
    }
    assert published == built
    command = script("images")
    assert "--sbom=true" in command and "--provenance=mode=max" in command
    arguments = set(re.findall(r"--build-arg ([A-Z_]+)=", command))
    assert arguments == {"PYTHON_IMAGE", "VERSION", "REVISION"}
    for file in published.values():
        assert arguments <= set(re.findall(r"^ARG ([A-Z_]+)", (ROOT / file).read_text(), re.MULTILINE)), file


def test_chart_of_a_release_names_its_images() -> None:
    values = (ROOT / "docker" / "helm" / "affect" / "values.yaml").read_text()
    (pattern,) = re.findall(r"s\|(\^.*?\$)\|", script("release"))
    assert len(re.findall(pattern, values, re.MULTILINE)) == 1
