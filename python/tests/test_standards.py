"""Documents for other tools, read by the tools' own validators: CycloneDX, OpenLineage, Model Signing."""

import enum
import hashlib
import inspect
import json
import os
import subprocess
import sys
import typing
import uuid
from pathlib import Path

import pytest

import test_requests
from disinherit import DisinheritError, InvalidCertificate
from disinherit.certificates import new_key, sign
from test_registry import data, registry, state, trained  # noqa: F401


@pytest.fixture()
def certified(registry, tmp_path):  # noqa: F811
    registry.unlearn(classes="cat", initial="base", data=data(), progress=False)
    new_key(tmp_path / "key.pem")
    registry.certify(tmp_path / "proof.json", tmp_path / "key.pem", data=data(), progress=False)
    return registry


def valid(bill):
    """What the official schema of CycloneDX 1.7 says against a bill of materials, if anything."""
    schema = pytest.importorskip("cyclonedx.schema")
    validation = pytest.importorskip("cyclonedx.validation.json")
    missing = pytest.importorskip("cyclonedx.exception").MissingOptionalDependencyException
    try:
        return validation.JsonStrictValidator(schema.SchemaVersion.V1_7).validate_str(json.dumps(bill))
    except missing as error:
        pytest.skip(f"cyclonedx-python-lib cannot validate JSON: {error}")


def facts(component):
    return {fact["name"].removeprefix("disinherit:"): fact["value"] for fact in component["properties"]}


def test_a_model_has_a_bill_of_materials(certified, tmp_path):
    (tmp_path / "proof.json").rename(tmp_path / "the proof: é.json")
    bill = certified.bom("child", certificate=tmp_path / "the proof: é.json", public_key=tmp_path / "key.pem.pub")
    assert valid(bill) is None
    component = bill["metadata"]["component"]
    assert (component["type"], component["name"], component["version"]) == ("machine-learning-model", "child", "2")
    digests = {found["alg"]: found["content"] for found in component["hashes"]}
    assert digests["BLAKE3"] == certified.show("child").model.digest and len(digests["SHA-256"]) == 64
    names = {of: [f"{c['name']}@{c['version']}" for c in found] for of, found in component["pedigree"].items()}
    assert names == {"ancestors": ["base@1", "base@2"], "descendants": [], "variants": ["child@1"]}
    card = component["modelCard"]
    (trained_on,) = card["modelParameters"]["datasets"]
    assert trained_on["name"] == "insects"
    assert [output["format"] for output in card["modelParameters"]["outputs"]] == ["ant", "bee", "cat"]
    metrics = {(m["type"], m["slice"]): float(m["value"]) for m in card["quantitativeAnalysis"]["performanceMetrics"]}
    assert metrics["accuracy", "forgotten data, held out"] == 0.0
    assert metrics["accuracy", "retained data, held out"] > 0.9
    said = facts(component)
    assert (said["replaces"], said["forget"], said["judgement"]) == ("child@1", "class `cat`", "outputs")
    assert (said["state"], said["method"], said["role"]) == ("current", "fiun", "inherited")
    assert said["operation.hash"] == certified.log()[-1].hash
    (reference,) = component["externalReferences"]
    assert (reference["type"], reference["url"]) == ("attestation", "the%20proof%3A%20%C3%A9.json")
    # The version before says what became of it.
    before = facts(certified.bom("child@1")["metadata"]["component"])
    assert (before["state"], before["replaced-by"]) == ("superseded", "child@2")


def test_a_request_has_a_bill_of_materials(certified, tmp_path):
    operation = certified.log()[-1]
    bill = certified.bom(request=operation.id)
    assert valid(bill) is None
    assert [part["bom-ref"] for part in bill["components"]] == ["base@2", "child@2"]
    assert facts(bill["metadata"])["operation"] == str(operation.id)
    assert uuid.UUID(bill["serialNumber"].removeprefix("urn:uuid:")).version == 8
    with pytest.raises(DisinheritError, match="no request"):
        certified.bom(request="another")
    with pytest.raises(DisinheritError, match="did you mean"):
        certified.bom("chld")
    new_key(tmp_path / "other.pem")
    with pytest.raises(InvalidCertificate, match="was signed with the key"):
        certified.bom("child", certificate=tmp_path / "proof.json", public_key=tmp_path / "other.pem.pub")
    with pytest.raises(TypeError, match="public_key"):
        certified.bom("child", certificate=tmp_path / "proof.json")


def test_purged_and_plain_models_have_bills_too(certified):
    certified.purge("child@1", reason="erasure request 7")
    bill = certified.bom("child@1")
    assert valid(bill) is None
    component = bill["metadata"]["component"]
    assert facts(component)["state"] == "purged" and [h["alg"] for h in component["hashes"]] == ["BLAKE3"]
    certified.add("alone", state(trained(1)), labels=["ant", "bee", "cat"])
    assert valid(certified.bom("alone")) is None


def test_the_validator_refuses_what_is_no_bill(certified):
    bill = certified.bom("child")
    assert valid(bill) is None
    for change in (
        lambda bill: bill["metadata"]["component"].update(type="model"),
        lambda bill: bill["metadata"]["component"]["modelCard"].update(erasure=True),
        lambda bill: bill["metadata"]["component"]["hashes"][0].update(alg="BLAKE9"),
    ):
        other = json.loads(json.dumps(bill))
        change(other)
        assert valid(other) is not None


def test_a_changed_bill_is_found_by_its_signature_and_by_the_bundle(certified, tmp_path):
    """A schema takes any digest of the right length, so something else has to cover a bill of materials."""
    pytest.importorskip("model_signing")
    new_key(tmp_path / "models.pem", kind="p256")
    file = tmp_path / "child.cdx.json"
    file.write_text(json.dumps(certified.bom("child")))
    signature = sign(file, tmp_path / "models.pem")
    verify = ["verify", "key", file, "--signature", signature, "--public_key", tmp_path / "models.pem.pub"]
    assert model_signing(*verify).returncode == 0
    changed = json.loads(file.read_text())
    (digest,) = [found for found in changed["metadata"]["component"]["hashes"] if found["alg"] == "SHA-256"]
    digest["content"] = "0" * 64
    assert valid(changed) is None
    file.write_text(json.dumps(changed))
    assert model_signing(*verify).returncode != 0
    # The bundle of a request lists the digests of all of its files.
    requests = test_requests.family(tmp_path / "registry").requests
    requests.new(classes="cat", requester="dana")
    requests.plan(1)
    requests.approve(1)
    requests.run(1, test_requests.data(), progress=False)
    requests.bundle(1, tmp_path / "bundle")
    lines = (tmp_path / "bundle" / "SHA256SUMS").read_text().splitlines()
    sums = dict(reversed(line.split("  ", 1)) for line in lines)

    def altered():
        digests = {name: hashlib.sha256((tmp_path / "bundle" / name).read_bytes()).hexdigest() for name in sums}
        return [name for name in sums if digests[name] != sums[name]]

    assert altered() == []
    bill = tmp_path / "bundle" / "ml-bom.cdx.json"
    bill.write_text(json.dumps(changed))
    assert altered() == ["ml-bom.cdx.json"]


def structured(value, kind):
    """Reads plain values as the attrs classes of ``openlineage-python`` have them: no key too many, none missing."""
    import attr

    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is typing.Any:
        return value
    if arguments and (origin is typing.Union or type(None) in arguments):
        if value is None:
            return None
        (kind,) = [argument for argument in arguments if argument is not type(None)]
        return structured(value, kind)
    if origin is list:
        return [structured(item, arguments[0]) for item in value]
    if origin is dict:
        return {key: facet(item) for key, item in value.items()}
    if inspect.isclass(kind) and issubclass(kind, enum.Enum):
        return kind(value)
    if attr.has(kind):
        # Classes name types that their modules import for type checkers alone.
        known = {name: found for base in reversed(kind.__mro__) for name, found in vars(sys.modules[base.__module__]).items()}
        hints = typing.get_type_hints(kind, {**known, "ClassVar": typing.ClassVar})
        hidden = {name: value[name] for name in ("_producer", "_schemaURL") if name in value}
        fields = {key: structured(item, hints[key]) for key, item in value.items() if key not in hidden and key != "schemaURL"}
        return kind(**fields)
    assert isinstance(value, kind), (value, kind)
    return value


def facet(value):
    """A facet as the class that its schema names; one that is not OpenLineage's own as it is."""
    import openlineage.client.facet_v2 as facets

    own = [
        found
        for module in vars(facets).values()
        if inspect.ismodule(module)
        for found in vars(module).values()
        if inspect.isclass(found) and hasattr(found, "_get_schema")
    ]
    known = {found._get_schema(): found for found in own}
    assert value["_producer"].startswith("https://")
    kind = known[value["_schemaURL"]]
    if kind.__name__ == "RunFacet":
        return kind()
    return structured(value, kind)


def events(log):
    """OpenLineage events, read by the client's own classes."""
    event_v2 = pytest.importorskip("openlineage.client.event_v2")
    read = []
    for event in log:
        assert event["schemaURL"] == event_v2.RunEvent._get_schema()
        read.append(structured(event, event_v2.RunEvent))
    return read


def changes(event):
    return {found.name: found.facets["lifecycleStateChange"].lifecycleStateChange.value for found in event.outputs}


def test_the_log_is_openlineage(certified):
    purged = certified.purge("child@1", reason="erasure request 7")
    log = certified.log()
    read = events(certified.openlineage(namespace="clinics"))
    assert [event.job.name for event in read] == [operation.command for operation in log]
    base, child, unlearned = read[0], read[1], read[-2]
    assert changes(base) == {"base@1": "CREATE"} and [found.name for found in base.inputs] == ["insects"]
    assert [(found.namespace, found.name) for found in child.inputs] == [("clinics", "base@1"), ("data", "insects")]
    assert changes(unlearned) == {"base@2": "OVERWRITE", "child@2": "OVERWRITE"}
    assert {found.name for found in unlearned.inputs} >= {"base@1", "child@1"}
    assert changes(read[-1]) == {model: "DROP" for model, _ in purged.models}
    assert unlearned.outputs[1].facets["version"].datasetVersion == "2"
    assert unlearned.outputs[1].facets["symlinks"].identifiers[0].name == "child"
    assert len({event.run.runId for event in read}) == len(read)
    (only,) = certified.openlineage(request=log[-2].id)
    assert only["run"]["facets"]["disinherit_operation"]["forget"] == "class `cat`"
    assert only["run"]["runId"] == unlearned.run.runId


@pytest.fixture()
def specification():
    """What the official schemas of OpenLineage say against a value. They are in no package: a checkout has them."""
    folder = os.environ.get("DISINHERIT_OPENLINEAGE_SPEC")
    if folder is None:
        pytest.skip("DISINHERIT_OPENLINEAGE_SPEC names no folder `spec` of OpenLineage's repository")
    jsonschema, referencing = pytest.importorskip("jsonschema"), pytest.importorskip("referencing")
    schemas = [json.loads(file.read_text()) for file in Path(folder).rglob("*.json") if "tests" not in file.parts]
    resources = [referencing.Resource.from_contents(schema) for schema in schemas if "$id" in schema]
    known = referencing.Registry().with_resources((resource.id(), resource) for resource in resources)

    def against(value, schema):
        checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
        validator = jsonschema.Draft202012Validator({"$ref": schema}, registry=known, format_checker=checker)
        return [error.message for error in validator.iter_errors(value)]

    return against


def facets_of(event):
    """All facets of an event."""
    for part in (event["run"], event["job"], *event["inputs"], *event["outputs"]):
        for kind in ("facets", "inputFacets", "outputFacets"):
            yield from part.get(kind, {}).values()


def test_the_official_schema_takes_the_events(certified, specification):
    certified.purge("child@1", reason="erasure request 7")
    log = certified.openlineage(namespace="clinics")
    for event in log:
        assert specification(event, event["schemaURL"]) == []
        for facet in facets_of(event):
            assert specification(facet, facet["_schemaURL"]) == []
    event = log[-1]
    for change in (lambda event: event.update(eventType="DONE"), lambda event: event["job"].pop("name")):
        other = json.loads(json.dumps(event))
        change(other)
        assert specification(other, event["schemaURL"]) != []
    (change,) = [facet for facet in facets_of(event) if "lifecycleStateChange" in facet][:1]
    assert specification({**change, "lifecycleStateChange": "FORGOT"}, change["_schemaURL"]) != []


def test_what_is_taken_back_is_in_the_lineage(registry):  # noqa: F811
    done = registry.unlearn(classes="cat", initial="base", data=data(), progress=False)
    registry.undo(done.operation)
    last = events(registry.openlineage())[-1]
    assert changes(last) == {"base@1": "OVERWRITE", "child@1": "OVERWRITE", "base@2": "DROP", "child@2": "DROP"}


def test_the_classes_refuse_what_is_no_event(certified):
    (event,) = certified.openlineage(request=certified.log()[-1].id)
    events([event])
    for change in (
        lambda event: event.update(eventType="DONE"),
        lambda event: event["run"].update(runId="7"),
        lambda event: event["outputs"][0]["facets"]["lifecycleStateChange"].update(lifecycleStateChange="FORGOT"),
        lambda event: event["job"].pop("name"),
        lambda event: event.update(models=[]),
    ):
        other = json.loads(json.dumps(event))
        change(other)
        with pytest.raises((ValueError, TypeError, KeyError)):
            events([other])


def model_signing(*arguments):
    return subprocess.run([sys.executable, "-m", "model_signing", *map(str, arguments)], capture_output=True, text=True)


@pytest.fixture()
def exported(certified, tmp_path):
    """A folder as on the Hub, exported with a signature."""
    pytest.importorskip("model_signing")
    numpy = pytest.importorskip("safetensors.numpy")
    (tmp_path / "hub").mkdir()
    weight, bias = trained(5)
    numpy.save_file({"classifier.weight": weight, "classifier.bias": bias}, tmp_path / "hub" / "model.safetensors")
    config = {"model_type": "words", "id2label": {"0": "ant", "1": "bee", "2": "cat"}}
    (tmp_path / "hub" / "config.json").write_text(json.dumps(config))
    certified.add("texts", tmp_path / "hub", trained_on="texts")
    new_key(tmp_path / "models.pem", kind="p256")
    signature = certified.export("texts", tmp_path / "out", sign=tmp_path / "models.pem")
    assert signature == str(tmp_path / "out" / "model.sig")
    return tmp_path / "out"


def test_stock_model_signing_verifies_a_folder(exported, tmp_path):
    verify = ["verify", "key", exported, "--signature", exported / "model.sig", "--public_key", tmp_path / "models.pem.pub"]
    done = model_signing(*verify)
    assert done.returncode == 0 and "Verification succeeded" in done.stdout, done.stdout + done.stderr
    # A folder that changed by one byte, by one file more or by one less is refused, and so is another key.
    weights = exported / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert model_signing(*verify).returncode != 0
    weights.write_bytes(whole)
    (exported / "more.bin").write_bytes(b"more")
    assert model_signing(*verify).returncode != 0
    (exported / "more.bin").unlink()
    (exported / "config.json").rename(tmp_path / "config.json")
    assert model_signing(*verify).returncode != 0
    (tmp_path / "config.json").rename(exported / "config.json")
    new_key(tmp_path / "another.pem", kind="p256")
    done = model_signing(*verify[:-1], tmp_path / "another.pem.pub")
    assert done.returncode != 0 and "Key mismatch" in done.stderr
    # What was signed cannot be signed away: an altered list of files does not fit the signature.
    bundle = json.loads((exported / "model.sig").read_text())
    bundle["dsseEnvelope"]["payload"] = bundle["dsseEnvelope"]["payload"].replace("A", "B", 1)
    (exported / "model.sig").write_text(json.dumps(bundle))
    assert model_signing(*verify).returncode != 0


def test_stock_model_signing_verifies_a_file(certified, tmp_path):
    pytest.importorskip("model_signing")
    new_key(tmp_path / "models.pem", kind="p256")
    file = tmp_path / "child.safetensors"
    signature = certified.export("child", file, sign=(tmp_path / "models.pem").read_bytes())
    verify = ["verify", "key", file, "--signature", signature, "--public_key", tmp_path / "models.pem.pub"]
    done = model_signing(*verify)
    assert done.returncode == 0, done.stdout + done.stderr
    certified.export("child@1", file)
    assert model_signing(*verify).returncode != 0
    # Ed25519 is none of the keys that it knows.
    with pytest.raises(InvalidCertificate, match="P-256"):
        certified.export("child", file, sign=tmp_path / "key.pem")
