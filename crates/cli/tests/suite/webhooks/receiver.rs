//! Who gets the messages: a server that keeps what it is sent, and fails where it is told to.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::common::server::eventually;

/// A message as it came.
#[derive(Clone)]
pub(super) struct Received {
    pub(super) head: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

impl Received {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(super) fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    /// Whether it is signed with a secret, computed here from the definition of HMAC (RFC 2104).
    pub(super) fn is_signed(&self, secret: &str) -> bool {
        let key = STANDARD
            .decode(secret.strip_prefix("whsec_").unwrap())
            .unwrap();
        let pad = |with: u8| -> Vec<u8> {
            let whole = key.iter().copied().chain(std::iter::repeat(0)).take(64);
            whole.map(|byte| byte ^ with).collect()
        };
        let time = &self.headers["webhook-timestamp"];
        let signed = format!("{}.{time}.{}", self.id(), self.body);
        let inner = Sha256::digest([pad(0x36), signed.into_bytes()].concat());
        let code = Sha256::digest([pad(0x5c), inner.to_vec()].concat());
        self.headers["webhook-signature"] == format!("v1,{}", STANDARD.encode(code))
    }
}

/// Answers calls one after the other, with these heads first and 204 then.
pub(super) struct Receiver {
    address: String,
    seen: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    pub(super) fn start(first: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut answers = first.into_iter();
            for stream in listener.incoming() {
                let mut reader = BufReader::new(stream.unwrap());
                let received = receive(&mut reader);
                let answer = answers
                    .next()
                    .unwrap_or_else(|| "204 No Content".to_owned());
                kept.lock().unwrap().push(received);
                let text =
                    format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                reader.get_mut().write_all(text.as_bytes()).unwrap();
            }
        });
        Self { address, seen }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub(super) fn seen(&self) -> Vec<Received> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits for so many messages, and returns them.
    pub(super) fn wait(&self, many: usize) -> Vec<Received> {
        eventually("messages arrive", || self.seen().len() >= many);
        self.seen()
    }
}

fn receive(reader: &mut impl BufRead) -> Received {
    let mut line = || {
        let mut text = String::new();
        reader.read_line(&mut text).unwrap();
        text.trim_end().to_owned()
    };
    let head = line();
    let mut headers = BTreeMap::new();
    loop {
        let text = line();
        let Some((name, value)) = text.split_once(':') else {
            break;
        };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers["content-length"].parse().unwrap();
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    Received {
        head,
        headers,
        body: String::from_utf8(body).unwrap(),
    }
}
