#!/bin/sh
# Installs what the tests need from Debian's packages, and nothing that is there already.
set -eu
want=""
need() { command -v "$1" >/dev/null 2>&1 || want="$want $2"; }
need gcc gcc
need pkg-config pkg-config
need etcd etcd-server
need iptables iptables
need ip iproute2
need mount mount
[ -x /usr/lib/cni/bridge ] || want="$want containernetworking-plugins"
[ -e /usr/include/seccomp.h ] || want="$want libseccomp-dev"
need kubectl kubernetes-client
if [ -n "$want" ]; then
	[ "$(id -u)" = 0 ] || { echo "missing packages, and only root can install them: apt-get install$want" >&2; exit 1; }
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq
	# shellcheck disable=SC2086 # one word a package
	apt-get install -y -qq --no-install-recommends $want
fi
