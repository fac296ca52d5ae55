#!/usr/bin/env bash
# What tests need from the system: PostgreSQL for the catalog's, Chromium for those of the review page.
# Where one cannot be had its tests are skipped, and one loud line says so.
set -u

wanted=()
have_postgres() { ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null 2>&1; }
have_browser() { [ -x /usr/bin/chromium ] || [ -n "${KAOSET_CHROMIUM:-}" ]; }

have_postgres || wanted+=(postgresql)
have_browser || wanted+=(chromium)
if [ "${#wanted[@]}" -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    (apt-get update && apt-get install -y --no-install-recommends "${wanted[@]}") >/dev/null 2>&1
fi
have_postgres || echo "WARNING: no PostgreSQL here (initdb not found), so the catalog is tested on SQLite alone" >&2
have_browser || echo "WARNING: no Chromium here (/usr/bin/chromium), so nobody tests the review page in a browser" >&2
exit 0
