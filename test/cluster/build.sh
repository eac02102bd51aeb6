#!/bin/bash
# Builds Kubernetes, etcd, KWOK, containerd, runc and the CNI plugins from their Go modules into $CLUSTER_BIN. What is there is
# not built again; an interrupted build goes on where it was.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

programs=9
number=0
export CGO_ENABLED=0
export GOFLAGS="-buildvcs=false -trimpath" GOWORK=off
mkdir -p "$bin/cni"

# Runs a build whose last argument but the package is made here, so that only whole programs get their name.
build() { # NAME GO-BUILD-ARGUMENTS...
  local name=$1
  shift
  [ -x "$bin/$name" ] && return 0
  go build -o "$bin/$name.part" "$@" && mv "$bin/$name.part" "$bin/$name"
}

# A program of another module is built inside that module, so that its own go.mod (with replace lines) and go.sum count.
module() { go mod download -json "$1@$2" | sed -n 's/.*"Dir": "\(.*\)",/\1/p'; }
build_in() { # NAME MODULE VERSION GO-BUILD-ARGUMENTS...
  local name=$1 directory
  [ -x "$bin/$name" ] && return 0
  directory=$(module "$2" "$3")
  shift 3
  (cd "$directory" && build "$name" -mod=readonly "$@")
}

next() { # TITLE NAME...: counts, and tells when something is to be built
  local title=$1 name
  shift
  number=$((number + 1))
  for name; do
    [ -x "$bin/$name" ] || { say "building $title, $number of $programs"; return 0; }
  done
}

started=$SECONDS
version=k8s.io/component-base/version
minor=${kubernetes_version#v1.}
stamp="-X $version.gitVersion=$kubernetes_version -X $version.gitMajor=1 -X $version.gitMinor=${minor%%.*} -X $version.gitTreeState=clean"
for name in kube-apiserver kube-controller-manager kube-scheduler kubelet kubectl; do
  next "$name $kubernetes_version" "$name"
  (cd "$here/go/kubernetes" && build "$name" -mod=readonly -ldflags "-s -w $stamp" "k8s.io/kubernetes/cmd/$name")
done

next etcd etcd
(cd "$here/go/kubernetes" && build etcd -mod=readonly -ldflags "-s -w" go.etcd.io/etcd/server/v3)

next "KWOK $kwok_version" kwok kwok-stages
build_in kwok sigs.k8s.io/kwok "$kwok_version" -ldflags "-s -w -X sigs.k8s.io/kwok/pkg/consts.Version=$kwok_version" ./cmd/kwok
# KWOK's own stages (a node becomes Ready, a pod runs, fails on demand, is deleted) come from its module; ours add how a Job's pod ends.
if [ ! -e "$bin/kwok-stages" ]; then
  stages=$(module sigs.k8s.io/kwok "$kwok_version")/kustomize/stage
  for file in "$stages"/node/fast/node-initialize.yaml "$stages"/node/heartbeat-with-lease/node-heartbeat-with-lease.yaml \
    "$stages"/pod/fast/pod-ready.yaml "$stages"/pod/fast/pod-delete.yaml "$stages"/pod/chaos/pod-container-running-failed.yaml \
    "$here/kwok/pod-complete.yaml"; do
    echo ---
    cat "$file"
  done > "$bin/kwok-stages.part"
  mv "$bin/kwok-stages.part" "$bin/kwok-stages" && chmod +x "$bin/kwok-stages"
fi

next "containerd $containerd_version" containerd containerd-shim-runc-v2 ctr
for name in containerd containerd-shim-runc-v2 ctr; do
  build_in "$name" github.com/containerd/containerd/v2 "$containerd_version" \
    -ldflags "-s -w -X github.com/containerd/containerd/v2/version.Version=$containerd_version" "./cmd/$name"
done

next "runc $runc_version and the CNI plugins $cni_version" runc cni/bridge cni/loopback cni/host-local pause forward
for name in main/bridge main/loopback ipam/host-local; do
  build_in "cni/${name#*/}" github.com/containernetworking/plugins "$cni_version" -ldflags "-s -w" "./plugins/$name"
done
for name in pause forward; do
  (cd "$here/go/programs" && build "$name" -ldflags "-s -w" "./$name")
done
# runc needs cgo and, because the pause container always gets a seccomp profile, libseccomp: Debian's, unpacked and linked statically.
if [ ! -x "$bin/runc" ]; then
  seccomp=$(mktemp -d)
  unpack_packages "$seccomp" libseccomp-dev
  rm -f "$seccomp"/usr/lib/*/libseccomp.so
  # Go's build cache knows packages by these variables, and not by what pkg-config says.
  export CGO_CFLAGS=-I$seccomp/usr/include CGO_LDFLAGS=-L$(dirname "$seccomp"/usr/lib/*/libseccomp.a)
  export PKG_CONFIG_PATH=$(dirname "$seccomp"/usr/lib/*/pkgconfig/libseccomp.pc) PKG_CONFIG_SYSROOT_DIR=$seccomp
  CGO_ENABLED=1 build_in runc github.com/opencontainers/runc "$runc_version" -tags seccomp \
    -ldflags "-s -w -X main.version=${runc_version#v}" .
  rm -rf "$seccomp"
fi
say "binaries ready after $((SECONDS - started)) s: $(du -sh "$bin" | cut -f1) in $bin"
