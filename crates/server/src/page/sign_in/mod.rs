//! Signing in, with a token or through the issuer, and out.

mod form;
mod issuer;
mod out;
mod token;

pub(super) use self::form::show;
pub(super) use self::issuer::{begin, end};
pub(super) use self::out::leave;
pub(super) use self::token::send;
