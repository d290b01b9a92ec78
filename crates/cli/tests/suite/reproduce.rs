//! The paper's experiments from the command line, the page in a real browser.

use std::fs;
use std::path::Path;
use std::process::Command;

use disinherit_testkit::skipped;

use crate::common::Place;

/// Tells, after the page has loaded, what was drawn: for every picture its size and the number of
/// its shapes that take up room; and what went wrong.
const LOOK: &str = r#"<script>
const errors = [];
window.addEventListener("error", event => errors.push(String(event.message)));
window.addEventListener("load", () => {
  const pictures = [...document.querySelectorAll("svg")].map(svg => {
    const box = svg.getBoundingClientRect();
    const shapes = [...svg.querySelectorAll("rect, circle, path, polyline, line")].filter(shape => {
      const room = shape.getBoundingClientRect();
      return room.width + room.height > 0;
    });
    return [svg.getAttribute("class"), box.width, box.height, shapes.length].join(" ");
  });
  const wide = document.documentElement.scrollWidth > window.innerWidth + 1 ? "wide" : "fits";
  document.title = ["LOOKED", errors.length, wide, ...pictures].join("|");
});
</script>"#;

fn browser() -> Option<&'static str> {
    ["chromium", "chromium-browser", "google-chrome", "chrome"]
        .into_iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok())
}

/// Opens a page headless; gives what was drawn, and what the browser logged.
fn look(browser: &str, page: &Path, width: usize) -> (Vec<String>, String) {
    let text = fs::read_to_string(page).unwrap();
    let copy = page.with_extension("look.html");
    fs::write(&copy, text.replace("</body>", &format!("{LOOK}</body>"))).unwrap();
    let profile = page.with_extension("profile");
    let done = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
        ])
        .args(["--disable-sync", "--enable-logging=stderr", "--dump-dom"])
        .arg(format!("--window-size={width},900"))
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("file://{}", copy.display()))
        .output()
        .unwrap();
    let dom = String::from_utf8_lossy(&done.stdout).into_owned();
    let log = String::from_utf8_lossy(&done.stderr).into_owned();
    let title = dom.split("<title>").nth(1).unwrap_or_default();
    let title = title.split("</title>").next().unwrap_or_default();
    (title.split('|').map(str::to_owned).collect(), log)
}

/// Equal, but for the last digit of numbers that were written and read.
fn same(a: &serde_json::Value, b: &serde_json::Value) {
    use serde_json::Value;
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            assert!(x.keys().eq(y.keys()));
            x.iter().for_each(|(key, value)| same(value, &y[key]));
        }
        (Value::Array(x), Value::Array(y)) => {
            assert_eq!(x.len(), y.len());
            x.iter().zip(y).for_each(|(x, y)| same(x, y));
        }
        (Value::Number(x), Value::Number(y)) => {
            let (x, y) = (x.as_f64().unwrap(), y.as_f64().unwrap());
            assert!((x - y).abs() <= 1e-12 * x.abs().max(1.0), "{x} {y}");
        }
        _ => assert_eq!(a, b),
    }
}

#[test]
fn a_study_that_is_refused_leaves_nothing_behind() {
    let place = Place::new();
    let study = [
        "reproduce",
        "fl",
        "--forget",
        "class=three",
        "--out",
        "study",
    ];
    place.refuse(&study, &["unknown label `three`"]);
    assert!(!place.path("study").exists());
}

#[test]
fn an_experiment_writes_numbers_and_a_page_that_draws() {
    let place = Place::new();
    let out = place.path("fl");
    let run = |methods: &str| {
        place.json(&[
            "reproduce",
            "fl",
            "--epochs",
            "40",
            "--methods",
            methods,
            "--out",
            "fl",
            "--json",
        ])
    };
    let first = run("fiun,fiun+all,retrain,mask");
    let study = &first["studies"][0];
    assert_eq!(study["models"].as_array().unwrap().len(), 6);
    let results = study["results"].as_array().unwrap();
    let names: Vec<&str> = results
        .iter()
        .map(|r| r["variant"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["fiun", "fiun+all", "retrain", "mask"]);
    for result in results {
        assert!(result["failed"].is_null(), "{result}");
        assert_eq!(result["models"].as_array().unwrap().len(), 4);
    }
    // What was measured is taken up, not measured again.
    let again = run("fiun,fiun+all,retrain,mask");
    same(&first["studies"], &again["studies"]);
    let csv = fs::read_to_string(out.join("results.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + 6 + 4 * 4);
    assert!(csv.starts_with("study,seed,device,method,model,"));
    let kept: serde_json::Value =
        serde_json::from_slice(&fs::read(out.join("results.json")).unwrap()).unwrap();
    same(&kept, &again["studies"]);
    place.refuse(
        &["reproduce", "fl", "--epochs", "41", "--out", "fl"],
        &["another recipe", "--out"],
    );
    place.misuse(
        &["reproduce", "fl", "--methods", "scrubb", "--out", "other"],
        &["unknown method `scrubb`", "did you mean `scrub`"],
    );
    let page = out.join("report.html");
    let text = fs::read_to_string(&page).unwrap();
    assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("<script"));
    let Some(browser) = browser() else {
        return skipped("the report in a browser", "there is no Chromium");
    };
    for width in [1100, 500] {
        let (seen, log) = look(browser, &page, width);
        assert_eq!(seen[..3], ["LOOKED", "0", "fits"], "{width}: {seen:?}");
        assert!(!log.contains("CONSOLE"), "{log}");
        for class in [
            "graph",
            "plot accuracies",
            "plot costs",
            "plot search",
            "plot layers",
        ] {
            let found = seen[3..].iter().find(|picture| picture.starts_with(class));
            let found = found.unwrap_or_else(|| panic!("no {class} among {seen:?}"));
            let numbers: Vec<f64> = found[class.len()..]
                .split_whitespace()
                .map(|word| word.parse().unwrap())
                .collect();
            assert!(
                numbers[0] > 100.0 && numbers[1] > 60.0 && numbers[2] >= 4.0,
                "{found}"
            );
        }
    }
}

/// The other experiments in their quick setting: what each is about is there.
#[test]
fn every_experiment_forgets() {
    let place = Place::new();
    for (experiment, touched) in [("ddpl", 3), ("il", 4), ("tl", 4), ("multi", 5)] {
        let done = place.json(&[
            "reproduce",
            experiment,
            "--epochs",
            "60",
            "--methods",
            "fiun",
            "--out",
            experiment,
            "--no-relearning",
            "--json",
        ]);
        let result = &done["studies"][0]["results"][0];
        let models = result["models"].as_array().unwrap();
        assert_eq!(models.len(), touched, "{experiment}");
        for model in models {
            let scores = &model["verdicts"]["scores"];
            let left = scores["forget"]["heldout"].as_f64().unwrap();
            assert!(left <= 0.02, "{experiment}: {} {scores}", model["id"]);
        }
        let merged = models
            .iter()
            .any(|model| model["outcome"]["initial"].as_array().unwrap().len() == 2);
        assert_eq!(merged, experiment == "multi" || experiment == "ddpl");
    }
    let heads = place.text(&["--registry", "il/seed-1", "show", "u0"]);
    assert!(
        heads.contains("0, 1, 2, 3, 4, 5, 6") && !heads.contains("6, 7"),
        "{heads}"
    );
}

#[test]
fn a_chain_forgets_to_its_end() {
    let place = Place::new();
    let recipe = place.text(&["recipes", "depth-digits"]);
    let short = recipe
        .replace("times = 50", "times = 8")
        .replace("epochs = 120", "epochs = 60");
    fs::write(place.path("chain.toml"), short).unwrap();
    let done = place.json(&[
        "reproduce",
        "depth",
        "--recipe",
        "chain.toml",
        "--methods",
        "fiun",
        "--out",
        "depth",
        "--no-relearning",
        "--json",
    ]);
    let study = &done["studies"][0];
    let deepest = study["models"].as_array().unwrap().iter();
    assert_eq!(deepest.map(|m| m["depth"].as_u64().unwrap()).max(), Some(8));
    for model in study["results"][0]["models"].as_array().unwrap() {
        let left = model.pointer("/verdicts/scores/forget/heldout").unwrap();
        assert!(left.as_f64().unwrap() <= 0.02, "{model}");
    }
}

/// Two models on 200 samples each, grown in a moment.
const TINY: &str = r#"
name = "tiny"
seed = 1
[data]
source = "digits"
clients = 2
limit = 400
[forget]
classes = ["3"]
[network]
architecture = "small-cnn"
[training]
learning_rate = 0.05
momentum = 0.9
epochs = 10
batch_size = 16
[[model]]
name = "a"
client = 1
[[model]]
name = "b"
client = 2
parents = ["a"]
"#;

#[test]
fn shadow_networks_tell_models_from_retrained_ones() {
    let place = Place::new();
    fs::write(place.path("tiny.toml"), TINY).unwrap();
    let study = |methods: &'static str, more: &[&'static str]| {
        let first = [
            "reproduce",
            "fl",
            "--recipe",
            "tiny.toml",
            "--methods",
            methods,
        ];
        let last = ["--out", "study", "--no-relearning"];
        [&first[..], &last, more].concat()
    };
    let why = [
        "`--shadows` compares with retrained models",
        "add `retrain`",
    ];
    place.misuse(&study("mask", &["--shadows", "5"]), &why);
    let few = "fewer networks say nothing";
    place.misuse(&study("mask,retrain", &["--shadows", "1"]), &[few]);
    assert!(!place.path("study").exists());

    let plain = place.text(&study("mask,retrain", &[]));
    assert!(!plain.contains("U-LiRA"), "{plain}");
    let done = place.run(&study("mask,retrain", &["--shadows", "5"]));
    let done = done.success().get_output().clone();
    let told = String::from_utf8(done.stderr).unwrap();
    assert!(told.contains("5 shadow networks of 2 models"), "{told}");
    let printed = String::from_utf8(done.stdout).unwrap();
    let after = printed
        .split("over 6 networks of other training seeds")
        .nth(1);
    let rows: Vec<Vec<&str>> = after
        .unwrap()
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    for (name, told) in [("before", true), ("mask", true), ("retrain", false)] {
        let row = rows.iter().find(|row| row.first() == Some(&name)).unwrap();
        let accuracy: f64 = row[1].parse().unwrap();
        assert_eq!(accuracy > 85.0, told, "{printed}");
    }
    let csv = fs::read_to_string(place.path("study/results.csv")).unwrap();
    assert!(
        csv.lines()
            .next()
            .unwrap()
            .contains(",networks,u_lira_accuracy,")
    );
    assert!(
        csv.lines().filter(|line| line.contains(",6,")).count() >= 6,
        "{csv}"
    );
    let page = fs::read_to_string(place.path("study/report.html")).unwrap();
    assert!(page.contains("Beside retrained models of other seeds"));
    let kept = fs::read(place.path("study/results.json")).unwrap();
    let kept: serde_json::Value = serde_json::from_slice(&kept).unwrap();
    let found = &kept[0]["results"][0]["models"][0]["verdicts"]["shadows"];
    assert_eq!(found["networks"], 6, "{found}");
    assert!(
        found["klom"]["forget"]["mean"].as_f64().unwrap() > 1.0,
        "{found}"
    );
    for number in 1..=5 {
        let folder = place.path(&format!("study/seed-1/shadow-{number}"));
        assert!(folder.join(".disinherit").exists());
    }
}

#[test]
fn a_rival_answers_a_request_and_its_page_is_written() {
    let place = Place::new();
    let recipe = place.text(&["recipes", "tl-digits"]);
    fs::write(
        place.path("tl.toml"),
        recipe.replace("epochs = 240", "epochs = 40"),
    )
    .unwrap();
    place.run(&["grow", "tl.toml", "--no-fisher"]).success();
    let methods = place.text(&["methods"]);
    assert!(methods.contains("sal-un") && methods.contains("arXiv:2310.12508"));
    assert!(place.text(&["recipes"]).contains("fl-newsgroups-lstm"));
    let request = [
        "unlearn", "--forget", "class=3", "--from", "u0", "--data", "digits",
    ];
    let wrong = place.run(&[&request[..], &["--method", "retrian"]].concat());
    let wrong = wrong.failure().code(2).get_output().stderr.clone();
    assert!(
        String::from_utf8(wrong)
            .unwrap()
            .contains("did you mean `retrain`")
    );
    let dry = place.json(
        &[
            &request[..],
            &["--method", "scrub", "--epochs", "1", "--dry-run", "--json"],
        ]
        .concat(),
    );
    assert_eq!(dry["settings"]["epochs"], 1);
    assert!(dry["unlearned"]["operation"].is_null());
    assert!(dry["cost"]["processor_seconds"].as_f64().unwrap() > 0.0);
    let again = ["--method", "retrain", "--recipe", "tl.toml"];
    let done = place.text(&[&request[..], &again].concat());
    assert!(done.contains("unlearned by retrain"), "{done}");
    let verdict = place.text(&["verify", "--data", "digits"]);
    assert!(!verdict.contains("STILL RECOGNISED"), "{verdict}");
    let page = place.json(&["report", "--data", "digits", "--out", "page.html", "--json"]);
    assert_eq!(page["study"]["results"][0]["variant"], "retrain");
    assert!(
        fs::read_to_string(place.path("page.html"))
            .unwrap()
            .contains("<svg class=\"graph\"")
    );
    place.refuse(
        &["report", "request-x"],
        &["there is no request `request-x`"],
    );
}
