#!/bin/bash
# Replays the demo's stream, and the whole Online Retail file where it is present: the script itself refuses when an input
# line is not accounted for or audit() finds something; here the control sums are compared too.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
whole=${OMS_SHARED:-}/orders/online-retail/online_retail_2010-12_2011-06.csv.zst
export PGDATABASE=oms_replay
psql -qXd postgres -c 'CREATE DATABASE oms_replay'
trap 'psql -qXd postgres -c "DROP DATABASE oms_replay"' EXIT
expected='74826|-12159|150463.30'
export REPLAY_SOURCE="gzip -dc '$here/demo/orders.csv.gz'"
if [ -f "$whole" ]; then
    expected='2537615|-245448|4397950.761'
    export REPLAY_SOURCE="zstd -dc '$whole'"
else
    echo 'the whole file is not here: the cut only'
fi
psql -qX -v ON_ERROR_STOP=1 -f "$here/demo/replay.sql" > /dev/null 2>&1
found=$(psql -AtXc "SELECT sum(o.quantity) FILTER (WHERE o.quantity > 0), sum(o.quantity) FILTER (WHERE o.quantity < 0), sum(o.quantity * s.price)
                    FROM demo.outcome o JOIN demo.stream s USING (row)")
[ "$found" = "$expected" ] || { echo "sums are $found, not $expected"; exit 1; }
