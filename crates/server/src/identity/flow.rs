//! One sign-in through an issuer that is under way: what the browser keeps of it, and what follows from that.
//!
//! A cookie has random bits, the time and where the visitor wants to go. `state`, `nonce` and the code verifier are
//! computed from these with a key that all servers of a registry share. So no server keeps anything, any of them
//! takes the visitor back, and a cookie that was altered fits no `state`.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use rand::TryRng;
use sha2::{Digest, Sha256};

use super::own::hexadecimal;
use crate::destination::Destination;

/// How long somebody may take to sign in at the issuer, in milliseconds.
pub(crate) const FLOW_TIME: u64 = 600_000;

/// How many random bytes a sign-in has.
const SEED: usize = 32;

/// A key for sign-ins that are under way.
#[derive(Clone)]
pub(crate) struct FlowKey(String);

impl std::fmt::Debug for FlowKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FlowKey")
    }
}

impl FlowKey {
    /// A key that was kept as text.
    pub(crate) fn from_text(text: String) -> Self {
        Self(text)
    }

    /// A new key as text.
    ///
    /// # Errors
    /// Where the system has no randomness.
    pub(crate) fn new_text() -> Result<String, String> {
        random()
    }

    fn code(&self, purpose: &str, text: &str) -> Result<Hmac<Sha256>, String> {
        let mac = Hmac::<Sha256>::new_from_slice(self.0.as_bytes());
        let mut mac = mac.map_err(|error| error.to_string())?;
        // No purpose has this byte, so that no two of them meet.
        mac.update(format!("{purpose}\0{text}").as_bytes());
        Ok(mac)
    }
}

/// Why a visitor is not taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stray {
    /// The sign-in was begun in another browser, or by another site.
    Foreign,
    /// It was begun too long ago.
    Late,
}

/// A sign-in that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flow {
    seed: String,
    /// When it was begun, in milliseconds since 1970-01-01 UTC.
    begun: u64,
    /// Where the visitor wants to go.
    to: Destination,
}

/// What goes to the issuer when a sign-in is begun.
#[derive(Debug)]
pub(super) struct Parameters {
    pub(super) state: String,
    pub(super) nonce: String,
    pub(super) challenge: String,
}

impl Flow {
    /// Begins a sign-in.
    ///
    /// # Errors
    /// Where the system has no randomness.
    pub(super) fn begin(to: Destination, now: u64) -> Result<Self, String> {
        let seed = random()?;
        let begun = now;
        Ok(Self { seed, begun, to })
    }

    /// The value of the cookie.
    pub(crate) fn cookie(&self) -> String {
        let to = BASE64.encode(self.to.as_str());
        format!("{}.{}.{to}", self.seed, self.begun)
    }

    /// Reads the value of a cookie. Whether this server made it, [`Flow::check`] says.
    pub(crate) fn read(cookie: &str) -> Option<Self> {
        let mut parts = cookie.splitn(3, '.');
        let (seed, begun, to) = (parts.next()?, parts.next()?, parts.next()?);
        let to = String::from_utf8(BASE64.decode(to).ok()?).ok()?;
        Some(Self {
            seed: seed.to_owned(),
            begun: begun.parse().ok()?,
            to: Destination::read(&to),
        })
    }

    /// Where the visitor wants to go.
    pub(crate) fn to(&self) -> &Destination {
        &self.to
    }

    /// Whether a `state` that came back is the one of this sign-in, in time.
    pub(super) fn check(&self, key: &FlowKey, state: &str, now: u64) -> Result<(), Stray> {
        let given = BASE64.decode(state).map_err(|_| Stray::Foreign)?;
        let code = key.code("state", &self.cookie());
        let fits = code.is_ok_and(|code| code.verify_slice(&given).is_ok());
        match () {
            () if !fits => Err(Stray::Foreign),
            () if now.saturating_sub(self.begun) > FLOW_TIME => Err(Stray::Late),
            () => Ok(()),
        }
    }

    /// What the issuer is given.
    pub(super) fn parameters(&self, key: &FlowKey) -> Result<Parameters, String> {
        let verifier = self.verifier(key)?;
        Ok(Parameters {
            state: self.text(key, "state")?,
            nonce: self.nonce(key)?,
            challenge: BASE64.encode(Sha256::digest(verifier.as_bytes())),
        })
    }

    /// What the ID token must name.
    pub(super) fn nonce(&self, key: &FlowKey) -> Result<String, String> {
        self.text(key, "nonce")
    }

    /// What proves to the issuer that the code was asked for from here (RFC 7636).
    pub(super) fn verifier(&self, key: &FlowKey) -> Result<String, String> {
        self.text(key, "verifier")
    }

    /// What this sign-in is called where it is noted that it has ended.
    pub(crate) fn name(&self) -> String {
        let digest = Sha256::digest(self.cookie().as_bytes());
        format!("sign-in {}", hexadecimal(&digest))
    }

    fn text(&self, key: &FlowKey, purpose: &str) -> Result<String, String> {
        let code = key.code(purpose, &self.cookie())?;
        Ok(BASE64.encode(code.finalize().into_bytes()))
    }
}

fn random() -> Result<String, String> {
    let mut seed = [0; SEED];
    let filled = rand::rngs::SysRng.try_fill_bytes(&mut seed);
    filled.map_err(|error| error.to_string())?;
    Ok(hexadecimal(&seed))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const BEGUN: u64 = 1_795_740_000_000;

    fn key() -> FlowKey {
        FlowKey::from_text("11".repeat(32))
    }

    fn flow() -> Flow {
        Flow::begin(Destination::read("/requests/7"), BEGUN).unwrap()
    }

    #[test]
    fn a_cookie_says_the_same_again() {
        let flow = flow();
        let read = Flow::read(&flow.cookie()).unwrap();
        assert_eq!(read, flow);
        assert_eq!(read.to().as_str(), "/requests/7");
        for wrong in ["", "a", "a.b.c", "a.1", "a.1.%", "a.-1.Lw"] {
            assert_eq!(Flow::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_its_own_state_fits() {
        let (key, other, flow) = (key(), flow(), flow());
        let state = flow.parameters(&key).unwrap().state;
        let check = |flow: &Flow, state: &str, now| flow.check(&key, state, now);
        assert_eq!(check(&flow, &state, BEGUN + FLOW_TIME), Ok(()));
        let late = check(&flow, &state, BEGUN + FLOW_TIME + 1);
        assert_eq!(late, Err(Stray::Late));
        let other = other.parameters(&key).unwrap().state;
        for wrong in [&other, "", "?", &state[1..]] {
            assert_eq!(check(&flow, wrong, BEGUN), Err(Stray::Foreign), "{wrong}");
        }
        // A cookie that was altered fits no more: neither its time nor where it leads.
        let altered = [
            Flow {
                begun: BEGUN + 1,
                ..flow.clone()
            },
            Flow {
                to: Destination::read("/log"),
                ..flow.clone()
            },
        ];
        for altered in altered {
            assert_eq!(check(&altered, &state, BEGUN), Err(Stray::Foreign));
        }
        let foreign = FlowKey::from_text("22".repeat(32));
        assert_eq!(flow.check(&foreign, &state, BEGUN), Err(Stray::Foreign));
    }

    #[test]
    fn what_the_issuer_gets_says_nothing_of_the_verifier() {
        let (key, flow) = (key(), flow());
        let given = flow.parameters(&key).unwrap();
        let verifier = flow.verifier(&key).unwrap();
        assert_eq!(verifier.len(), 43, "what RFC 7636 asks for");
        let digest = BASE64.encode(Sha256::digest(verifier.as_bytes()));
        assert_eq!(given.challenge, digest);
        assert!(given.state != given.nonce && given.nonce != verifier);
        assert!(!flow.cookie().contains(&verifier));
    }
}
