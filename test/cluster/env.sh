# What the shell parts of the test cluster share: where things are, versions, and few functions. Sourced, never run.
# CLUSTER_HOME (binaries, images, state) is set by whoever calls; Node's side is test/cluster/support.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${CLUSTER_HOME:?is the directory of binaries, images and state}"

. "$here/versions.sh"

bin=${CLUSTER_BIN:?is the directory of the binaries}
images=$CLUSTER_HOME/images
state=$CLUSTER_HOME/run
log=$state/log
pki=$state/pki
socket=$state/containerd.sock
export PATH=$bin:$PATH KUBECACHEDIR=$state/kubectl-cache

# The cluster has a network of its own, joined to the machine's by one pair of devices; the kernel removes all of it with the last process.
link=anneal0
host_address=10.213.255.1 # the machine, as pods see it
node_address=10.213.255.2 # the node and the API server, as the machine sees them
pod_network=10.213.0.0/24
service_network=10.213.128.0/24
kubernetes_service=10.213.128.1
cgroup=anneal-cluster

say() { echo "cluster: $*" >&2; }

# Unpacks Debian packages and all that they depend on: nothing is installed, no maintainer script runs, no root is needed.
unpack_packages() { # DIRECTORY PACKAGE...
  local root=$1 work apt directory archive
  shift
  work=$(mktemp -d)
  mkdir -p "$work/archives/partial" "$work/lists/partial" "$root"
  : > "$work/status"
  apt=(apt-get -q -y -o APT::Sandbox::User=root -o Debug::NoLocking=1 -o Dir::State::status="$work/status"
    -o Dir::Cache::archives="$work/archives" -o APT::Install-Recommends=false -o Dpkg::Use-Pty=0)
  if ! "${apt[@]}" --download-only install "$@" > "$work/log" 2>&1; then
    # The machine may have no package lists, or old ones: own lists, and once more.
    apt+=(-o Dir::State::lists="$work/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=)
    "${apt[@]}" update >> "$work/log" 2>&1 && "${apt[@]}" --download-only install "$@" >> "$work/log" 2>&1 ||
      { tail -n 5 "$work/log" >&2; say "the Debian packages $* could not be fetched"; return 1; }
  fi
  for directory in bin sbin lib lib64; do
    mkdir -p "$root/usr/$directory"
    [ -e "$root/$directory" ] || ln -s "usr/$directory" "$root/$directory"
  done
  for archive in "$work"/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$archive" | tar -x --keep-directory-symlink --no-same-owner -C "$root"
  done
  rm -rf "$work" "$root"/usr/share/{doc,man,info,locale,lintian,bash-completion}
}

wait_for() { # SECONDS WHAT COMMAND...
  local seconds=$1 what=$2 end=$((SECONDS + $1))
  shift 2
  while [ $SECONDS -le $end ]; do
    "$@" > /dev/null 2>&1 && return 0
    sleep 0.2
  done
  say "gave up after $seconds s waiting for $what; logs are in $log"
  return 1
}

# Into the node's image store, unless this very file is there already: the store is kept between runs.
load_image() { # NAME
  local mark=$CLUSTER_HOME/containerd/.loaded-$1 ctr=(ctr -a "$socket" -n k8s.io images)
  [ "$(cat "$mark" 2> /dev/null)" = "$(cat "$images/$1.stamp")" ] && "${ctr[@]}" ls -q 2> /dev/null | grep -qxF "kube.local/$1:1" && return 0
  "${ctr[@]}" import --local "$images/$1.tar" >> "$log/images.log" 2>&1 && cp "$images/$1.stamp" "$mark"
}
