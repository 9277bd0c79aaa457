"""Rules and dashboard: valid, tried out, and of metrics that exist."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry
from redis import Redis

from app.http.metrics import GatewayMetrics
from app.services.worker_metrics import WorkerCollector
from app.settings import Settings
from tests.redis_server import redis_server
from workers.process.metrics import WorkerMetrics
from workers.protocol.store.job_store import JobStore
from workers.protocol.store.worker_registry import WorkerRegistry

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "docker" / "prometheus"
RULES = [rule for group in yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((ROOT / "docker" / "grafana" / "dashboards" / "affect.json").read_text())
_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[set[str]]:
    """Every name that gateway and workers expose."""
    with redis_server() as url, Redis.from_url(url) as redis:
        settings = Settings(redis_url=url, data_dir=tmp_path_factory.mktemp("data"))
        fleet = CollectorRegistry()
        fleet.register(WorkerCollector(JobStore(redis, settings), WorkerRegistry(redis), settings))
        registries = (GatewayMetrics().registry, WorkerMetrics().registry, fleet)
        families = [family for registry in registries for family in registry.collect()]
    yield {f"{family.name}{suffix}" for family in families for suffix in _SUFFIXES.get(family.type, ())} | {"up"}


def named(expression: str) -> set[str]:
    """The metrics of an expression: what stands where labels and strings do not."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(by|without)\s*\([^)]*\)", "", expression)
    return {word for word in re.findall(r"[a-z_][a-z0-9_]*", bare) if re.match("affect_|process_|up$", word)}


def test_rules_and_dashboard_name_only_metrics_that_exist(exposed: set[str]) -> None:
    shown = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
    expressions = [rule["expr"] for rule in RULES] + shown
    assert len(RULES) > 10 and len(shown) > 30
    for expression in expressions:
        assert named(expression), expression
        assert named(expression) <= exposed, expression


def test_every_alert_is_explained_to_operators() -> None:
    page = (ROOT / "docker" / "OPERATIONS.md").read_text()
    assert [rule["alert"] for rule in RULES if f"`{rule['alert']}`" not in page] == []


def test_the_dashboard_asks_the_provisioned_source() -> None:
    provisioning = ROOT / "docker" / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    assert {panel["datasource"]["uid"] for panel in panels} == {source["uid"]}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize("command", [("check", "config", "prometheus.yml"), ("test", "rules", "rules.test.yml")])
def test_promtool_agrees(command: tuple[str, ...]) -> None:
    subprocess.run(["promtool", *command], cwd=PROMETHEUS, check=True)
