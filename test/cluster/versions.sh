# What is built, and in which versions; Kubernetes and etcd are pinned in go/kubernetes/go.mod. Sourced by env.sh.
kwok_version=v0.8.0
containerd_version=v2.3.7
runc_version=v1.4.3
cni_version=v1.9.1
kueue_version=v0.19.2
kubernetes_version=$(sed -n 's/^[[:space:]]*k8s.io\/kubernetes \(v[^ ]*\).*/\1/p' "$(dirname "${BASH_SOURCE[0]}")/go/kubernetes/go.mod" | head -1)
