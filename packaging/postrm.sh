#!/bin/sh
# Removes root's installed collectors on `purge`.
[ "$1" != purge ] || rm -rf /var/lib/mackerel-plugin-wasm
