#!/usr/bin/env bash
# Answers the request of request.yaml: shards first, then the publishing job. Arguments go to every call of kubectl,
# for instance `run.sh --namespace models --context cluster`.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

# Waits until a job has completed; fails as soon as it has failed.
finished() {
    local job=$1
    shift
    until kubectl wait --for=condition=complete --timeout=10s "job/$job" "$@" 2>/dev/null; do
        if kubectl wait --for=condition=failed --timeout=0s "job/$job" "$@" 2>/dev/null; then
            echo "$job failed: kubectl logs job/$job says why; nothing was published, and what was finished is kept" >&2
            return 1
        fi
    done
}

kubectl apply -f "$here/request.yaml" "$@"
# Jobs cannot be changed: one of an earlier request goes first.
kubectl delete job disinherit-shards disinherit-publish --ignore-not-found "$@"
kubectl apply -f "$here/shards.yaml" "$@"
finished disinherit-shards "$@"
kubectl apply -f "$here/publish.yaml" "$@"
finished disinherit-publish "$@"
kubectl logs job/disinherit-publish "$@"
