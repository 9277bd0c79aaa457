"""Redis with a password, behind TLS and on a socket: broker, job store and events use it, and trust no other."""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from kombu.exceptions import OperationalError
from redis import Redis, RedisError

from tests import media_files
from tests.cluster import BARE, Cluster, free_port
from tests.redis_server import RedisServer
from workers.protocol.broker import make_celery, pending_wake_ups, send_wake_up
from workers.protocol.settings import SharedSettings

PASSWORD = "a secret / with:signs@"
ENCODED = "a%20secret%20%2F%20with%3Asigns%40"


@dataclass(frozen=True)
class Authority:
    """A certificate authority of a test, and a server's certificate for 127.0.0.1 that it signed."""

    authority: Path
    certificate: Path
    key: Path

    @classmethod
    def make(cls, folder: Path) -> "Authority":
        folder.mkdir()
        authority_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        authority_name, server_name = (
            x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in ("authority", "redis")
        )
        now = datetime.now(UTC)

        def builder(subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
            return (
                x509.CertificateBuilder(subject_name=subject, issuer_name=authority_name, public_key=key.public_key())
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - timedelta(hours=1))
                .not_valid_after(now + timedelta(hours=1))
            )

        loopback = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        signs = x509.BasicConstraints(ca=True, path_length=None)
        root = builder(authority_name, authority_key).add_extension(signs, True).sign(authority_key, hashes.SHA256())
        leaf = builder(server_name, server_key).add_extension(loopback, False).sign(authority_key, hashes.SHA256())
        made = cls(folder / "ca.pem", folder / "redis.pem", folder / "redis.key")
        made.authority.write_bytes(root.public_bytes(serialization.Encoding.PEM))
        made.certificate.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
        made.key.write_bytes(
            server_key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return made


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.make(tmp_path / "trusted")


@pytest.fixture
def secured(authority: Authority) -> Iterator[RedisServer]:
    """A Redis that takes nothing but TLS, and the password."""
    port = free_port()
    options = {
        "tls-port": str(port),
        "tls-cert-file": str(authority.certificate),
        "tls-key-file": str(authority.key),
        "tls-ca-cert-file": str(authority.authority),
        "tls-auth-clients": "no",
        "requirepass": PASSWORD,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    url = f"rediss://:{ENCODED}@127.0.0.1:{port}/0?ssl_ca_certs={authority.authority}"
    with RedisServer(*words, url=url) as server:
        yield server


def works(cluster: Cluster, folder: Path) -> bool:
    cluster.store.write_bundle(BARE)
    cluster.start_worker()
    gateway = cluster.start_gateway()
    cluster.wait_for_workers()
    job = gateway.post(media_files.make_image(folder / "a.png"))
    told = gateway.client.get(f"/v1/jobs/{job['id']}?wait=60").json()  # by the events, unless it was faster
    return cluster.ended(job["id"]).status == "succeeded" and told["status"] in ("running", "succeeded")


def test_a_job_goes_through_a_redis_behind_tls(secured: RedisServer, tmp_path: Path) -> None:
    with Cluster(tmp_path, secured) as cluster:
        assert works(cluster, tmp_path)
        assert PASSWORD not in cluster.log() and ENCODED not in cluster.log()


def test_a_socket_may_have_a_password(tmp_path: Path) -> None:
    server = RedisServer("--requirepass", PASSWORD)
    server.url = server.url.replace("unix://", f"unix://:{ENCODED}@")
    with server:
        assert Redis.from_url(server.url).ping()
        celery = make_celery(SharedSettings(redis_url=server.url))
        send_wake_up(celery, "inference")
        assert pending_wake_ups(celery, "inference") == 1


def test_another_authority_and_another_password_are_not_trusted(secured: RedisServer, tmp_path: Path) -> None:
    other = Authority.make(tmp_path / "other").authority
    place, _, trusted = secured.url.partition("?ssl_ca_certs=")
    urls = [f"{place}?ssl_ca_certs={other}", place, f"{place.replace(ENCODED, 'wrong')}?ssl_ca_certs={trusted}"]
    for url in urls:
        with pytest.raises(RedisError):
            Redis.from_url(url).ping()
        celery = make_celery(SharedSettings(redis_url=url))
        celery.conf.broker_transport_options |= {"max_retries": 1}
        with pytest.raises((RedisError, OperationalError)):
            pending_wake_ups(celery, "inference")
