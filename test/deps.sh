#!/bin/sh
# Installs what building and testing need from Debian's packages, and nothing that is there already.
# Kubernetes, etcd, containerd and runc are not among them: test/cluster builds those from source.
set -eu
want=""
need() { command -v "$1" >/dev/null 2>&1 || want="$want $2"; }
file() { [ -e "$1" ] || want="$want $2"; }
need gcc gcc
need pkg-config pkg-config
need ip iproute2
need mount mount
need kubectl kubernetes-client
file /usr/include/stdlib.h libc6-dev
file /usr/include/seccomp.h libseccomp-dev
file /usr/lib/cni/bridge containernetworking-plugins
programs="${XDG_CACHE_HOME:-$HOME/.cache}/gpulet/prometheus"
fetch=""
for p in prometheus promtool; do
	command -v "$p" >/dev/null 2>&1 || [ -x "$programs/usr/bin/$p" ] || fetch=prometheus
done
[ -n "$want$fetch" ] || exit 0
[ -z "$want" ] || [ "$(id -u)" = 0 ] || { echo "missing packages, and only root can install them: apt-get install$want" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive
# A source that does not answer is no reason to stop: what is missing shows in the next command.
[ "$(id -u)" != 0 ] || apt-get update -qq || true
if [ -n "$fetch" ]; then # unpacked beside the other programs: an installed package would start a server
	mkdir -p "$programs"
	(cd "$programs" && apt-get download -qq $fetch && dpkg -x prometheus_*.deb . && rm prometheus_*.deb)
fi
[ -n "$want" ] || exit 0
# shellcheck disable=SC2086 # one word a package
apt-get install -y -qq --no-install-recommends $want
