"""Settings from the environment and from files."""

import ast
import inspect
from pathlib import Path

import pytest
from pydantic import ValidationError
from redis import Redis

from app.settings import Settings
from workers.protocol.settings import SharedSettings


def test_setting_may_come_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keys").write_text(f"ann:{'0' * 64},bob:{'1' * 64}\n")
    monkeypatch.setenv("AFFECT_API_KEYS_FILE", str(tmp_path / "keys"))
    assert [key.name for key in Settings().api_keys] == ["ann", "bob"]
    monkeypatch.setenv("AFFECT_API_KEYS", f"eve:{'2' * 64}")
    assert [key.name for key in Settings().api_keys] == ["eve"]
    monkeypatch.delenv("AFFECT_API_KEYS")
    monkeypatch.setenv("AFFECT_API_KEYS_FILE", str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError):
        Settings()


def test_redis_password_may_come_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "password").write_text("p@ss/w:rd%\n")
    monkeypatch.setenv("AFFECT_REDIS_PASSWORD_FILE", str(tmp_path / "password"))
    settings = SharedSettings(redis_url="redis://redis:6379/0")
    kept = Redis.from_url(settings.redis_url).connection_pool.connection_kwargs
    assert (kept["password"], kept["host"], kept["port"]) == ("p@ss/w:rd%", "redis", 6379)
    assert SharedSettings(redis_url="rediss://user@redis").redis_url.startswith("rediss://user:p%40ss")
    with pytest.raises(ValidationError, match="holds no password"):
        SharedSettings(redis_url="redis://:other@redis")
    with pytest.raises(ValidationError, match="redis://"):
        SharedSettings(redis_url="unix:///redis.sock")


def test_rejected_value_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFFECT_API_KEYS", "ann:my-secret-key")
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert "my-secret-key" not in str(refused.value)


def test_settings_import_no_features() -> None:
    tree = ast.parse(Path(inspect.getfile(SharedSettings)).read_text())
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    own = {module for module in modules if module.split(".")[0] in ("app", "ml", "workers")}
    assert own == {"workers.protocol.settings_base"}


@pytest.mark.parametrize("protocol", ["tcp", "udp", "sctp"])
def test_settings_ports_of_a_kubernetes_service_of_the_same_name_are_ignored(
    monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    """Services called `affect` and `affect-metrics` put these into the environment of every container."""
    monkeypatch.setenv("AFFECT_PORT", f"{protocol}://10.0.0.7:80")
    monkeypatch.setenv("AFFECT_PORT_80_TCP_PORT", "80")
    monkeypatch.setenv("AFFECT_SERVICE_PORT", "80")
    monkeypatch.setenv("AFFECT_METRICS_PORT", f"{protocol}://10.0.0.8:9100")
    assert (Settings().port, Settings().metrics_port) == (8000, None)
    monkeypatch.setenv("AFFECT_PORT", "8080")
    assert Settings().port == 8080
    monkeypatch.setenv("AFFECT_PORT", "10.0.0.7:80")
    with pytest.raises(ValidationError):
        Settings()
