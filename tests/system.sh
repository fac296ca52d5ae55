#!/usr/bin/env bash
# PostgreSQL for the catalog's tests. Where it cannot be had those tests are skipped, in one loud line.
set -u
if ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null 2>&1; then exit 0; fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    (apt-get update && apt-get install -y --no-install-recommends postgresql) >/dev/null 2>&1 && exit 0
fi
echo "WARNING: no PostgreSQL here (initdb not found), so the catalog is tested on SQLite alone" >&2
exit 0
