#!/bin/sh
# Starts a program with secrets from files: where NAME_FILE names a file, NAME is what it holds.
set -eu
for name in AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY PGPASSWORD; do
    file=$(printenv "${name}_FILE" || true)
    if [ -n "$file" ]; then
        value=$(cat "$file")
        export "$name=$value"
    fi
done
exec "$@"
