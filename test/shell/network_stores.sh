#!/bin/bash
# A sample of the comparison over a real network of 1,504 stores: see bench/network/stores.
exec env SAMPLE="${SAMPLE:-60}" "$(dirname "$0")/../../bench/network/stores"
