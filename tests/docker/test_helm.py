"""The Helm chart: rendered by Helm's own engine, checked against Kubernetes' schemas, and held to its promises.

No cluster runs here: that the pods start, that policies are enforced and that KEDA scales is not shown.
"""

import json
import re
import tarfile
import tomllib
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import Settings
from workers.settings import WorkerSettings

helm = pytest.importorskip("helm_python", reason="helm-python-sdk has no wheel for this platform")

ROOT = Path(__file__).parents[2]
CHART = ROOT / "docker" / "helm" / "affect"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
CASES = sorted(path.stem for path in (CHART / "ci").glob("*.yaml"))
KUBERNETES_VERSIONS = ("1.27", "1.37")
"""Oldest version that the chart supports, and the newest of the schemas."""
CUSTOM_KINDS = ("ScaledObject", "ServiceMonitor", "PrometheusRule")
DIGEST = "0" * 64
POD_KINDS = ("Deployment", "StatefulSet")
MODEL_KINDS = ("inference", "live")
MOUNT = "/run/secrets/affect"

Manifest = dict[str, Any]


def values_of(case: str) -> Manifest:
    return dict(yaml.safe_load((CHART / "ci" / f"{case}.yaml").read_text()))


def render(values: Manifest) -> list[Manifest]:
    """Return the objects that an installation of the release `affect` in the namespace `prod` would create."""
    with helm.Chart.load(CHART) as chart:
        chart.validate_schema(values)
        files = chart.render(values, name="affect", namespace="prod")
    manifests = [text for name, text in files.items() if not name.endswith("NOTES.txt")]
    return [document for text in manifests for document in yaml.safe_load_all(text) if document]


@cache
def rendered(case: str) -> list[Manifest]:
    return render(values_of(case))


def of_kind(documents: list[Manifest], *kinds: str) -> list[Manifest]:
    return [document for document in documents if document["kind"] in kinds]


def named(documents: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = (each for each in of_kind(documents, kind) if each["metadata"]["name"] == name)
    return found


def pod(workload: Manifest) -> Manifest:
    return dict(workload["spec"]["template"]["spec"])


def pod_labels(workload: Manifest) -> dict[str, str]:
    return dict(workload["spec"]["template"]["metadata"]["labels"])


def container(workload: Manifest) -> Manifest:
    (only,) = pod(workload)["containers"]
    return dict(only)


def environment(workload: Manifest) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container(workload)["env"] if "value" in each}


def matches(selector: Manifest, labels: dict[str, str]) -> bool:
    for rule in selector.get("matchExpressions", ()):
        value = labels.get(rule["key"])
        if not (value is not None if rule["operator"] == "Exists" else value in rule["values"]):
            return False
    return selector.get("matchLabels", {}).items() <= labels.items()


def test_chart_has_the_version_of_the_project() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == PROJECT["version"]


@pytest.mark.parametrize("case", CASES)
def test_chart_passes_helm_lint(case: str) -> None:
    report = helm.lint(CHART, values_of(case), strict=True)
    assert report["errors"] == []
    assert [message for message in report["messages"] if "icon is recommended" not in message["error"]] == []


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
@pytest.mark.parametrize("case", CASES)
def test_objects_fit_the_schemas_of_kubernetes(case: str, version: str) -> None:
    import kubernetes_validate

    documents = rendered(case)
    assert len(documents) > 15
    for document in documents:
        if document["kind"] not in CUSTOM_KINDS:
            kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.slow
def test_custom_objects_fit_the_models_of_keda_and_the_prometheus_operator() -> None:
    from cloudcoil.models.keda.v1alpha1 import ScaledObject
    from cloudcoil.models.prometheus_operator.v1 import PrometheusRule, ServiceMonitor

    models = {model.__name__: model for model in (ScaledObject, ServiceMonitor, PrometheusRule)}
    documents = of_kind(rendered("production"), *CUSTOM_KINDS)
    assert {document["kind"] for document in documents} == set(CUSTOM_KINDS)
    for document in documents:
        model = models[document["kind"]].model_validate(document)
        kept = json.loads(model.model_dump_json(by_alias=True, exclude_unset=True))
        assert kept == document, "a field that the model does not know is lost"
    for case in CASES:
        assert case == "production" or not of_kind(rendered(case), *CUSTOM_KINDS), "needs what a cluster may not have"


def test_every_value_is_in_the_schema_and_wrong_ones_are_refused() -> None:
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert schema["properties"].keys() - {"global"} == defaults.keys()
    good = values_of("gpu")
    wrong: list[Manifest] = [
        {"gatway": {}},
        {"device": "tpu"},
        {"secrets": {"apiKeys": "ann:not a hash"}},
        {"settings": {"REDIS_URL": "x"}},
        {"workers": {"inference": {"kind": "gpu"}}},
        {"workers": {"more": {"device": "cpu"}}},
        {"workers": {"inference": {"memory": "8Gi"}}},
        {"redis": {"url": "rediss://:password@host:6379/0"}},
        {"storage": {"to": ["10.0.0.0/8"]}},
        {"gateway": {"autoscaling": {"cpu": 0}}},
    ]
    for values in wrong:
        with pytest.raises(helm.HelmError):
            render(good | values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "secrets.apiKeys"),
        ({"secrets": {"existing": "s"}, "redis": {"enabled": False}}, "redis.url"),
        ({"secrets": {"existing": "s"}, "redis": {"enabled": False, "url": "redis://r:6379/0"}}, "redis.to"),
        ({"secrets": {"existing": "s"}, "storage": {"url": "s3://media"}}, "storage.to"),
        ({"secrets": {"existing": "s"}, "traces": {"endpoint": "http://c:4318"}}, "traces.to"),
        ({"secrets": {"existing": "s"}, "gateway": {"ingress": {"enabled": True}}}, "gateway.ingress.host"),
    ],
)
def test_missing_values_are_named(values: Manifest, message: str) -> None:
    with pytest.raises(helm.HelmError, match=re.escape(message)):
        render(values)


@pytest.mark.parametrize("case", CASES)
def test_every_pod_is_confined(case: str) -> None:
    workloads = of_kind(rendered(case), *POD_KINDS)
    names = {workload["metadata"]["name"] for workload in workloads}
    assert names >= {"affect-gateway", "affect-worker-inference", "affect-worker-live", "affect-worker-io"}
    for workload in workloads:
        spec, main = pod(workload), container(workload)
        assert spec["enableServiceLinks"] is False, "a Service called affect would set AFFECT_PORT"
        assert spec["automountServiceAccountToken"] is False
        assert spec["terminationGracePeriodSeconds"] >= 40
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & spec.keys()
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        security = main["securityContext"]
        assert security["allowPrivilegeEscalation"] is False and security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]} and "privileged" not in security
        assert main["resources"]["limits"]["memory"] and main["resources"]["requests"]["cpu"]
        assert all("hostPath" not in volume and "hostPort" not in str(main["ports"]) for volume in spec["volumes"])
        mounted = {mount["name"] for mount in main["volumeMounts"]}
        claims = workload["spec"].get("volumeClaimTemplates", ())
        assert mounted == {*(each["name"] for each in spec["volumes"]), *(each["metadata"]["name"] for each in claims)}
        writable = {mount["mountPath"] for mount in main["volumeMounts"] if not mount.get("readOnly")}
        assert writable == ({"/data", "/tmp"} if workload["kind"] == "StatefulSet" else {"/data", "/scratch", "/tmp"})


@pytest.mark.parametrize("case", CASES)
def test_pods_run_as_any_user_and_openshift_chooses_user_and_group(case: str) -> None:
    for workload in of_kind(rendered(case), *POD_KINDS):
        chosen = {**pod(workload)["securityContext"], **container(workload)["securityContext"]}.keys()
        redis = workload["kind"] == "StatefulSet"
        given = set() if case == "openshift" else {"fsGroup", *(["runAsUser"] if redis else [])}
        assert {"runAsUser", "runAsGroup", "fsGroup", "supplementalGroups"} & chosen == given
        if not redis:
            assert environment(workload)["HOME"] == "/tmp", "an unknown user has no home directory"


@pytest.mark.parametrize("case", CASES)
def test_processes_start_with_their_settings_and_secrets(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = {"api_keys": f"ann:{DIGEST}", "webhook_secrets": "", "redis_password": "hush"}
    for name, content in secret.items():
        (tmp_path / name).write_text(content)
    for made in of_kind(rendered(case), "Secret"):
        assert made["data"].keys() == secret.keys()
    for workload in of_kind(rendered(case), "Deployment"):
        component = pod_labels(workload)["app.kubernetes.io/component"]
        (volume,) = (each for each in pod(workload)["volumes"] if each["name"] == "secrets")
        given = {item["key"] for item in volume["secret"]["items"]}
        assert (
            given
            == {
                "gateway": set(secret),
                "io": {"redis_password", "webhook_secrets"},
                "inference": {"redis_password"},
                "live": {"redis_password"},
            }[component]
        )
        variables = environment(workload)
        assert {Path(value).name for value in variables.values() if value.startswith(MOUNT)} == given
        with monkeypatch.context() as patch:
            for variable, value in variables.items():
                patch.setenv(variable, value.replace(MOUNT, str(tmp_path)))
            if component == "gateway":
                settings = Settings()
                assert (settings.host, settings.port, settings.metrics_port) == ("0.0.0.0", 8000, 9100)
                assert [key.name for key in settings.api_keys] == ["ann"]
                limit = 2**32 if case == "cpu" else Settings.model_fields["max_upload_bytes"].default
                assert settings.max_upload_bytes == limit, "large numbers are written in digits"
            else:
                assert container(workload)["command"] == ["python", "-m", "workers", "--kinds", component]
                worker = WorkerSettings(worker_kinds=component)
                assert worker.needs_models == (component in MODEL_KINDS)
                assert worker.redis_url.split("//")[1].startswith(":hush@") and worker.metrics_port == 9100
                if component in MODEL_KINDS:
                    assert variables["HF_HUB_OFFLINE"] == "1" and "AFFECT_EGRESS_ALLOW" not in variables
                    threads = {"resourceFieldRef": {"resource": "requests.cpu"}}
                    assert {"name": "AFFECT_THREADS", "valueFrom": threads} in container(workload)["env"]


@pytest.mark.parametrize("case", CASES)
def test_images_are_those_of_compose_and_only_gpu_workers_take_a_gpu(case: str) -> None:
    built = {service["image"].replace("${AFFECT_IMAGE:-affect}", "affect") for service in COMPOSE["services"].values()}
    names = {image.partition(":")[0] for image in built if image.startswith("affect-")}
    for workload in of_kind(rendered(case), "Deployment"):
        main = container(workload)
        image = re.split(r"[:@]", main["image"])[0].rpartition("/")[2]
        assert image in names
        on_gpu = image.endswith("-gpu")
        assert ("nvidia.com/gpu" in main["resources"]["limits"]) == on_gpu
        assert environment(workload).get("AFFECT_DEVICE") == {"gpu": "cuda", "cpu": "cpu"}.get(image.rpartition("-")[2])
        surge = workload["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
        assert surge == (0 if on_gpu else 1), "a cluster may have no spare GPU"
    assert container(named(rendered("production"), "Deployment", "affect-gateway"))["image"].endswith(
        "@sha256:" + "1" * 64
    )


@pytest.mark.parametrize("case", CASES)
def test_probes_ask_what_a_service_can_do(case: str) -> None:
    for workload in of_kind(rendered(case), "Deployment"):
        main = container(workload)
        if workload["metadata"]["name"] == "affect-gateway":
            asked = COMPOSE["services"]["gateway"]["healthcheck"]["test"][1:]
            assert main["readinessProbe"]["exec"]["command"] == asked
            assert main["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "http"}
            assert {"name": "http", "containerPort": 8000} in main["ports"]
        else:
            assert main["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
            assert main["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "metrics"}
        assert {"name": "metrics", "containerPort": 9100} in main["ports"]
        assert main["startupProbe"]["httpGet"] == main["livenessProbe"]["httpGet"]


@pytest.mark.parametrize("case", CASES)
def test_selectors_and_references_lead_to_what_is_there(case: str) -> None:
    documents = rendered(case)
    workloads = of_kind(documents, *POD_KINDS)
    for workload in workloads:
        assert matches(workload["spec"]["selector"], pod_labels(workload))
        own = [each for each in workloads if matches(workload["spec"]["selector"], pod_labels(each))]
        assert own == [workload]
        name = workload["metadata"]["name"]
        if workload["kind"] == "Deployment":
            budget = named(documents, "PodDisruptionBudget", name)
            assert budget["spec"]["maxUnavailable"] == 1
            assert [each for each in workloads if matches(budget["spec"]["selector"], pod_labels(each))] == [workload]
            scalers = [
                each
                for each in of_kind(documents, "HorizontalPodAutoscaler", "ScaledObject")
                if each["spec"]["scaleTargetRef"]["name"] == name
            ]
            assert len(scalers) == ("replicas" not in workload["spec"]), "either a number of replicas or a scaler"
        for volume in pod(workload)["volumes"]:
            if "secret" in volume and not values_of(case)["secrets"].get("existing"):
                named(documents, "Secret", volume["secret"]["secretName"])
            if "configMap" in volume:
                named(documents, "ConfigMap", volume["configMap"]["name"])
            if "persistentVolumeClaim" in volume and volume["name"] == "data":
                named(documents, "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"])
    ports = {port["name"] for workload in workloads for port in container(workload)["ports"]}
    for service in of_kind(documents, "Service"):
        assert any(matches({"matchLabels": service["spec"]["selector"]}, pod_labels(each)) for each in workloads)
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    for monitor in of_kind(documents, "ServiceMonitor"):
        watched = [
            each
            for each in of_kind(documents, "Service")
            if matches(monitor["spec"]["selector"], each["metadata"]["labels"])
        ]
        jobs = {each["metadata"]["labels"][monitor["spec"]["jobLabel"]] for each in watched}
        assert jobs == {"gateway", "worker"}, "the jobs that the alerts name"
        scraped = [
            workload
            for workload in workloads
            if any(matches({"matchLabels": each["spec"]["selector"]}, pod_labels(workload)) for each in watched)
        ]
        assert scraped == of_kind(workloads, "Deployment")


def egress(documents: list[Manifest], workload: Manifest) -> list[tuple[Manifest, tuple[int, ...]]]:
    """Return the peers that a workload may reach, each with its ports (none: all)."""
    allowed = []
    for policy in of_kind(documents, "NetworkPolicy"):
        if matches(policy["spec"]["podSelector"], pod_labels(workload)):
            for rule in policy["spec"].get("egress", ()):
                ports = tuple(port["port"] for port in rule.get("ports", ()))
                assert rule["to"], "an empty list of peers allows everything"
                allowed += [(peer, ports) for peer in rule["to"]]
    return allowed


@pytest.mark.parametrize("case", CASES)
def test_policies_let_out_no_more_than_compose(case: str) -> None:
    documents, values = rendered(case), values_of(case)
    deny = named(documents, "NetworkPolicy", "affect-deny")["spec"]
    assert deny["policyTypes"] == ["Ingress", "Egress"] and not {"ingress", "egress"} & deny.keys()
    workloads = of_kind(documents, *POD_KINDS)
    assert all(matches(deny["podSelector"], pod_labels(workload)) for workload in workloads)
    for policy in of_kind(documents, "NetworkPolicy"):
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]

    dns = ({53}, {5353})[case == "openshift"]
    for workload in workloads:
        component = pod_labels(workload)["app.kubernetes.io/component"]
        allowed = egress(documents, workload)
        outside = [peer["ipBlock"] for peer, ports in allowed if not ports]
        if component == "redis":
            assert allowed == []
            continue
        inside = {port for _, ports in allowed for port in ports}
        external = {6380, 443, 4318} if case == "production" else {6379}
        assert inside == dns | external
        if component != "io":
            assert outside == [], "no route out of the cluster"
            continue
        world, world6, *private = outside
        assert (world["cidr"], world6["cidr"]) == ("0.0.0.0/0", "::/0")
        assert [block["cidr"] for block in private] == values.get("egressAllow", [])
        for network in ("10.0.0.1/32", "169.254.169.254/32", "192.168.7.7/32", "172.31.0.1/32", "100.64.0.1/32"):
            assert any(ip_network(network).subnet_of(ip_network(each)) for each in world["except"]), network
        for network in ("fd00::1/128", "fe80::1/128", "::1/128"):
            assert any(ip_network(network).subnet_of(ip_network(each)) for each in world6["except"]), network
    production = named(rendered("production"), "Deployment", "affect-worker-inference")
    peers = [peer for peer, _ in egress(rendered("production"), production)]
    assert {"ipBlock": {"cidr": "10.30.0.0/24"}} in peers and {"ipBlock": {"cidr": "10.40.0.10/32"}} in peers


def test_policies_let_in_callers_metrics_and_for_redis_only_the_service() -> None:
    documents = rendered("production") + of_kind(rendered("gpu"), "StatefulSet")
    ingress = {
        policy["metadata"]["name"]: policy["spec"].get("ingress", []) for policy in of_kind(documents, "NetworkPolicy")
    }
    (calls, metrics) = ingress["affect-gateway"]
    assert calls["ports"] == [{"protocol": "TCP", "port": 8000}]
    assert calls["from"] == values_of("production")["networkPolicy"]["gatewayFrom"]
    for name in ("affect-models", "affect-io"):
        assert ingress[name] == [metrics] and metrics["ports"] == [{"protocol": "TCP", "port": 9100}]
    policy = named(rendered("gpu"), "NetworkPolicy", "affect-redis")["spec"]
    (rule,) = policy["ingress"]
    (peer,) = rule["from"]
    workloads = of_kind(rendered("gpu"), *POD_KINDS)
    callers = {each["metadata"]["name"] for each in workloads if matches(peer["podSelector"], pod_labels(each))}
    assert peer.keys() == {"podSelector"} and callers == {each["metadata"]["name"] for each in workloads} - {
        "affect-redis"
    }


def test_keda_scales_inference_with_jobs_and_live_streams_with_the_cpu() -> None:
    documents = rendered("production")
    scaled = {each["metadata"]["name"]: each["spec"] for each in of_kind(documents, "ScaledObject")}
    assert scaled.keys() == {f"affect-worker-{name}" for name in ("inference", "inference-cpu", "live", "io")}
    labels = 'namespace="prod",service="affect-gateway-metrics"'
    named(documents, "Service", "affect-gateway-metrics")
    queries = {name: spec["triggers"][0]["metadata"].get("query") for name, spec in scaled.items()}
    inference = f'max(affect_queue_depth{{queue="inference",{labels}}}) + max(affect_jobs_running{{{labels}}})'
    assert queries == {
        "affect-worker-inference": inference,
        "affect-worker-inference-cpu": inference,
        "affect-worker-io": f'max(affect_queue_depth{{queue="io",{labels}}})',
        "affect-worker-live": None,
    }
    assert scaled["affect-worker-live"]["triggers"] == [
        {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "70"}}
    ]
    main = scaled["affect-worker-inference"]
    assert (main["minReplicaCount"], main["maxReplicaCount"]) == (0, 8)
    assert main["triggers"][0]["metadata"]["threshold"] == "1" and main["fallback"]["replicas"] == 1
    assert scaled["affect-worker-inference-cpu"]["triggers"][0]["metadata"]["threshold"] == "4"


def test_redis_runs_the_command_and_the_configuration_of_compose() -> None:
    documents = rendered("gpu")
    command = container(named(documents, "StatefulSet", "affect-redis"))["command"]
    there = [part.replace("$$", "$") for part in COMPOSE["services"]["redis"]["command"]]
    assert [part.replace(MOUNT, "/run/secrets") for part in command] == there
    config = named(documents, "ConfigMap", "affect-redis")["data"]["redis.conf"]
    assert config.strip() == (ROOT / "docker" / "redis.conf").read_text().strip()


def test_rules_and_dashboard_are_those_of_compose() -> None:
    documents = rendered("production")
    rules = yaml.safe_load((ROOT / "docker" / "prometheus" / "rules.yml").read_text())
    assert named(documents, "PrometheusRule", "affect")["spec"] == rules
    dashboard = json.loads(named(documents, "ConfigMap", "affect-dashboard")["data"]["affect.json"])
    original = json.loads((ROOT / "docker" / "grafana" / "dashboards" / "affect.json").read_text())
    assert [panel["title"] for panel in dashboard["panels"]] == [panel["title"] for panel in original["panels"]]
    sources = set(re.findall(r'"uid": "([^"]*prometheus)"', json.dumps(dashboard)))
    assert sources == {"prometheus"}


def test_package_holds_the_shared_files_and_no_examples(tmp_path: Path) -> None:
    archive = helm.package(CHART, destination=tmp_path, version="1.2.3", app_version="1.2.3")
    with tarfile.open(archive) as packed:
        files = {member.name: member.isfile() for member in packed}
        config = packed.extractfile("affect/files/redis.conf")
        assert config is not None and config.read() == (ROOT / "docker" / "redis.conf").read_bytes()
    assert all(files.values()) and not any(name.startswith("affect/ci/") for name in files)
    assert "affect/README.md" in files and "affect/values.schema.json" in files


def test_notes_say_what_is_missing() -> None:
    with helm.Chart.load(CHART) as chart:
        notes = {case: chart.render(values_of(case), name="affect", namespace="prod") for case in CASES}
    texts = {case: files["affect/templates/NOTES.txt"] for case, files in notes.items()}
    assert "https://affect.example/" in texts["production"] and "keda" not in texts["production"]
    assert "delete pvc affect-data data-affect-redis-0" in texts["gpu"] and "keda.enabled" in texts["gpu"]
