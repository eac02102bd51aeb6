#!/usr/bin/env python3
"""Writes an image as an archive that `ctr images import` accepts, without a registry.

write_image.py OUT.tar REFERENCE LAYER... [--env K=V] [--entrypoint ARGUMENT] [--cmd ARGUMENT] [--workdir DIRECTORY] [--user UID]

A layer is a directory, whose content it becomes, or a .tar of it.
Files get user 0 and time 0, names are sorted: the same input gives the same digests.
"""
import argparse
import hashlib
import io
import json
import os
import tarfile
import tempfile


def main():
    options = parse_arguments()
    folder = os.path.dirname(os.path.abspath(options.out))
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        layers = [as_layer(source, f"{scratch}/{index}.tar") for index, source in enumerate(options.layers)]
        ids = [digest(layer) for layer in layers]
        config = json.dumps(image_config(options, ids), sort_keys=True).encode()
        name = hashlib.sha256(config).hexdigest() + ".json"
        manifest = [{"Config": name, "RepoTags": [options.reference], "Layers": [f"{i}/layer.tar" for i in ids]}]
        with tarfile.open(options.out + ".part", "w", format=tarfile.GNU_FORMAT) as archive:
            for file, data in ((name, config), ("manifest.json", json.dumps(manifest).encode())):
                entry = tarfile.TarInfo(file)
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
            for layer_id, path in dict(zip(ids, layers)).items():
                archive.add(path, arcname=f"{layer_id}/layer.tar", filter=without_owner)
        os.replace(options.out + ".part", options.out)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out")
    parser.add_argument("reference")
    parser.add_argument("layers", nargs="+")
    parser.add_argument("--env", action="append", default=[])
    parser.add_argument("--entrypoint", action="append", default=[])
    parser.add_argument("--cmd", action="append", default=[])
    parser.add_argument("--workdir", default="/")
    parser.add_argument("--user", default="")
    return parser.parse_args()


def image_config(options, ids):
    machine = os.uname().machine
    past = "1970-01-01T00:00:00Z"
    return {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine),
        "os": "linux",
        "created": past,
        "config": {
            "Entrypoint": options.entrypoint or None,
            "Cmd": options.cmd or None,
            "Env": ["PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", *options.env],
            "WorkingDir": options.workdir,
            "User": options.user,
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{i}" for i in ids]},
        "history": [{"created": past} for _ in ids],
    }


def as_layer(source, out):
    if not os.path.isdir(source):
        return source
    with tarfile.open(out, "w", format=tarfile.GNU_FORMAT) as layer:
        for base, folders, files in os.walk(source):
            folders.sort()
            for name in sorted(files + folders):
                path = os.path.join(base, name)
                layer.add(path, arcname=os.path.relpath(path, source), recursive=False, filter=without_owner)
    return out


def without_owner(entry):
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = 0
    return entry


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else slow_digest(file)


def slow_digest(file):
    found = hashlib.sha256()
    while block := file.read(1 << 20):
        found.update(block)
    return found.hexdigest()


if __name__ == "__main__":
    main()
