#!/bin/bash
# cut.sh: cuts the first trading days out of the Online Retail file: cut.sh FULL_FILE.csv.zst > orders.csv.gz
set -eu
zstd -dc "$1" | awk -F, 'NR == 1 { print; next } match($0, /20[0-9][0-9]-[0-9][0-9]-[0-9][0-9] [0-9][0-9]:/) { if (substr($0, RSTART, 10) > "2010-12-03") exit; print }' | gzip -9n
