#!/bin/bash
# The exact router against a general MIP solver (GLPK).  MIP_SECONDS sets how long.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
gcc -std=gnu11 -O2 -g -Wall -Wextra -Werror -o "$folder/route_kernel_mip" \
	test/unit/route_kernel_mip.c src/route_kernel*.c -lglpk -lm
"$folder/route_kernel_mip" "${MIP_SECONDS:-30}"
