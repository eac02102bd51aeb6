#!/bin/bash
# Is the cluster, as long as it runs: etcd, API server, controllers, scheduler, one real node and simulated ones, in PID, mount and network
# namespaces of their own. Ending this process, with any signal, ends all of it. $CLUSTER_HOME/run/ready appears when it is up.
# With CLUSTER_OWNED=1 it also ends with the process that started it.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

remove_cgroups() {
  local directory try
  for directory in /sys/fs/cgroup/$cgroup /sys/fs/cgroup/*/$cgroup; do
    [ -d "$directory" ] || continue
    for try in $(seq 50); do
      find "$directory" -depth -type d -exec rmdir {} + 2> /dev/null
      [ -d "$directory" ] || break
      sleep 0.1
    done
  done
}

make_authority() {
  openssl ecparam -name prime256v1 -genkey -noout -out ca.key
  openssl req -x509 -new -key ca.key -subj /CN=anneal-cluster -days 3650 -out ca.crt
  openssl ecparam -name prime256v1 -genkey -noout -out accounts.key
  openssl ec -in accounts.key -pubout -out accounts.pub
}

make_certificate() { # NAME SUBJECT [SUBJECT-ALTERNATIVE-NAMES]
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$1.key" -subj "$2" -out "$1.csr"
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -out "$1.crt" -extfile <(
    echo "keyUsage=digitalSignature"
    echo "extendedKeyUsage=clientAuth,serverAuth"
    [ -z "${3:-}" ] || echo "subjectAltName=$3"
  )
  rm -f "$1.csr"
}

write_kubeconfig() { # CERTIFICATE
  cat > "$state/$1.kubeconfig" << K
apiVersion: v1
kind: Config
clusters: [{name: anneal, cluster: {server: "https://$node_address", certificate-authority-data: $(base64 -w0 < ca.crt)}}]
users: [{name: $1, user: {client-certificate-data: $(base64 -w0 < "$1.crt"), client-key-data: $(base64 -w0 < "$1.key")}}]
contexts: [{name: anneal, context: {cluster: anneal, user: $1}}]
current-context: anneal
K
}

# One authority; client certificates with the names that the built-in roles expect.
make_identities() {
  cd "$pki"
  local name
  make_authority
  make_certificate apiserver /CN=kube-apiserver \
    "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:$kubernetes_service,IP:$node_address"
  make_certificate apiserver-kubelet /O=system:masters/CN=kube-apiserver-kubelet-client
  make_certificate admin /O=system:masters/CN=admin
  make_certificate controllers /CN=system:kube-controller-manager
  make_certificate scheduler /CN=system:kube-scheduler
  make_certificate kwok /O=system:masters/CN=kwok "IP:$node_address,IP:127.0.0.1"
  make_certificate kubelet /O=system:nodes/CN=system:node:real-0 "IP:$node_address,DNS:real-0"
  for name in admin controllers scheduler kwok kubelet; do write_kubeconfig $name; done
  cd "$state"
}

# The kubelet wants its root cgroup to exist in every hierarchy (v1) or in the one (v2).
make_cgroups() {
  local directory
  if [ -e /sys/fs/cgroup/cgroup.procs ]; then
    mkdir -p "/sys/fs/cgroup/$cgroup"
    return
  fi
  for directory in /sys/fs/cgroup/*; do
    [ ! -e "$directory/cgroup.procs" ] || mkdir -p "$directory/$cgroup"
  done
}

used=$(ip -4 route show root 10.213.0.0/16)
if [ -n "$used" ]; then
  say "the network 10.213.0.0/16 is in use on this machine (${used%%$'\n'*}); is another test cluster up?"
  exit 1
fi
remove_cgroups
rm -rf "$state"
mkdir -p "$state"/{pid,stopped,etcd,containerd,cni,kubelet,pods} "$log" "$pki" "$CLUSTER_HOME/containerd"
chmod 700 "$state"
make_identities 2> "$log/openssl.log"
make_cgroups

exec 7< /proc/self/ns/net
echo $$ > "$state/run.pid"
namespaces=(unshare --net --mount --pid --fork --mount-proc --kill-child=SIGKILL -- "$here/inside.sh")
[ "${CLUSTER_OWNED:-}" = 1 ] && namespaces=(setpriv --pdeathsig KILL -- "${namespaces[@]}")
exec "${namespaces[@]}" > "$log/cluster.log" 2>&1 < /dev/null
