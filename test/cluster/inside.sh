#!/bin/bash
# Process 1 of the cluster's namespaces, started by run.sh with the machine's network as file descriptor 7. Not more than bash: it
# reaps orphans (the containers' shims), which the kubelet would not.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
export KUBECONFIG=$state/admin.kubeconfig

# Runs a daemon, and again when it ends: at once, or, while $state/stopped/NAME is there, not before that is gone.
keep() { # NAME COMMAND...
  local name=$1
  shift
  while :; do
    while [ -e "$state/stopped/$name" ]; do sleep 0.1; done
    "$@" >> "$log/$name.log" 2>&1 7<&- &
    echo $! > "$state/pid/$name.part" && mv "$state/pid/$name.part" "$state/pid/$name"
    wait $! && echo "$name ended" || echo "$name ended with code $?"
    rm -f "$state/pid/$name"
    sleep 0.3
  done
}

join_network() {
  local machine=(nsenter --net=/proc/self/fd/7)
  ip link set lo up
  ip addr add "$kubernetes_service/32" dev lo
  ip link add eth0 type veth peer name "$link" netns /proc/self/fd/7
  ip addr add "$node_address/30" dev eth0
  ip link set eth0 up
  "${machine[@]}" ip addr add "$host_address/30" dev "$link"
  "${machine[@]}" ip link set "$link" up
  "${machine[@]}" ip route add "$pod_network" via "$node_address"
  ip route add default via "$host_address"
  echo 1 > /proc/sys/net/ipv4/ip_forward
}

# The kubelet sets these for the whole machine: here it finds, in files laid over them, that they are as it wants them.
hide_kernel_settings() {
  local setting
  mkdir "$state/kernel"
  for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 kernel/keys/root_maxkeys=1000000 \
    kernel/keys/root_maxbytes=25000000; do
    [ -e "/proc/sys/${setting%=*}" ] || continue
    echo "${setting#*=}" > "$state/kernel/$(basename "${setting%=*}")"
    mount --bind "$state/kernel/$(basename "${setting%=*}")" "/proc/sys/${setting%=*}"
  done
}

write_settings() {
  cat > "$state/cni/10-anneal.conflist" << J
{"cniVersion":"1.0.0","name":"anneal","plugins":[{"type":"bridge","bridge":"pods","isDefaultGateway":true,"hairpinMode":true,"ipMasq":false,
"ipam":{"type":"host-local","dataDir":"$state/addresses","ranges":[[{"subnet":"$pod_network"}]]}}]}
J
  cat > "$state/containerd.toml" << T
version = 3
root = "$CLUSTER_HOME/containerd"
state = "$state/containerd"
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.erofs", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "$socket"
[ttrpc]
  address = "$socket.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "$state/opt"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "kube.local/pause:1"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  disable_apparmor = true
  enable_cdi = false
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["$bin/cni"]
    conf_dir = "$state/cni"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      BinaryName = "$bin/runc"
      SystemdCgroup = false
T
  # An image that is collected cannot be pulled again: there is no registry.
  cat > "$state/kubelet.yaml" << K
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://$socket
address: $node_address
healthzPort: 0
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $pki/kubelet.crt
tlsPrivateKeyFile: $pki/kubelet.key
cgroupDriver: cgroupfs
cgroupRoot: /$cgroup
failCgroupV1: false
failSwapOn: false
podLogsDir: $state/pods
volumePluginDir: $state/volume-plugins
nodeStatusUpdateFrequency: 5s
maxPods: 200
makeIPTablesUtilChains: false
evictionHard: {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
K
  # What the cluster's own parts ask is left out: a test counts what its workers asked.
  cat > "$state/audit.yaml" << A
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, users: ["system:apiserver", "system:kube-controller-manager", "system:kube-scheduler", "kwok"]}
- {level: None, userGroups: ["system:nodes", "system:serviceaccounts:kube-system"]}
- {level: Metadata}
A
}

start_control_plane() {
  keep etcd etcd --data-dir "$state/etcd" --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
    --initial-cluster default=http://127.0.0.1:2380 --unsafe-no-fsync &
  keep apiserver kube-apiserver --etcd-servers=http://127.0.0.1:2379 --bind-address=0.0.0.0 --secure-port=443 \
    --advertise-address="$node_address" --service-cluster-ip-range="$service_network" --authorization-mode=Node,RBAC \
    --enable-admission-plugins=NodeRestriction --allow-privileged=true --client-ca-file="$pki/ca.crt" \
    --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
    --kubelet-client-certificate="$pki/apiserver-kubelet.crt" --kubelet-client-key="$pki/apiserver-kubelet.key" \
    --kubelet-certificate-authority="$pki/ca.crt" --kubelet-preferred-address-types=InternalIP \
    --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$pki/accounts.pub" \
    --service-account-signing-key-file="$pki/accounts.key" --enable-aggregator-routing=true \
    --audit-policy-file="$state/audit.yaml" --audit-log-path="$state/audit.log" --audit-log-maxsize=4000 &
  keep controllers kube-controller-manager --kubeconfig="$state/controllers.kubeconfig" --leader-elect=false --secure-port=0 \
    --kube-api-qps=300 --kube-api-burst=500 --use-service-account-credentials=true --root-ca-file="$pki/ca.crt" \
    --service-account-private-key-file="$pki/accounts.key" --cluster-signing-cert-file="$pki/ca.crt" \
    --cluster-signing-key-file="$pki/ca.key" --flex-volume-plugin-dir="$state/volume-plugins" --node-monitor-grace-period=20s &
  keep scheduler kube-scheduler --kubeconfig="$state/scheduler.kubeconfig" --leader-elect=false --secure-port=0 \
    --kube-api-qps=300 --kube-api-burst=500 &
}

start_node() {
  local directory name
  mount --make-rshared /
  # Whatever is mounted or written in these well-known places vanishes with the namespace.
  for directory in /run/containerd /run/netns /var/lib/cni /var/lib/kubelet /var/log/containers; do
    mkdir -p "$directory"
    mount -t tmpfs -o mode=755 anneal "$directory"
  done
  keep containerd containerd -c "$state/containerd.toml" &
  wait_for 30 containerd ctr -a "$socket" version
  # The image store is kept between runs, the containers of an earlier run are not.
  ctr -a "$socket" -n k8s.io containers ls -q | xargs -r ctr -a "$socket" -n k8s.io containers rm > /dev/null 2>&1 || true
  for name in $CLUSTER_IMAGES; do load_image "$name"; done
  wait_for 90 "the API server" kubectl get --raw /readyz
  keep kubelet run_kubelet &
}

run_kubelet() {
  claim_gpus &
  exec kubelet --config="$state/kubelet.yaml" --kubeconfig="$state/kubelet.kubeconfig" --root-dir="$state/kubelet" \
    --hostname-override=real-0 --node-ip="$node_address" \
    --node-labels=anneal.test/node=real,nvidia.com/gpu.product=NVIDIA-A100-SXM4-80GB,nvidia.com/gpu.count=2
}

# A kubelet that starts sets extended resources that no device plugin claims to 0: claimed again, until it stays.
claim_gpus() {
  local claim='{"status":{"capacity":{"nvidia.com/gpu":"2"},"allocatable":{"nvidia.com/gpu":"2"}}}' kept=0
  while [ $kept -lt 3 ]; do
    sleep 1
    [ "$(kubectl get node real-0 -o 'jsonpath={.status.allocatable.nvidia\.com/gpu}' 2> /dev/null)" = 2 ] && kept=$((kept + 1)) && continue
    kept=0
    kubectl patch node real-0 --subresource=status --type=merge -p "$claim" > /dev/null 2>&1 || true
  done
}

start_simulated_nodes() {
  local number
  keep kwok kwok --kubeconfig="$state/kwok.kubeconfig" --manage-all-nodes=false \
    --manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake --cidr=10.213.64.0/20 --node-ip="$node_address" --node-port=10247 \
    --server-address="$node_address:10247" --tls-cert-file="$pki/kwok.crt" --tls-private-key-file="$pki/kwok.key" \
    --node-lease-duration-seconds=40 --config="$bin/kwok-stages" &
  for number in 0 1 2; do
    cat << N
---
apiVersion: v1
kind: Node
metadata:
  name: fake-gpu-$number
  annotations: {kwok.x-k8s.io/node: fake}
  labels: {anneal.test/node: fake, kubernetes.io/hostname: fake-gpu-$number, kubernetes.io/os: linux, kubernetes.io/arch: amd64, node.kubernetes.io/instance-type: gpu-8, nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3, nvidia.com/gpu.count: "8"}
spec:
  taints: [{key: kwok.x-k8s.io/node, value: fake, effect: NoSchedule}]
status:
  capacity: &all {cpu: "96", memory: 1Ti, pods: "500", ephemeral-storage: 1Ti, nvidia.com/gpu: "8"}
  allocatable: *all
N
  done | kubectl create -f - > /dev/null
}

is_ready() {
  local ready
  ready=$(kubectl get nodes -o 'jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status} {.items[?(@.metadata.name=="real-0")].status.allocatable.nvidia\.com/gpu}')
  [ "$ready" = "True True True True 2" ] && kubectl -n default get serviceaccount default
}

join_network
hide_kernel_settings
write_settings
start_control_plane
start_node &
wait_for 90 "the API server" kubectl get --raw /readyz
start_simulated_nodes
wait_for 180 "the nodes" is_ready
echo "{\"hostAddress\":\"$host_address\",\"apiServer\":\"https://$node_address\",\"bin\":\"$bin\"}" > "$state/ready.part"
mv "$state/ready.part" "$state/ready"
wait
