//! Certificates: what a request did, signed, so that it can be checked without the registry; and signatures over
//! exported models.
//!
//! A certificate is an in-toto statement (<https://in-toto.io/Statement/v1>) over the new versions'
//! digests, in a DSSE envelope (<https://github.com/secure-systems-lab/dsse>) signed with Ed25519, or with ECDSA over
//! P-256.

mod document;
mod envelope;
mod in_toto;
mod issue;
mod key;
mod model_signature;
mod statement;

pub use self::document::{sha256, timestamp};
pub use self::envelope::Envelope;
pub use self::in_toto::InToto;
pub use self::issue::{certify, compare};
pub use self::key::{KeyKind, PublicKey, SecretKey};
pub use self::model_signature::sign_model;
pub use self::statement::{
    Certificate, CertifiedModel, LogPosition, PREDICATE, Statement, Subject,
};
