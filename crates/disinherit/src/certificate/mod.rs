//! Certificates: what a request did, signed, so that it can be checked without the registry.
//!
//! A certificate is an in-toto statement (<https://in-toto.io/Statement/v1>) over the new versions'
//! digests, in a DSSE envelope (<https://github.com/secure-systems-lab/dsse>) signed with Ed25519.

mod envelope;
mod issue;
mod key;
mod statement;

pub use self::envelope::Envelope;
pub use self::issue::{certify, compare};
pub use self::key::{PublicKey, SecretKey};
pub use self::statement::{
    Certificate, CertifiedModel, LogPosition, PREDICATE, Statement, Subject,
};
