#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Makes the C library: build.sh [--release]
#
# target/c then has libguestfs.so.0.522.0 with its links, libguestfs.a, guestfs.h and
# libguestfs.pc.  The pkg-config file is for where the library is going to be: set PREFIX, LIBDIR
# and INCLUDEDIR; without PREFIX it is for target/c itself.
#
# A cdylib of Rust hides the functions of C that are linked into it, so the C compiler makes the
# shared library of the static one.

set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
profile=debug
case ${1-} in
    --release) profile=release ;;
    '') ;;
    *) echo "usage: $0 [--release]" >&2; exit 2 ;;
esac

target=${CARGO_TARGET_DIR:-$root/target}
out=$target/c
generated=$root/generated/c
version=0.522.0
# What `rustc --print native-static-libs` says.
libs='-lgcc_s -lutil -lrt -lpthread -lm -ldl -lc'

cd "$root"
if [ "$profile" = release ]; then
    cargo build --quiet --release -p guestfs-c
else
    cargo build --quiet -p guestfs-c
fi
mkdir -p "$out"

# Two builds at once must not see each other's halves.
tmp=$(mktemp -d "$out/build.XXXXXX")
trap 'rm -rf "$tmp"' EXIT

cp "$target/$profile/libguestfs_c.a" "$tmp/libguestfs.a"

# shellcheck disable=SC2086
${CC:-cc} -shared -o "$tmp/libguestfs.so" ${LDFLAGS-} \
    -Wl,-soname,libguestfs.so.0 \
    -Wl,--version-script,"$generated/exports.map" \
    -Wl,--gc-sections -Wl,-z,relro,-z,now -Wl,--no-undefined \
    -Wl,--whole-archive "$tmp/libguestfs.a" -Wl,--no-whole-archive $libs

release=$(sed -n 's/^version: {major: \([0-9]*\), minor: \([0-9]*\), release: \([0-9]*\)}.*/\1.\2.\3/p' api.yaml)
prefix=${PREFIX-$out}
libdir=${LIBDIR-${PREFIX+\$\{prefix\}/lib}}
includedir=${INCLUDEDIR-${PREFIX+\$\{prefix\}/include}}
sed -e "s|@PREFIX@|$prefix|" \
    -e "s|@LIBDIR@|${libdir:-\${prefix\}}|" \
    -e "s|@INCLUDEDIR@|${includedir:-\${prefix\}}|" \
    -e "s|@VERSION@|$release|" \
    -e "s|@LIBS_PRIVATE@|$libs|" \
    bindings/c/libguestfs.pc.in > "$tmp/libguestfs.pc"

cp "$generated/guestfs.h" "$tmp/guestfs.h"
mv "$tmp/libguestfs.so" "$out/libguestfs.so.$version"
mv "$tmp/libguestfs.a" "$tmp/libguestfs.pc" "$tmp/guestfs.h" "$out/"
ln -sfn "libguestfs.so.$version" "$out/libguestfs.so.0"
ln -sfn libguestfs.so.0 "$out/libguestfs.so"
