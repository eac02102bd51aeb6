#!/bin/bash
# Builds Kueue's controller from its Go module, once, with the manifests that belong to it, into $CLUSTER_HOME/kueue-VERSION:
# kueue.sh [--load]. --load: its image, kube.local/kueue:1, goes into the cluster that is up, too. Prints the directory. Whoever comes while
# another builds waits for it.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
made=$CLUSTER_HOME/kueue-$kueue_version
module=sigs.k8s.io/kueue
mkdir -p "$made" "$images"
exec 8> "$made/lock"
flock 8

if [ ! -x "$made/manager" ] || [ ! -f "$made/manifests.yaml" ]; then
  started=$SECONDS
  say "building Kueue $kueue_version"
  export CGO_ENABLED=0 GOFLAGS="-buildvcs=false -trimpath" GOWORK=off
  directory=$(go mod download -json "$module@$kueue_version" | sed -n 's/.*"Dir": "\(.*\)",/\1/p')
  kubectl kustomize "$directory/config/default" > "$made/manifests.yaml"
  # Inside its module, so that its own go.mod and go.sum count.
  (cd "$directory" && go build -mod=readonly -ldflags "-s -w -X $module/pkg/version.GitVersion=$kueue_version" -o "$made/manager.part" ./cmd/kueue) 8>&-
  mv "$made/manager.part" "$made/manager"
  say "Kueue built in $((SECONDS - started)) s"
fi

stamp=$(sha256sum "$made/manager" "$here/write_image.py" | sha256sum | cut -c1-16)
if [ "$(cat "$images/kueue.stamp" 2> /dev/null)" != "$stamp" ]; then
  files=$(mktemp -d "$images/.work.XXXXXX")
  trap 'rm -rf "$files"' EXIT
  mkdir -m 1777 "$files/tmp"
  cp "$made/manager" "$files/manager"
  "$here/write_image.py" "$images/kueue.tar" kube.local/kueue:1 "$files" --entrypoint /manager --user 65532
  echo "$stamp" > "$images/kueue.stamp"
fi
[ "${1:-}" != --load ] || load_image kueue
echo "$made"
