#!/usr/bin/env bash
# image.sh PROGRAM ARCH FILE: writes a container image as an archive, without an engine or a registry: the program, the
# certificate authorities, and nothing else. ARCH is amd64 or arm64. The archive is an OCI layout that `docker load` and
# `podman load` read too. scripts/dist.sh calls it, and installs the list of certificate authorities.
set -euo pipefail
cd "$(dirname "$0")/.."

NAME=mackerel-plugin-wasm
CERTIFICATES=target/tools-dist/python/certifi/cacert.pem

main() {
  PROGRAM=$1 ARCH=$2 FILE=$3
  WORK=$(mktemp -d)
  trap 'rm -rf "$WORK"' EXIT
  BLOBS=$WORK/image/blobs/sha256
  mkdir -p "$BLOBS"
  layer
  local created layer config manifest
  created=$(date --utc --date "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
  layer=$(blob "$WORK/layer.tar")
  config=$(blob <(cat <<END
{"created":"$created","architecture":"$ARCH","os":"linux","config":{"Env":["PATH=/usr/bin"],"Entrypoint":["/usr/bin/$NAME"],"Labels":{"org.opencontainers.image.title":"$NAME","org.opencontainers.image.version":"$VERSION","org.opencontainers.image.revision":"$MACKEREL_PLUGIN_WASM_COMMIT","org.opencontainers.image.licenses":"MIT OR Apache-2.0"}},"rootfs":{"type":"layers","diff_ids":["sha256:$layer"]},"history":[{"created":"$created","created_by":"scripts/image.sh"}]}
END
  ))
  manifest=$(blob <(cat <<END
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":$(descriptor application/vnd.oci.image.config.v1+json "$config"),"layers":[$(descriptor application/vnd.oci.image.layer.v1.tar "$layer")]}
END
  ))
  printf '{"imageLayoutVersion":"1.0.0"}' > "$WORK/image/oci-layout"
  cat > "$WORK/image/index.json" <<END
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:$manifest","size":$(size "$manifest"),"platform":{"architecture":"$ARCH","os":"linux"},"annotations":{"io.containerd.image.name":"$NAME:$VERSION-$ARCH","org.opencontainers.image.ref.name":"$VERSION-$ARCH"}}]}
END
  # Engines before Docker 25 read this file instead of the index.
  cat > "$WORK/image/manifest.json" <<END
[{"Config":"blobs/sha256/$config","RepoTags":["$NAME:$VERSION-$ARCH"],"Layers":["blobs/sha256/$layer"]}]
END
  archive "$WORK/image" "$FILE"
}

# Writes the only layer. /tmp is for state, unless MACKEREL_PLUGIN_WORKDIR names a volume.
layer() {
  local root=$WORK/root
  install -D -m 755 "$PROGRAM" "$root/usr/bin/$NAME"
  install -D -m 644 $CERTIFICATES "$root/etc/ssl/certs/ca-certificates.crt"
  install -d "$root/usr/share/doc/$NAME"
  install -m 644 LICENSE-APACHE LICENSE-MIT target/artifacts/THIRD-PARTY-LICENSES.txt "$root/usr/share/doc/$NAME/"
  install -d -m 1777 "$root/tmp"
  archive "$root" "$WORK/layer.tar"
}

# Archives the folder $1 as the file $2, with the same bytes for the same content.
archive() {
  local names
  mapfile -t names < <(cd "$1" && ls)
  tar --create --file "$2" --directory "$1" --sort=name --format=ustar --owner=0 --group=0 --numeric-owner \
    --mtime "@$SOURCE_DATE_EPOCH" "${names[@]}"
}

# Copies a file to the blobs, and prints its digest.
blob() {
  cat "$1" > "$WORK/blob"
  local digest
  digest=$(sha256sum < "$WORK/blob" | cut -d' ' -f1)
  mv "$WORK/blob" "$BLOBS/$digest"
  echo "$digest"
}

size() { stat --format %s "$BLOBS/$1"; }

# Prints the descriptor of a blob with the media type $1 and the digest $2.
descriptor() { printf '{"mediaType":"%s","digest":"sha256:%s","size":%s}' "$1" "$2" "$(size "$2")"; }

main "$@"
