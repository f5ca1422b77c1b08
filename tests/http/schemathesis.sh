#!/bin/sh
# Holds a running server against its own OpenAPI document.
#   tests/http/schemathesis.sh BASE_URL [API-KEY] [further options of `st run`]
# Needs schemathesis 4 (PyPI); SCHEMATHESIS names the program if it is not `st` on the path.
set -eu
base=${1:?usage: schemathesis.sh BASE_URL [API-KEY] [OPTION…]}
shift
key=${1:-}
[ $# -gt 0 ] && shift
here=$(cd "$(dirname "$0")" && pwd)
[ -z "$key" ] || set -- --header "Authorization: Bearer $key" "$@"
exec "${SCHEMATHESIS:-st}" --config-file "$here/schemathesis.toml" run "$base/v1/openapi.json" \
    --checks all --no-color "$@"
