//! Who is at the other end of a connection.

use std::net::IpAddr;

/// The other end of a connection, as calls carry it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    /// Whether the connection speaks TLS.
    pub(crate) tls: bool,
}
