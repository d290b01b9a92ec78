//! Where a call comes from.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use axum::http::HeaderMap;
use ipnet::IpNet;

/// The header in which proxies say for whom they call.
const FORWARDED: &str = "x-forwarded-for";

/// An address as limits count it: of IPv6 the network of 64 bits, all of whose addresses one client may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Address(IpAddr);

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = u128::from(address) & (u128::MAX << 64);
                IpAddr::V6(Ipv6Addr::from(network))
            }
            address @ IpAddr::V4(_) => address,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => write!(f, "{address}"),
            IpAddr::V6(address) => write!(f, "{address}/64"),
        }
    }
}

/// The address of a call. What a client writes into the header is believed only as far as trusted proxies
/// wrote it: from the right, up to the first address that is not theirs.
pub(super) fn of_call(peer: Option<IpAddr>, headers: &HeaderMap, trusted: &[IpNet]) -> Address {
    // Calls without a peer come from tests inside the process alone.
    let peer = peer.unwrap_or(IpAddr::V6(Ipv6Addr::LOCALHOST));
    let is_trusted = |address: IpAddr| is_in(address, trusted);
    if !is_trusted(peer) {
        return peer.into();
    }
    let lines: Vec<_> = headers.get_all(FORWARDED).iter().collect();
    let mut nearest = peer;
    for line in lines.into_iter().rev() {
        for hop in line.to_str().unwrap_or_default().rsplit(',') {
            let Ok(address) = hop.trim().parse::<IpAddr>() else {
                return nearest.into();
            };
            nearest = address;
            if !is_trusted(address) {
                return nearest.into();
            }
        }
    }
    nearest.into()
}

/// Whether an address is in one of the networks.
pub(crate) fn is_in(address: IpAddr, networks: &[IpNet]) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn address(peer: &str, lines: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED, line.parse().unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        of_call(peer.parse().ok(), &headers, &trusted).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted = ["10.0.0.0/8"];
        assert_eq!(address("192.0.2.1", &["1.2.3.4"], &trusted), "192.0.2.1");
        assert_eq!(address("10.0.0.1", &["1.2.3.4"], &trusted), "1.2.3.4");
        assert_eq!(address("10.0.0.1", &["1.2.3.4"], &[]), "10.0.0.1");
        // The client wrote the first one; the second is what the outer proxy saw.
        let forged = ["6.6.6.6, 1.2.3.4, 10.0.0.2"];
        assert_eq!(address("10.0.0.1", &forged, &trusted), "1.2.3.4");
        let lines = ["6.6.6.6", "1.2.3.4"];
        assert_eq!(address("10.0.0.1", &lines, &trusted), "1.2.3.4");
        assert_eq!(address("10.0.0.1", &["unknown"], &trusted), "10.0.0.1");
        assert_eq!(address("10.0.0.1", &[], &trusted), "10.0.0.1");
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let one = address("2001:db8:0:1::5", &[], &[]);
        assert_eq!(one, address("2001:db8:0:1:ffff::9", &[], &[]));
        assert_eq!(one, "2001:db8:0:1::/64");
        assert_eq!(address("::ffff:192.0.2.7", &[], &[]), "192.0.2.7");
    }
}
