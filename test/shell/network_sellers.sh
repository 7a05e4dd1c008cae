#!/bin/bash
# A sample of a marketplace's real orders, priced with the freight that was paid: see bench/network/sellers.
exec "$(dirname "$0")/../../bench/network/sellers"
