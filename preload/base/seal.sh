#!/bin/sh
# seal.sh AR OBJCOPY IN.a SYMBOLS OUT.a
#
# Makes a private copy of jemalloc: no C++ member (it defines operator new),
# no constructor (it would start in every process), and the symbols of the
# list renamed, so that neither its own malloc nor what it calls is found by,
# or finds, anybody else.
set -eu
ar=$1 objcopy=$2 in=$3 symbols=$4 out=$5
rm -f "$out"
cp "$in" "$out"
"$ar" d "$out" jemalloc_cpp.pic.o
"$objcopy" --redefine-syms="$symbols" --strip-debug \
	--remove-section=.init_array --remove-section=.rela.init_array "$out"
"$ar" s "$out"
