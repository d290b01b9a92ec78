//! Who calls: holders of tokens of this registry, and subjects of an issuer that is trusted.

mod caller;
mod issuer;
mod keyset;
mod own;

pub(crate) use self::caller::{Caller, Unknown};
pub(crate) use self::issuer::Issuer;
pub use self::issuer::OidcSettings;
pub use self::own::{Made, make_token};
pub(crate) use self::own::{hash, hexadecimal, holder, is_registrys};
