#!/usr/bin/env bash
# Makes the golden files: what version 0.1.0 wrote and printed, which every later version must read.
#
#     ./make.sh PATH/TO/disinherit-0.1.0
#
# They are made once, by the binary of that version, and never again by a later one: `tests/suite/golden.rs`
# holds today's binary to them. A later version that changes a format adds a folder of its own beside
# this one. Only python3 (its standard library) is needed besides. Times and seconds are of the run, and the
# weights of the grown models may differ between processors, so two runs do not make equal files; each
# run's files agree among themselves.
#
# golden.toml      the recipe, in the form of 0.1.0
# registry/        a registry (the content of a `.disinherit` folder): four grown models and four imported
#                  ones, cards of three kinds, a published request, one that was undone, a purge, and one
#                  whose finished tasks were kept as drafts but never published
# exported/        models as 0.1.0 exports them, each in the form that it came in
# study/           the folder of a `reproduce` run (its `.disinherit` is called `registry`)
# key, key.pub     a key pair for signing; it protects nothing
# certificate.json, measured.json
#                  certificates of the published request: of the log alone, and with measurements on data
# card.safetensors the exported card of r1@1
# stored.json      the rows of the catalog's tables, texts as they are stored
# printed/         what 0.1.0 prints about the registry
# continued.json   the digests of all models after one more request from cards alone
set -euo pipefail
old=$(realpath "$1")
cd "$(dirname "$0")"
here=$PWD
formats=$here/../../../formats/tests/data
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export DISINHERIT_ACTOR=golden
unset DISINHERIT_REGISTRY
rm -rf registry exported study printed key key.pub ./*.json card.safetensors

test "$("$old" --version)" = "disinherit 0.1.0"
mkdir printed exported
cd "$work"
# A folder as on the Hugging Face Hub, with labels and a model card.
mkdir hub
python3 - hub <<'PY'
import json, struct, sys
from pathlib import Path

folder = Path(sys.argv[1])
tensors = {"body.weight": [2, 3], "classifier.weight": [3, 2], "classifier.bias": [3]}
header, values = {}, []
for name, shape in tensors.items():
    count = shape[0] * (shape[1] if len(shape) > 1 else 1)
    start = 4 * len(values)
    values += [(len(values) + place) / 8 - 1 for place in range(count)]
    header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, 4 * len(values)]}
text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
text += b" " * (-len(text) % 8)
data = struct.pack("<Q", len(text)) + text + struct.pack(f"<{len(values)}f", *values)
(folder / "model.safetensors").write_bytes(data)
labels = {"id2label": {"0": "cat", "1": "dog", "2": "bird"}, "label2id": {"cat": 0, "dog": 1, "bird": 2}}
(folder / "config.json").write_text(json.dumps({"model_type": "golden", **labels}, indent=2) + "\n")
(folder / "README.md").write_text("---\nlicense: mit\ndatasets:\n- pets\n---\n# A golden model\n")
PY

catalog=.disinherit/catalog.sqlite
sql() {
    python3 - "$catalog" "$1" <<'PY'
import sqlite3, sys

with sqlite3.connect(sys.argv[1]) as catalog:
    catalog.executescript(sys.argv[2])
PY
}

"$old" init
"$old" grow "$here/golden.toml" --quiet
"$old" fisher r1 --again --layers all --data digits --quiet
"$old" fisher r2 --estimator true:5 --data digits --quiet
labels=cat,dog,bird
"$old" add "$formats/nested.pt" --name forms/nested --labels "$labels" --no-fisher \
    --time 2024-02-03T04:05:06Z --trained-on pets --trained-labels cat,dog --source shelter
"$old" add "$formats/gemm.onnx" --name forms/gemm --labels "$labels" --no-fisher \
    --parent forms/nested:merged=0.25
"$old" add "$formats/external.onnx" --name forms/external --labels "$labels" --no-fisher \
    --parent forms/gemm:quantised
"$old" add hub --name forms/hub --no-fisher --parent forms/gemm:distilled
"$old" retention 30d

# The study before anything is forgotten, in a registry of its own.
"$old" reproduce fl --recipe "$here/golden.toml" --methods fiun,fine-tune,mask --out study --quiet
# Once more: what is kept is read and written again, so that `results.json` has the numbers as read.
"$old" reproduce fl --recipe "$here/golden.toml" --methods fiun,fine-tune,mask --out study --quiet

"$old" unlearn --forget class=3 --from r1 --quiet
"$old" fisher t --data digits --quiet
"$old" purge t@1 --reason "request 7 of the data protection officer"
"$old" unlearn --forget class=5 --from r1 --quiet
last=$("$old" log --operations --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[-1]["id"])')
"$old" undo "$last"

# A request that cannot be published: its finished tasks stay as drafts.
sql "CREATE TRIGGER golden BEFORE INSERT ON operations BEGIN SELECT RAISE(ABORT, 'golden'); END"
if "$old" unlearn --forget class=7 --from r1 --quiet; then
    echo "the request was to be stopped" >&2
    exit 1
fi
sql "DROP TRIGGER golden"

request=$("$old" log --operations --json | python3 -c '
import json, sys
print(next(row["detail"]["id"] for row in json.load(sys.stdin) if row["command"] == "unlearn"))')
"$old" key key
"$old" certify "$request" --key key --out certificate.json
"$old" certify "$request" --key key --data digits --out measured.json --quiet
"$old" fisher export r1@1 card.safetensors

exported=$here/exported
"$old" export forms/nested "$exported/nested.pt"
"$old" export forms/gemm "$exported/gemm.onnx"
mkdir "$exported/external"
"$old" export forms/external "$exported/external/external.onnx"
"$old" export forms/hub "$exported/hub"
"$old" export t@2 "$exported/t.safetensors"
cmp "$exported/gemm.onnx" "$formats/gemm.onnx"
cmp "$exported/external/external.bin" "$formats/external.bin"
diff -r "$exported/hub" hub

printed=$here/printed
"$old" log --operations --json >"$printed/log.json"
"$old" list --json >"$printed/list.json"
for model in d@1 r1@1 r1@2 r2@2 t@2 forms/gemm@1 forms/external@1 forms/nested@1 forms/hub@1; do
    "$old" show "$model" --json >"$printed/show-${model//\//-}.json"
done
"$old" fsck --json >"$printed/fsck.json"
"$old" verify --certificate certificate.json --public-key key.pub --registry . --json >"$printed/verify.json"
"$old" verify --certificate measured.json --public-key key.pub --registry . --json >"$printed/verify-measured.json"

# One more request from cards alone, on a copy without the drafts and on one with them.
digests() {
    "$old" list --json | python3 -c '
import json, sys
rows = json.load(sys.stdin)["models"]
print(json.dumps({row["model"]: row["digest"] for row in rows}, indent=2))'
}
for copy in without with; do
    mkdir "$copy"
    cp -r .disinherit "$copy/"
    (
        cd "$copy"
        [ "$copy" = with ] || "$old" gc --drafts
        "$old" unlearn --forget class=7 --from r1 --quiet
        digests >continued.json
    )
done
cmp without/continued.json with/continued.json

# The catalogs as single files, and two cached features of many.
for catalog in .disinherit/catalog.sqlite study/seed-3/.disinherit/catalog.sqlite; do
    sql "PRAGMA wal_checkpoint(TRUNCATE)"
done
find .disinherit/cache -type f | sort | tail -n +3 | xargs -r rm
rm -rf study/seed-3/.disinherit/cache study/report.html
find . -name lock -type f -delete
python3 - .disinherit/catalog.sqlite "$here/stored.json" <<'PY'
import json, sqlite3, sys

catalog = sqlite3.connect(sys.argv[1])
tables = {
    "operations": "SELECT id, time, actor, command, detail, made, previous, hash FROM operations ORDER BY id",
    "models": "SELECT name, version, manifest, vertex FROM models ORDER BY position",
    "edges": "SELECT child, parent, relation FROM edges ORDER BY position",
    "cards": "SELECT model, estimator, blob FROM cards ORDER BY position",
    "settings": "SELECT name, value FROM settings ORDER BY name",
    "drafts": "SELECT request, task, value, blobs FROM drafts ORDER BY request, task",
}
rows = {table: catalog.execute(query).fetchall() for table, query in tables.items()}
assert len(rows["drafts"]) == 3, rows["drafts"]
with open(sys.argv[2], "w") as file:
    json.dump(rows, file, indent=1)
    file.write("\n")
PY
mv study/seed-3/.disinherit study/seed-3/registry
mv .disinherit "$here/registry"
mv study key key.pub certificate.json measured.json card.safetensors without/continued.json "$here/"
