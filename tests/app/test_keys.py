"""API keys and the command that creates them."""

import hashlib
import subprocess
import sys
from io import StringIO

import pytest

from app import keys
from app.keys import ApiKey
from tests.app.calls import KEYS, bearer
from tests.app.conftest import OpenGateway


def test_keys_new_prints_a_key_that_works(open_gateway: OpenGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-m", "app", "keys", "new", "team-a"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    key, entry = (line.split()[-1] for line in shown.splitlines())
    assert entry == f"team-a:{hashlib.sha256(key.encode()).hexdigest()}"
    monkeypatch.setenv("AFFECT_API_KEYS", f"{KEYS},{entry}")
    assert open_gateway().client.get("/v1/jobs", headers=bearer(key)).status_code == 200


def test_keys_hash_prints_entry_of_given_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", StringIO("secret\n"))
    keys.main(["hash", "ann"])
    entry = capsys.readouterr().out.split()[-1]
    assert entry == ApiKey.parse(entry).entry == ApiKey.from_key("ann", "secret").entry


@pytest.mark.parametrize("arguments", [("new", "two words"), ("new",), ("hash", "ann"), ("old", "ann")])
def test_keys_invalid_arguments_exit_with_error(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", StringIO())
    with pytest.raises(SystemExit) as ended:
        keys.main(arguments)
    assert ended.value.code == 2 and not capsys.readouterr().out
