#!/usr/bin/env bash
# engine.sh COMMAND…: runs COMMAND with a Docker engine of its own, in which the images of the CPU profile are built and
# loaded, on a Debian machine that has neither an engine nor a registry. Needs root, and packages of Debian and PyPI.
#
# The engine (Debian's docker.io) runs in a network of its own: it changes no firewall rule and opens no port of the
# machine. Base image: Debian and its Python by debootstrap, in place of python:3.12-slim-bookworm. Redis and Prometheus
# are Debian's, under the names of the images in docker-compose.yml; there is no stand-in for Grafana. What is built
# stays in AFFECT_ENGINE_DIR for the next time; AFFECT_ENGINE_BUILD=no takes the images of the last time.
set -euo pipefail
cd "$(dirname "$0")/../.."
state=${AFFECT_ENGINE_DIR:-/var/tmp/affect-engine}
version=${AFFECT_VERSION:-deploy-test}
mirror=http://deb.debian.org
[ "$(id -u)" -eq 0 ] || { echo "engine.sh needs root, or install Docker and run make deploy-test again." >&2; exit 1; }
mkdir -p "$state/archives"

say() { printf '%s engine: %s\n' "$(date +%T)" "$*"; }

build() { # NAME:TAG DOCKERFILE CONTEXT [ARGUMENT=VALUE…]
  local image=$1 file=$2 context=$3 began=$SECONDS archive; shift 3
  [ "${AFFECT_ENGINE_BUILD:-}" = no ] && return
  archive=$state/archives/${image//[\/:]/_}.tar
  nice buildah --root "$state/buildah" --runroot "$state/run" bud --isolation chroot --format docker --layers \
    --pull-never "${mounts[@]}" "${@/#/--build-arg=}" --iidfile "$state/id" -t "$image" -f "$file" "$context" > "$archive.log" 2>&1 ||
    { tail -40 "$archive.log" >&2; exit 1; }
  if [ "$(cat "$state/id")" != "$(cat "$archive.id" 2>/dev/null)" ]; then
    rm -f "$archive"
    buildah --root "$state/buildah" --runroot "$state/run" push --quiet "$image" "docker-archive:$archive:$image"
    cp "$state/id" "$archive.id"
  fi
  say "$image in $((SECONDS - began)) s"
}

bash docker/tools.sh dockerd=docker.io buildah debootstrap iptables ip=iproute2 nsenter=util-linux

# pip and apt of the build look where those of this machine look; nothing of it stays in an image.
option() { python3 -m pip config list | sed -n "s/^[^=]*\.$1='\(.*\)'$/\1/p" | tail -1; }
printf '[global]\n' > "$state/pip.conf"
mounts=(-v "$state/pip.conf:/etc/pip.conf:ro" -v /etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt:ro)
for name in index-url find-links cert proxy; do
  value=$(option "$name")
  [ -n "$value" ] && printf '%s = %s\n' "$name" "$value" >> "$state/pip.conf"
  [ "$name" = find-links ] && [ -d "$value" ] && mounts+=(-v "$value:$value:ro")
done

if [ ! -e "$state/rootfs/usr/bin/python" ]; then
  say "debootstrap"
  nice debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$state/rootfs" "$mirror/debian" > "$state/debootstrap.log"
  printf 'deb %s/debian bookworm main\ndeb %s/debian bookworm-updates main\ndeb %s/debian-security bookworm-security main\n' \
    "$mirror" "$mirror" "$mirror" > "$state/rootfs/etc/apt/sources.list"
  rm -rf "$state"/rootfs/var/cache/apt/archives/*.deb "$state"/rootfs/var/lib/apt/lists/*
  ln -s python3 "$state/rootfs/usr/bin/python"
fi
printf 'FROM scratch\nCOPY rootfs /\nCMD ["python3"]\n' > "$state/Dockerfile.base"
printf 'rootfs/proc\nrootfs/sys\n' > "$state/ignored"
mounts+=(--ignorefile "$state/ignored")
build affect-base:bookworm "$state/Dockerfile.base" "$state"
mounts=("${mounts[@]:0:${#mounts[@]}-2}")

build "affect-gateway:$version" docker/Dockerfile.gateway . PYTHON_IMAGE=localhost/affect-base:bookworm VERSION="$version"
build "affect-worker-cpu:$version" docker/Dockerfile.worker . PYTHON_IMAGE=localhost/affect-base:bookworm VERSION="$version" \
  AFFECT_ALLOW_CUDA_TORCH="${AFFECT_ALLOW_CUDA_TORCH:-}"
install_packages='apt-get update -qq && apt-get install -y -qq --no-install-recommends'
redis=$(sed -n 's/^ *image: \(redis:.*\)/\1/p' docker-compose.yml)
prometheus=$(sed -n 's/^ *image: \(prom\/.*\)/\1/p' docker-compose.yml)
printf 'FROM localhost/affect-base:bookworm\nRUN %s redis-server && install -d -o redis /data\nVOLUME /data\n' "$install_packages" > "$state/Dockerfile.redis"
printf 'FROM localhost/affect-base:bookworm\nRUN %s prometheus wget && install -d -o nobody /prometheus\nENTRYPOINT ["/usr/bin/prometheus"]\n' \
  "$install_packages" > "$state/Dockerfile.prometheus"
mkdir -p "$state/empty"
build "$redis" "$state/Dockerfile.redis" "$state/empty"
build "$prometheus" "$state/Dockerfile.prometheus" "$state/empty"

rm -f "$state/docker.pid" "$state/docker.sock"
unshare --net --mount --propagation private bash -c '
  ip link set lo up
  exec /usr/sbin/dockerd --data-root "$1/data" --exec-root "$1/exec" --pidfile "$1/docker.pid" \
    -H "unix://$1/docker.sock" --storage-driver overlay2' dockerd "$state" > "$state/dockerd.log" 2>&1 &
engine=$!
trap 'kill "$engine" 2>/dev/null; wait "$engine" || true' EXIT
export DOCKER_HOST="unix://$state/docker.sock" PATH="/usr/bin:$PATH"
for _ in $(seq 120); do docker version >/dev/null 2>&1 && break; sleep 0.5; done
docker version --format 'Engine {{.Server.Version}}' || { tail "$state/dockerd.log" >&2; exit 1; }
for archive in "$state"/archives/*.tar; do
  if ! docker image inspect "$(cat "$archive.id")" >/dev/null 2>&1; then nice docker load --quiet --input "$archive"; fi
done
docker image prune --force > /dev/null  # images of earlier times
nsenter --net --target "$engine" -- "$@"
