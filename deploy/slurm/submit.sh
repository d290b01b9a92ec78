#!/usr/bin/env bash
# Answers one request on many nodes:
#
#     export DISINHERIT_REGISTRY=s3://team/models
#     submit.sh SHARDS --forget class=rocket --data /shared/photos
#
# Everything after the number of shards goes to `disinherit unlearn`. Account, partition and the like come from the
# SBATCH_... variables that sbatch reads.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export DISINHERIT_SHARDS=${1:?"say how many shards: submit.sh SHARDS --forget WHAT ..."}
shift
: "${DISINHERIT_REGISTRY:?"set it to a registry that every node reaches"}"
# Nodes with another version of the program refuse their shards.
version=$(disinherit --version)
export DISINHERIT_EXPECT_VERSION=${version##* }

shards=$(sbatch --parsable --array="1-$DISINHERIT_SHARDS" "$here/shard.sbatch" "$@")
# On clusters of clusters the number comes with a name.
shards=${shards%%;*}
publish=$(sbatch --parsable --dependency="afterok:$shards" --kill-on-invalid-dep=yes "$here/publish.sbatch" "$@")
echo "shards: job $shards; publishing: job ${publish%%;*}"
