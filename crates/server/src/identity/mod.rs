//! Who calls: holders of tokens of this registry, and subjects of an issuer that is trusted.

mod caller;
mod documents;
mod flow;
mod issuer;
mod keyset;
mod own;
mod sign_in;

pub(crate) use self::caller::{Caller, Carrier, Unknown};
pub(crate) use self::flow::{FLOW_TIME, Flow, FlowKey, Stray};
pub(crate) use self::issuer::Issuer;
pub use self::issuer::OidcSettings;
pub use self::own::{Made, make_token};
pub(crate) use self::own::{hash, hexadecimal, holder, is_registrys};
pub(crate) use self::sign_in::SignIn;
pub use self::sign_in::{ClientSecret, SignInSettings};
