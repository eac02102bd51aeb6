#!/bin/bash
# Makes images without a registry, $CLUSTER_HOME/images/NAME.tar, called kube.local/NAME:1 in pods: images.sh [--load] NAME...
#   pause     what holds a pod's namespaces
#   busybox   a static busybox and its applets
#   python    Debian's Python with the locked requirements of the churn example
#   anneal    ours: Node, the package with what it depends on (worker), and the programs of a pod (agent)
# What did not change is not made again. --load: into the cluster that is up, too. The files are those of Debian packages that are
# unpacked, not installed.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
umask 022
root=$(cd "$here/../.." && pwd)
requirements=$root/examples/churn/requirements.txt
uid=65532
mkdir -p "$images"

write_image() { "$here/write_image.py" "$images/$name.tar" "kube.local/$name:1" "$@"; }

file_system() { # DIRECTORY: what every root file system has
  mkdir -p "$1"/{etc,tmp,root,home/user,var/tmp,proc,sys,dev,run}
  chmod 1777 "$1/tmp" "$1/var/tmp"
  printf 'root:x:0:0:root:/root:/bin/sh\nuser:x:%s:%s::/home/user:/bin/sh\n' $uid $uid > "$1/etc/passwd"
  printf 'root:x:0:\nuser:x:%s:\n' $uid > "$1/etc/group"
}

certificates() { cat "$1"/usr/share/ca-certificates/mozilla/*.crt > "$1/etc/ssl/certs/ca-certificates.crt"; }

# Digest of files by name and content.
digest() { find "$@" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16; }

# A layer that is kept, for what changes less often than the rest of its image.
layer() { # LAYER STAMP FUNCTION: makes $images/LAYER.layer.tar with FUNCTION DIRECTORY
  local file=$images/$1.layer.tar
  if [ ! -f "$file" ] || [ "$(cat "$file.stamp" 2> /dev/null)" != "$2" ]; then
    rm -rf "$work/$1"
    mkdir -p "$work/$1"
    "$3" "$work/$1"
    chmod -R u+w "$work/$1"
    tar -C "$work/$1" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -cf "$file.part" .
    mv "$file.part" "$file"
    echo "$2" > "$file.stamp"
  fi
}

static_busybox() { # DIRECTORY: makes DIRECTORY/busybox
  unpack_packages "$work/busybox" busybox-static
  mkdir -p "$1"
  cp "$work/busybox/bin/busybox" "$1/busybox"
}

stamp_pause() { digest "$bin/pause"; }
image_pause() {
  mkdir "$work/files"
  cp "$bin/pause" "$work/files/pause"
  write_image "$work/files" --entrypoint /pause
}

stamp_busybox() { echo 1; }
image_busybox() {
  static_busybox "$work/files/bin"
  file_system "$work/files"
  "$work/files/bin/busybox" --list | while read -r applet; do
    [ "$applet" = busybox ] || ln -s busybox "$work/files/bin/$applet"
  done
  write_image "$work/files" --cmd sh
}

debian_python() {
  unpack_packages "$1" python3 python3-distutils libgomp1 libstdc++6 dash coreutils ca-certificates
  file_system "$1"
  ln -sf dash "$1/usr/bin/sh"
  ln -sf python3 "$1/usr/bin/python"
  certificates "$1"
}
stamp_python() { digest "$requirements"; }
image_python() {
  local version python
  layer python-base 1 debian_python
  version=$(tar -tf "$images/python-base.layer.tar" | sed -n 's#^\./usr/lib/python\(3\.[0-9]*\)/$#\1#p' | head -1)
  python3 -m pip install -q --root-user-action=ignore --no-input --disable-pip-version-check --require-hashes --no-deps --no-compile --only-binary=:all: \
    --implementation cp --python-version "$version" --platform "manylinux2014_$(uname -m)" --platform "manylinux_2_28_$(uname -m)" \
    --platform any --target "$work/files/usr/local/lib/python$version/dist-packages" -r "$requirements"
  # Not for steps: the packages' own tests, headers, and MLflow's Web UI.
  (cd "$work/files/usr/local/lib/python$version/dist-packages" &&
    rm -rf pyarrow/include mlflow/server/js bin && find . -mindepth 2 -type d -name tests -prune -exec rm -rf {} +)
  write_image "$images/python-base.layer.tar" "$work/files" --env PYTHONUNBUFFERED=1 --env PYTHONDONTWRITEBYTECODE=1 --cmd python3 \
    --user $uid
}

debian_node() {
  unpack_packages "$1" libstdc++6 dash coreutils ca-certificates
  file_system "$1"
  ln -sf dash "$1/usr/bin/sh"
  certificates "$1"
  mkdir -p "$1/usr/local/bin"
  cp "$(node -p 'require("fs").realpathSync(process.execPath)')" "$1/usr/local/bin/node"
  static_busybox "$1/opt/anneal"
}
# What package-lock.json says is needed to run, for this system only.
production_packages() {
  node - "$root" "$1/app" << 'N'
const { cpSync, existsSync, readFileSync } = require('node:fs');
const [root, out] = process.argv.slice(2);
const target = { x64: 'x86_64-unknown-linux-gnu', arm64: 'aarch64-unknown-linux-gnu' }[process.arch];
const unneeded = (file) => /\.(d\.[cm]?ts|map|md)$/.test(file) || (/core-bridge\/releases\/[^/]+/.test(file) && !file.includes(target));
for (const [name, entry] of Object.entries(JSON.parse(readFileSync(`${root}/package-lock.json`, 'utf8')).packages)) {
  if (!name.startsWith('node_modules/') || entry.dev || entry.devOptional || entry.link || !existsSync(`${root}/${name}`)) continue;
  const nested = `${root}/${name}/node_modules`;
  cpSync(`${root}/${name}`, `${out}/${name}`, { recursive: true, filter: (file) => file !== nested && !unneeded(file) });
}
N
}
stamp_anneal() { echo "$(node -v) $(digest "$root/package-lock.json") $(digest "$root/dist" "$root/packages"/*/dist "$root/package.json")"; }
image_anneal() {
  local package
  layer anneal-base "$(node -v)" debian_node
  layer anneal-packages "$(digest "$root/package-lock.json")" production_packages
  mkdir -p "$work/files/app/node_modules" "$work/files/opt/anneal" "$work/files/usr/local/bin" "$work/files/project/.anneal" "$work/files/home/anneal"
  cp -r "$root/package.json" "$root/dist" "$work/files/app/"
  for package in "$root"/packages/*; do
    mkdir -p "$work/files/app/node_modules/$(basename "$package")"
    cp -r "$package/package.json" "$package/dist" "$work/files/app/node_modules/$(basename "$package")/"
  done
  find "$work/files/app" \( -name '*.d.ts' -o -name '*.map' -o -name '*.tsbuildinfo' -o -name '.anneal*' \) -delete
  [ ! -d "$root/dist/pod" ] || cp -r "$root"/dist/pod/. "$work/files/opt/anneal/"
  printf '#!/bin/sh\nexec node /app/dist/cli/main.js "$@"\n' > "$work/files/usr/local/bin/anneal"
  chmod +x "$work/files/usr/local/bin/anneal"
  write_image "$images/anneal-base.layer.tar" "$images/anneal-packages.layer.tar" "$work/files" --env NODE_ENV=production \
    --workdir /project --user $uid --cmd anneal --cmd worker
}

load=
if [ "${1:-}" = --load ]; then
  load=1
  shift
fi
for name; do
  started=$SECONDS
  stamp="$(digest "${BASH_SOURCE[0]}" "$here/write_image.py") $("stamp_$name")"
  if [ ! -f "$images/$name.tar" ] || [ "$(cat "$images/$name.stamp" 2> /dev/null)" != "$stamp" ]; then
    say "making the image kube.local/$name:1"
    work=$(mktemp -d "$images/.work.XXXXXX")
    trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
    "image_$name"
    chmod -R u+w "$work"
    rm -rf "$work"
    trap - EXIT
    echo "$stamp" > "$images/$name.stamp"
    say "image kube.local/$name:1 made in $((SECONDS - started)) s: $(du -h "$images/$name.tar" | cut -f1)"
  fi
  [ -z "$load" ] || load_image "$name"
done
