#!/bin/bash
# The exact router against a general MIP solver, where GLPK is installed
# (package libglpk-dev); skipped otherwise.  MIP_SECONDS sets how long.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if ! echo '#include <glpk.h>' | gcc -E - >/dev/null 2>&1; then
	echo "skipped: no glpk.h; install libglpk-dev to compare with a MIP solver"
	exit 77
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
gcc -std=gnu11 -O2 -g -Wall -Wextra -Werror -DROUTE_KERNEL_MIP -o "$folder/route_kernel_mip" \
	test/unit/route_kernel_mip.c src/route_kernel*.c -lglpk -lm
"$folder/route_kernel_mip" "${MIP_SECONDS:-30}"
