"""Models of a real MLflow server, over SQLite and a store of files: in, edited, back, and the old ones gone."""

import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed (python/requirements-stack.txt)")
pytest.importorskip("sklearn", reason="scikit-learn is not installed")
import yaml  # noqa: E402
from mlflow.entities import LoggedModelInput  # noqa: E402
from mlflow.models import infer_signature  # noqa: E402
from sklearn.linear_model import LogisticRegression, SGDClassifier  # noqa: E402

from disinherit import Data, DisinheritError, Registry, Training  # noqa: E402
from disinherit import mlflow as dm  # noqa: E402
from disinherit import sklearn as ds  # noqa: E402

LABELS = ["ant", "bee", "cat"]


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    address = f"http://127.0.0.1:{port}"
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "GIT_PYTHON_REFRESH": "quiet"}
    with open(folder / "log.txt", "w") as log:
        started = subprocess.Popen(
            [
                sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
                "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"{folder}/files",
            ],
            cwd=folder, env={**os.environ, **quiet}, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        for _ in range(1500):
            assert started.poll() is None, (folder / "log.txt").read_text()
            try:
                urllib.request.urlopen(f"{address}/health", timeout=1)
                break
            except OSError:
                time.sleep(0.2)
        os.environ.update(quiet)
        mlflow.set_tracking_uri(address)
        yield address
    finally:
        started.terminate()
        started.wait(30)


def samples(seed):
    chance = np.random.default_rng(seed)
    labels = np.arange(300) % 3
    return 3 * np.eye(3, 8)[labels] + chance.normal(size=(300, 8)), np.array(LABELS)[labels]


X, Y = samples(1)
X_TEST, Y_TEST = samples(2)


def log(model, name, parents=(), data=True, tags=None):
    """One run that trains a model, as anybody's training logs it: gives back the registered version."""
    with mlflow.start_run(tags=tags) as run:
        if data:
            mlflow.log_input(mlflow.data.from_numpy(X, name="insects"), context="training")
            mlflow.log_input(mlflow.data.from_numpy(X_TEST, name="held out"), context="eval")
        client = mlflow.MlflowClient()
        if parents:
            client.log_inputs(run.info.run_id, models=[LoggedModelInput(model_id) for model_id in parents])
        signature = infer_signature(X, model.predict(X))
        info = mlflow.sklearn.log_model(
            model, name=name, signature=signature, serialization_format="cloudpickle", pip_requirements=["scikit-learn"],
            registered_model_name=name,
        )  # fmt: skip
    return SimpleNamespace(name=name, version=str(info.registered_model_version), model_id=info.model_id)


def fitted(seed, start=None):
    model = SGDClassifier(loss="log_loss", random_state=seed, average=False)
    model.fit(X, Y) if start is None else model.fit(X, Y, coef_init=start.coef_.copy(), intercept_init=start.intercept_.copy())
    return model


def data_for(models):
    return ds.data_from(
        {name: ds.capture(model, X, Y, heldout=(X_TEST, Y_TEST)) for name, model in models.items()}, "insects"
    )


def files_of(client, version):
    root = mlflow.artifacts.download_artifacts(f"models:/{version.name}/{version.version}")
    return {
        os.path.relpath(os.path.join(folder, name), root): open(os.path.join(folder, name), "rb").read()
        for folder, _, names in os.walk(root)
        for name in names
    }


def test_a_family_comes_in_forgets_and_goes_back(server, tmp_path):
    client, base = mlflow.MlflowClient(), fitted(0)
    child = fitted(1, base)
    first = log(base, "clf")
    some = {"disinherit.trained_labels": '["ant", "bee"]'}
    second = log(child, "clf", parents=[first.model_id], tags=some)
    client.set_registered_model_alias("clf", "champion", second.version)
    client.copy_model_version("models:/clf/1", "served")
    registry = Registry.create(tmp_path / "registry")

    would = dm.pull(server, registry, dry_run=True)
    assert [each.uri for each in would.added] == ["clf/1", "clf/2", "served/1"] and registry.models() == []
    done = dm.pull(server, registry)
    assert done.to_dict()["added"] == would.to_dict()["added"] and not done.left_out and done.known == 0
    by_uri = {each.uri: each for each in done.added}
    assert by_uri["clf/1"].trained_on == [Training("insects")] and by_uri["clf/1"].evidence == "nothing"
    assert by_uri["clf/2"].trained_on == [Training("insects", labels=["ant", "bee"])]
    assert by_uri["clf/2"].parents[0][0] == "clf/1@1" and by_uri["clf/2"].evidence == "run"
    assert by_uri["served/1"].parents[0][1].kind == "merged" and by_uri["served/1"].evidence == "copy"
    assert {edge.child for edge in registry.graph().children("clf/1@1")} == {"clf/2@1", "served/1@1"}
    assert registry.show("clf/2").model.labels == LABELS
    again = dm.pull(server, registry)
    assert again.added == [] and again.known == 3
    # One more, by somebody else, from the child.
    third = log(fitted(2, child), "clf", parents=[second.model_id], tags=some)
    assert [each.uri for each in dm.pull(server, registry).added] == [f"clf/{third.version}"]
    assert registry.graph().parents("clf/3@1")[0].parent == "clf/2@1"

    family = {"clf/1": base, "clf/2": child, "clf/3": fitted(2, child), "served/1": base}
    data = data_for(family)
    request = registry.unlearn(classes="cat", data=data, progress=False)
    assert {model.before for model in request.models} == {f"{name}@1" for name in family}
    assert {model.before: model.role for model in request.models}["clf/3@1"] == "inherited"
    verdicts = registry.verify(data, progress=False)
    (tmp_path / "certificate.json").write_text('{"payload": ""}')
    pushed = dm.push(server, registry, verdicts=verdicts, certificate=tmp_path / "certificate.json")
    assert [each.uri for each in pushed.versions] and pushed.retired == [] and pushed.notes == []
    new = {each.replaces: each for each in pushed.versions}
    assert set(new) == set(family) and new["clf/2"].aliases == ["champion"]
    assert dm.push(server, registry, verdicts=verdicts).versions == []

    # The same files, but for the weights and what `MLmodel` says of run and model.
    made = client.get_model_version_by_alias("clf", "champion")
    assert f"clf/{made.version}" == new["clf/2"].uri and made.tags["disinherit.replaces"] == "clf/2"
    assert client.get_model_version("clf", "2").tags["disinherit.replaced_by"] == new["clf/2"].uri
    before, after = files_of(client, second), files_of(client, made)
    assert set(before) == set(after)
    # The last is none of them: MLflow's client writes it when it downloads a version.
    assert {name for name in before if before[name] != after[name]} == {"MLmodel", "model.pkl", "registered_model_meta"}
    said = yaml.safe_load(after["MLmodel"])
    assert made.source == f"models:/{said['model_id']}" != second.model_id and said["run_id"] == made.run_id
    assert said["signature"] == yaml.safe_load(before["MLmodel"])["signature"]
    # It is what the registry has, through MLflow's own doors.
    guesses = mlflow.sklearn.load_model("models:/clf@champion").predict(X_TEST)
    weight, bias = registry.head("clf/2")
    assert (guesses == np.array(LABELS)[(X_TEST @ weight.T + bias).argmax(1)]).all()
    assert (guesses == "cat")[Y_TEST == "cat"].mean() < 0.05 and (guesses == Y_TEST)[Y_TEST != "cat"].mean() > 0.9
    assert (mlflow.pyfunc.load_model("models:/clf@champion").predict(X_TEST) == guesses).all()
    run = client.get_run(made.run_id)
    verdict = next(verdict for verdict in verdicts if verdict.model == "clf/2@2")
    assert run.data.metrics["disinherit_forget_heldout"] == pytest.approx(verdict.scores.forget.heldout)
    assert run.data.metrics["disinherit_passed"] == verdict.passed and made.tags["disinherit.judgement"] == verdict.judgement
    assert [given.model_id for given in run.inputs.model_inputs] == [second.model_id]
    assert [out.model_id for out in run.outputs.model_outputs] == [said["model_id"]]
    kept = {item.path for item in client.list_artifacts(made.run_id, "disinherit")}
    assert kept == {"disinherit/certificate.json", "disinherit/operation.json"}
    # What was pushed does not come in again; another registry takes it as a version like others.
    assert dm.pull(server, registry).added == []
    late = log(fitted(3), "clf", parents=[second.model_id], tags=some)
    after_all = dm.pull(server, registry)
    assert [each.uri for each in after_all.added] == [f"clf/{late.version}"]
    assert any("came from clf/2, which was replaced since" in note for note in after_all.notes)
    other = Registry.memory()
    assert new["clf/2"].uri in {each.uri for each in dm.pull(server, other, names="clf").added}

    # The old ones go for good.
    client.set_registered_model_alias("clf", "fallback", "1")
    would = dm.purge(server, registry, reason="erasure request 17", dry_run=True)
    assert {each.uri for each in would.versions} == {"clf/2", "clf/3"} and all(each.bytes > 500 for each in would.versions)
    assert dict(would.left)["clf/1"].startswith("the alias `fallback`")
    # The files of the copy are those of clf/1, which stays.
    assert "also those of clf/1" in dict(would.left)["served/1"]
    mlflow.sklearn.load_model("models:/clf/2")
    client.delete_registered_model_alias("clf", "fallback")
    gone = dm.purge(server, registry, reason="erasure request 17")
    assert {each.uri for each in gone.versions} == {"clf/1", "clf/2", "clf/3", "served/1"} and gone.left == []
    assert any("records of clf/1" in words for words in gone.kept)
    for uri in ["clf/1", "clf/2", "clf/3", "served/1"]:
        with pytest.raises(Exception):  # noqa: B017
            mlflow.sklearn.load_model(f"models:/{uri}")
    assert "erasure request 17" in client.get_model_version("clf", "2").tags["disinherit.purged"]
    assert (mlflow.sklearn.load_model("models:/clf@champion").predict(X_TEST) == guesses).all()
    assert dm.purge(server, registry, reason="again").versions == []
    # And do not come into a registry any more.
    assert "clf/2" in {each.uri: each.reason for each in dm.pull(server, Registry.memory(), names="clf").left_out}


def test_lineage_comes_from_tags_and_from_a_mapping(server):
    client = mlflow.MlflowClient()
    base, other = LogisticRegression().fit(X, Y), fitted(5)
    log(base, "tag base")
    log(other, "tag other")
    log(fitted(6), "tag child", tags={"disinherit.parents": "tag base/1:merged=0.25, models:/tag other/1:merged=0.75"})
    registry = Registry.memory()
    names = ["tag base", "tag other", "tag child"]
    done = dm.pull(server, registry, names=names, trained_on={"tag base/1": Training("insects", source="museum")})
    assert [each.model for each in done.added] == ["tag_base/1@1", "tag_other/1@1", "tag_child/1@1"]
    assert done.added[0].trained_on[0].source == "museum"
    edges = {edge.parent: edge.relation for edge in registry.graph().parents("tag_child/1@1")}
    assert edges["tag_base/1@1"].weight == 0.25 and edges["tag_other/1@1"].kind == "merged"
    # A mapping goes before tags.
    said = dm.pull(server, Registry.memory(), names=names, parents={"tag child/1": {"tag base/1": "distilled"}}).added
    assert [(parent, how.kind) for parent, how in said[-1].parents] == [("tag_base/1@1", "distilled")]
    assert said[-1].evidence == "mapping"
    # A parent that is left out is missed; a circle is none.
    notes = dm.pull(server, Registry.memory(), names="tag child").notes
    assert any("tag base/1, which is not in the registry" in note for note in notes)
    with pytest.raises(DisinheritError, match="in a circle: tag base/1 -> tag child/1 -> tag base/1"):
        dm.pull(server, Registry.memory(), names=names, parents={"models:/tag base/1": "tag child/1"})
    client.set_model_version_tag("tag other", "1", "disinherit.parents", "nowhere/7")
    notes = dm.pull(server, Registry.memory(), names="tag other").notes
    assert any("`nowhere/7`" in note for note in notes)


def test_an_unregistered_model_in_between_is_followed(server):
    base = log(fitted(7), "root")
    with mlflow.start_run() as run:
        client = mlflow.MlflowClient()
        client.log_inputs(run.info.run_id, models=[LoggedModelInput(base.model_id)])
        mlflow.log_input(mlflow.data.from_numpy(X, name="more insects"), context="training")
        between = mlflow.sklearn.log_model(
            fitted(8), name="between", serialization_format="cloudpickle", pip_requirements=["scikit-learn"]
        )
    log(fitted(9), "leaf", parents=[between.model_id])
    done = dm.pull(server, Registry.memory(), names=["root", "leaf"])
    assert [parent for parent, _ in done.added[1].parents] == ["root/1@1"]
    assert [given.data for given in done.added[1].trained_on] == ["insects", "more insects"]


def test_a_version_that_names_only_its_run_has_the_lineage_of_what_the_run_made(server):
    """Registered by `runs:/RUN/NAME`, as training scripts of before do: the version itself names no logged model."""
    client = mlflow.MlflowClient()
    base = log(fitted(11), "by run")
    with mlflow.start_run() as run:
        client.log_inputs(run.info.run_id, models=[LoggedModelInput(base.model_id)])
        made = {}
        for name in ("wide", "deep"):
            made[name] = mlflow.sklearn.log_model(
                fitted(12 + len(made)), name=name, serialization_format="cloudpickle", pip_requirements=["scikit-learn"]
            ).model_id
    version = client.create_model_version("by run", source=f"runs:/{run.info.run_id}/deep", run_id=run.info.run_id)
    assert version.model_id is None
    log(fitted(14), "below", parents=[made["deep"]])
    registry = Registry.memory()
    done = dm.pull(server, registry, names=["by run", "below"])
    assert done.left_out == [] and done.notes == []
    assert {each.uri: [parent for parent, _ in each.parents] for each in done.added} == {
        "by run/1": [], "by run/2": ["by_run/1@1"], "below/1": ["by_run/2@1"],
    }  # fmt: skip
    # And its files are those of that model, not of the other one.
    weight, _ = registry.head("by_run/2")
    deep = mlflow.sklearn.load_model(f"models:/{made['deep']}")
    assert np.allclose(weight, deep.coef_.astype(np.float32))


def test_a_retired_version_is_said_to_be_so(server):
    client = mlflow.MlflowClient()
    log(fitted(10), "only cats")
    client.set_registered_model_alias("only cats", "live", "1")
    registry = Registry.memory()
    dm.pull(server, registry, names="only cats", trained_on={"only cats/1": Training("insects", labels=["cat"])})
    done = registry.unlearn(classes="cat", progress=False)
    assert [each.model for each in done.retired] == ["only_cats/1@1"]
    pushed = dm.push(server, registry)
    assert pushed.retired == ["only cats/1"] and "the alias `live` still points" in pushed.notes[0]
    client.delete_registered_model_alias("only cats", "live")
    assert [each.uri for each in dm.purge(server, registry, reason="gone").versions] == ["only cats/1"]


def forgotten_and_back(server, name, data, changed, has_example=False):
    """Pulls version 1 of a model, forgets, pushes; gives back the registry and the URI of the new version."""
    registry, client = Registry.memory(), mlflow.MlflowClient()
    done = dm.pull(server, registry, names=name)
    assert [each.model for each in done.added] == [f"{name}/1@1"], done.left_out
    registry.unlearn(classes="cat", data=data, progress=False, accept_loss=0.1)
    made = dm.push(server, registry)
    (pushed,) = made.versions
    assert [note for note in made.notes if "input example" in note] == ([f"{name}/1@2 keeps the input example of {name}/1: see that it is none of the forgotten samples"] if has_example else [])
    before, after = (files_of(client, SimpleNamespace(name=name, version=number)) for number in ("1", pushed.uri.split("/")[1]))
    assert set(before) == set(after)
    assert {file for file in before if before[file] != after[file]} == {"MLmodel", "registered_model_meta", changed}
    return registry, f"models:/{pushed.uri}"


def of_features(name):
    return Data.from_features(
        {name: np.concatenate([X, X_TEST])}, [LABELS.index(label) for label in [*Y, *Y_TEST]], LABELS,
        heldout=np.repeat([False, True], 300), name="insects",
    )  # fmt: skip


SAID = {"disinherit.labels": '["ant", "bee", "cat"]', "disinherit.trained_on": "insects"}


@pytest.mark.parametrize("form", ["pickle", "pt2", "scripted"])
def test_a_module_goes_back_as_it_was_saved(server, form):
    torch = pytest.importorskip("torch")
    from disinherit import torch as dt

    torch.manual_seed(0)
    inputs, wanted = torch.tensor(X, dtype=torch.float32), torch.tensor([LABELS.index(label) for label in Y])
    net = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    for _ in range(200):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(inputs), wanted).backward()
        optimizer.step()
    net.eval()
    captured = dt.capture(net, [(inputs, wanted)], labels=LABELS)
    name = f"net-{form}"
    saved = torch.jit.script(net) if form == "scripted" else net
    with mlflow.start_run(tags=SAID):
        mlflow.pytorch.log_model(
            saved, name=name, registered_model_name=name, pip_requirements=["torch"],
            serialization_format="pt2" if form == "pt2" else "pickle",
            **({"input_example": X[:4].astype(np.float32)} if form == "pt2" else {}),
        )  # fmt: skip
    changed = os.path.join("data", "model.pt2" if form == "pt2" else "model.pth")
    registry, uri = forgotten_and_back(server, name, dt.data_from({f"{name}/1": captured}, "insects"), changed, form == "pt2")
    again = mlflow.pytorch.load_model(uri)
    kept = dt.state_dict(registry, f"{name}/1")
    assert all(torch.equal(value, kept[key]) for key, value in again.state_dict().items())
    with torch.no_grad():
        guesses = again(inputs).argmax(1)
    assert (guesses == 2)[wanted == 2].float().mean() <= 0.01 and (guesses == wanted)[wanted != 2].float().mean() > 0.9


def test_an_onnx_graph_goes_back(server):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed (python/requirements-stack.txt)")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (python/requirements-stack.txt)")
    from onnx import TensorProto, helper, numpy_helper

    model = LogisticRegression().fit(X, Y)
    node = helper.make_node("Gemm", ["x", "fc.weight", "fc.bias"], ["y"], transB=1)
    values = [(model.coef_, "fc.weight"), (model.intercept_, "fc.bias")]
    graph = helper.make_graph(
        [node], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(value.astype(np.float32), name) for value, name in values],
    )  # fmt: skip
    with mlflow.start_run(tags=SAID):
        mlflow.onnx.log_model(
            helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9),
            name="graph", registered_model_name="graph", pip_requirements=["onnx"], save_as_external_data=False,
        )  # fmt: skip
    registry, uri = forgotten_and_back(server, "graph", of_features("graph/1"), "model.onnx")
    again = {part.name: numpy_helper.to_array(part) for part in mlflow.onnx.load_model(uri).graph.initializer}
    weight, bias = registry.head("graph/1")
    assert np.array_equal(again["fc.weight"], weight) and np.array_equal(again["fc.bias"], bias)
    # Run as it is run in use.
    session = runtime.InferenceSession(mlflow.onnx.load_model(uri).SerializeToString(), providers=["CPUExecutionProvider"])
    (outputs,) = session.run(None, {"x": X_TEST.astype(np.float32)})
    guesses = np.array(LABELS)[outputs.argmax(1)]
    assert (guesses == "cat")[Y_TEST == "cat"].mean() <= 0.01 and (guesses == Y_TEST)[Y_TEST != "cat"].mean() > 0.9
    assert onnx.checker.check_model(mlflow.onnx.load_model(uri)) is None


def test_a_transformer_goes_back(server, tmp_path, monkeypatch):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    from disinherit import torch as dt

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *[f"w{n}" for n in range(30)]]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    torch.manual_seed(0)
    model = transformers.BertForSequenceClassification(
        transformers.BertConfig(
            vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
            max_position_embeddings=16, id2label=dict(enumerate(LABELS)), label2id={label: n for n, label in enumerate(LABELS)},
        )
    ).eval()  # fmt: skip
    wanted = torch.arange(300) % 3
    tokens = torch.cat([torch.full((300, 1), 2), 5 + 10 * wanted[:, None] + torch.randint(0, 10, (300, 6))], 1)
    optimizer = torch.optim.Adam(model.parameters(), 0.003)
    for _ in range(80):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(tokens).logits, wanted).backward()
        optimizer.step()
    captured = dt.capture(model, [(tokens, wanted)], labels=LABELS)
    assert (captured.logits.argmax(1) == wanted.numpy()).mean() > 0.9
    tokenizer = transformers.BertTokenizerFast(vocab_file=str(tmp_path / "vocab.txt"))
    with mlflow.start_run(tags={"disinherit.trained_on": "insects"}):
        mlflow.transformers.log_model(
            {"model": model, "tokenizer": tokenizer}, name="bert", registered_model_name="bert",
            task="text-classification", pip_requirements=["transformers"],
        )  # fmt: skip
    data = dt.data_from({"bert/1": captured}, "insects")
    registry, uri = forgotten_and_back(server, "bert", data, os.path.join("model", "model.safetensors"))
    again = mlflow.transformers.load_model(uri, return_type="components")["model"]
    kept = dt.state_dict(registry, "bert/1")
    assert torch.equal(again.classifier.weight, kept["classifier.weight"])
    with torch.no_grad():
        guesses = again(tokens).logits.argmax(1)
    assert (guesses == 2)[wanted == 2].float().mean() <= 0.01 and (guesses == wanted)[wanted != 2].float().mean() > 0.9


def test_refusals_are_in_words(server):
    registry = Registry.memory()
    for what, words in [
        (lambda: dm.pull(server, registry, names="nobody"), "no registered model `nobody`"),
        (lambda: dm.pull(server, registry, parents={"nobody/1": "clf/1"}), "`parents=` names `nobody/1`"),
        (lambda: dm.purge(server, registry, reason=" "), "`reason=` is empty"),
        (lambda: dm.purge(server, registry, reason="x", versions="clf/1"), "push first"),
    ]:
        with pytest.raises(DisinheritError, match=words):
            what()
    with mlflow.start_run():
        mlflow.pyfunc.log_model(
            name="odd", python_model=lambda model_input: model_input, registered_model_name="odd", pip_requirements=["mlflow"]
        )
    left = dm.pull(server, registry, names="odd").left_out
    assert left[0].uri == "odd/1" and "flavours" in left[0].reason


def test_the_example_runs_in_a_folder(server, tmp_path):
    pytest.importorskip("torch")
    script = Path(__file__).parents[1] / "examples" / "mlflow_family.py"
    spec = importlib.util.spec_from_file_location("mlflow_family", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        before, after, pulled, pushed, gone = module.main(["--out", str(tmp_path)])
    finally:
        mlflow.set_tracking_uri(server)
    assert before[0] > 0.8 and after[0] <= 0.03 and after[1] > before[1] - 0.03
    assert [each.uri for each in pulled.added] == ["digits/1", "digits/2", "digits/3"]
    assert pushed.versions[-1].aliases == ["champion"] and {each.uri for each in gone.versions} == {"digits/1", "digits/2", "digits/3"}
    # Of six files of weights three are left.
    assert len(list((tmp_path / "files").rglob("model.pt2"))) == 3
