//! A server on a process of its own, and a client.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use disinherit_testkit::{Postgres, skipped};
use serde_json::{Value, json};

use super::{GROW, Place};

/// Three epochs make models that name one sample in six: an edit of such a one may cost it more than two points.
pub(crate) const FLAGS: [&str; 6] = ["--data", "digits", "--key", "proof.pem", "--at-most", "1"];

/// A server on its own process.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) address: String,
    agent: ureq::Agent,
}

/// An answer: the status, the headers, the body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    /// What browsers are to keep.
    pub(crate) cookies: Vec<String>,
    pub(crate) text: String,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

impl Server {
    pub(crate) fn start(place: &Place, flags: &[&str], crash: Option<&str>) -> Self {
        Self::start_at("127.0.0.1:0", place, flags, crash)
    }

    pub(crate) fn start_at(
        address: &str,
        place: &Place,
        flags: &[&str],
        crash: Option<&str>,
    ) -> Self {
        let mut child = spawn(address, place, flags, crash);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next().unwrap().unwrap();
        let address = line.strip_prefix("listening on ").unwrap().to_owned();
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(Duration::from_secs(120)))
            .build()
            .into();
        Self {
            child,
            address,
            agent,
        }
    }

    pub(crate) fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        self.try_call(method, path, headers, body).unwrap()
    }

    /// A call to a server that may be killed before it has answered.
    pub(crate) fn try_call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Answer, ureq::Error> {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut answer = match method {
            "GET" => self.agent.run(request.body(()).unwrap())?,
            _ => self.agent.run(request.body(body.to_owned()).unwrap())?,
        };
        let headers = answer.headers().iter().map(|(name, value)| {
            (
                name.to_string(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        });
        let headers: BTreeMap<String, String> = headers.collect();
        let cookies = answer.headers().get_all("set-cookie").iter();
        let cookies = cookies
            .map(|cookie| String::from_utf8_lossy(cookie.as_bytes()).into_owned())
            .collect();
        // A stream has no end that could be waited for.
        let kind = headers.get("content-type");
        let bytes = match kind.is_some_and(|kind| kind == "text/event-stream") {
            true => Vec::new(),
            false => answer.body_mut().read_to_vec()?,
        };
        Ok(Answer {
            status: answer.status().as_u16(),
            headers,
            cookies,
            text: String::from_utf8_lossy(&bytes).into_owned(),
            bytes,
        })
    }

    pub(crate) fn get(&self, token: &str, path: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        self.call("GET", path, &[("authorization", &bearer)], "")
    }

    pub(crate) fn post(&self, token: &str, path: &str, body: &Value) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        self.call("POST", path, &headers, &body.to_string())
    }

    /// A step of request 1 that must be taken.
    pub(crate) fn step(&self, token: &str, step: &str, body: &Value) -> Value {
        self.step_of(token, 1, step, body)
    }

    /// A step of a request that must be taken.
    pub(crate) fn step_of(&self, token: &str, request: i64, step: &str, body: &Value) -> Value {
        let answer = self.post(token, &format!("/api/v1/requests/{request}/{step}"), body);
        assert!(
            answer.status < 300,
            "{step}: {} {}",
            answer.status,
            answer.text
        );
        answer.json()
    }

    /// The last job of a request.
    pub(crate) fn last_job(&self, token: &str, request: i64) -> Value {
        let jobs = self.get(token, &format!("/api/v1/requests/{request}/jobs"));
        jobs.json().as_array().unwrap().last().unwrap().clone()
    }

    /// Waits for the last job of request 1, and returns how it ended.
    pub(crate) fn job(&self, token: &str) -> Value {
        self.job_of(token, 1)
    }

    /// Waits for the last job of a request, and returns how it ended.
    pub(crate) fn job_of(&self, token: &str, request: i64) -> Value {
        let begun = Instant::now();
        loop {
            let last = self.last_job(token, request);
            if last["state"] != "waiting" && last["state"] != "taken" {
                return last;
            }
            assert!(begun.elapsed() < Duration::from_secs(240), "{last}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Listens to events; the stream ends with what is returned.
    pub(crate) fn listen(&self, token: &str, path: &str, seen: Option<i64>) -> Events {
        let mut request = ureq::http::Request::builder()
            .uri(format!("{}{path}", self.address))
            .header("authorization", format!("Bearer {token}"));
        if let Some(seen) = seen {
            request = request.header("last-event-id", seen.to_string());
        }
        let answer = self.agent.run(request.body(()).unwrap()).unwrap();
        assert_eq!(answer.status().as_u16(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Events {
            lines: BufReader::new(Box::new(answer.into_body().into_reader())),
            id: None,
        }
    }

    /// Tells it to stop, as systems do, and waits.
    pub(crate) fn stop(mut self) -> bool {
        terminate(&self.child);
        self.child.wait().unwrap().success()
    }
}

/// A server that may be killed before it listens.
pub(crate) fn spawn(address: &str, place: &Place, flags: &[&str], crash: Option<&str>) -> Child {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("disinherit"));
    command
        .current_dir(place.folder.path())
        .env("DISINHERIT_ACTOR", "host")
        .args(["serve", "--listen", address, "--quiet"])
        .args(flags)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if let Some(point) = crash {
        command.env("DISINHERIT_CRASH", point);
    }
    command.spawn().unwrap()
}

/// Events as a client reads them.
pub(crate) struct Events {
    lines: BufReader<Box<dyn Read>>,
    /// The last id.
    pub(crate) id: Option<i64>,
}

impl Events {
    /// The next event and its data; nothing at the end of the stream.
    pub(crate) fn next(&mut self) -> Option<(String, Value)> {
        let (mut event, mut data) = (String::new(), String::new());
        loop {
            let mut line = String::new();
            // A stream that breaks off has ended, too.
            if self.lines.read_line(&mut line).unwrap_or_default() == 0 {
                return None;
            }
            match line.trim_end().split_once(':') {
                Some(("event", name)) => event = name.trim().to_owned(),
                Some(("data", text)) => data.push_str(text.trim_start()),
                Some(("id", id)) => self.id = Some(id.trim().parse().unwrap()),
                None if line.trim().is_empty() && !data.is_empty() => {
                    return Some((event, serde_json::from_str(&data).unwrap()));
                }
                _ => {}
            }
        }
    }

    /// The next event of a kind.
    pub(crate) fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let (event, data) = self.next().unwrap();
            if event == kind {
                return data;
            }
        }
    }
}

/// Tells a process to stop, as systems do.
pub(crate) fn terminate(child: &Child) {
    let id = child.id().to_string();
    Command::new("kill").args(["-TERM", &id]).status().unwrap();
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn place() -> Place {
    let place = Place::grown();
    place.run(&["key", "proof.pem"]).success();
    place
}

pub(crate) fn token(place: &Place, name: &str, role: &str) -> String {
    let made = place.json(&["token", "new", name, "--role", role, "--json"]);
    made["secret"].as_str().unwrap().to_owned()
}

pub(crate) fn filing() -> Value {
    json!({"forget": {"classes": ["3"]}, "from": ["r1"], "requester": "subject-7"})
}

pub(crate) fn plan() -> Value {
    json!({"accept_loss": 0.1})
}

/// A folder with an empty registry whose catalog is in a database.
pub(crate) fn place_in(database: &Postgres) -> Place {
    let place = Place {
        folder: tempfile::tempdir().unwrap(),
    };
    place
        .run(&["init", "--catalog", &database.address()])
        .success();
    place
}

/// A test on a registry whose catalog is in PostgreSQL: an empty one, or one like that of [`place`].
pub(crate) fn in_postgres(what: &str, grown: bool, test: impl FnOnce(&Place)) {
    let database = match Postgres::start() {
        Ok(database) => database,
        Err(why) => return skipped(&format!("{what} over PostgreSQL"), &why),
    };
    let place = place_in(&database);
    if grown {
        place.run(&GROW).success();
        place.run(&["key", "proof.pem"]).success();
    }
    test(&place);
}

/// Waits until something is so, for a minute at most.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
