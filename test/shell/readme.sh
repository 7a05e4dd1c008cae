#!/bin/bash
# Runs every sql block of README.md and the reference as a stranger would, and checks that its make commands exist.
set -eu
export PGDATABASE=oms_readme
here=$(cd "$(dirname "$0")/../.." && pwd)
psql -qXd postgres -c 'CREATE DATABASE oms_readme'
trap 'psql -qXd postgres -c "DROP DATABASE oms_readme"' EXIT
cat "$here/README.md" "$here/docs/reference.md" | awk '/^```sql/ { on = 1; next } /^```/ { on = 0 } on' > "${TMPDIR:-/tmp}/readme.$$.sql"
psql -qXv ON_ERROR_STOP=1 -f "${TMPDIR:-/tmp}/readme.$$.sql" > /dev/null
rm -f "${TMPDIR:-/tmp}/readme.$$.sql"
[ "$(psql -AtXc 'SELECT count(*) FROM oms.audit()')" = 0 ]
for goal in demo test bench; do
    grep -q "\b$goal\b" "$here/Makefile"
    grep -q "make $goal" "$here/README.md"
done
# Every function that an application may call is in the reference.
missing=$(psql -AtXc "SELECT DISTINCT p.proname FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
    AND d.deptype = 'e' JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'oms' WHERE p.proname !~ '^init_' ORDER BY 1" |
    while read -r name; do grep -q "$name" "$here/README.md" "$here/docs/reference.md" || echo "$name"; done)
[ -z "$missing" ] || { echo "not documented: $missing"; exit 1; }
