#!/bin/sh
# Makes the secrets of compose.yaml, in the folder `secrets` beside it or in the one that is given. What is there stays.
set -eu
folder=${1:-$(dirname "$0")/secrets}
# The folder is for its owner alone; containers read the files in it under accounts of their own.
(umask 077 && mkdir -p "$folder")
umask 022
make() {
    [ -e "$folder/$1" ] || openssl rand -hex "$2" > "$folder/$1"
}
make postgres-password 24
make s3-access-key 10
make s3-secret-key 24
if [ ! -e "$folder/s3.json" ]; then
    cat > "$folder/s3.json" <<END
{"identities": [{"name": "disinherit", "actions": ["Admin", "Read", "Write", "List", "Tagging"],
  "credentials": [{"accessKey": "$(cat "$folder/s3-access-key")", "secretKey": "$(cat "$folder/s3-secret-key")"}]}]}
END
fi
# What certificates are signed with, and what they are checked with.
if [ ! -e "$folder/proof.pem" ]; then
    openssl genpkey -algorithm ed25519 -out "$folder/proof.pem"
    chmod 644 "$folder/proof.pem"
    openssl pkey -in "$folder/proof.pem" -pubout -out "$folder/proof.pem.pub"
fi
