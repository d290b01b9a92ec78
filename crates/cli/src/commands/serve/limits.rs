//! How much one caller gets, and what is kept of those who were refused.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use disinherit_server::{IpNet, Limits};

use crate::args::values::duration;

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct LimitArgs {
    /// Calls that one token may make in a minute; 0 for no limit.
    #[arg(long, default_value = "3000", value_name = "N")]
    token_rate: u32,
    /// Calls that one address may make in a minute; 0 for no limit.
    #[arg(long, default_value = "6000", value_name = "N")]
    address_rate: u32,
    /// After how many tokens that do not hold an address is locked out; 0 for never.
    #[arg(long, default_value = "10", value_name = "N")]
    lockout_after: u32,
    /// For how long it is locked out, and within what time they are counted.
    #[arg(long, default_value = "5min", value_name = "TIME", value_parser = duration)]
    lockout_time: u64,
    /// How long a client may take to send the head of a call, or stay silent between two calls.
    #[arg(long, default_value = "15s", value_name = "TIME", value_parser = duration)]
    head_time: u64,
    /// How long a client may take to send the body of a call, or to read on in its answer.
    #[arg(long, default_value = "1min", value_name = "TIME", value_parser = duration)]
    body_time: u64,
    /// Connections at a time; 0 for no limit.
    #[arg(long, default_value = "4096", value_name = "N")]
    connections: usize,
    /// Connections from one address at a time, trusted proxies excepted; 0 for no limit.
    #[arg(long, default_value = "2048", value_name = "N")]
    address_connections: usize,
    /// A proxy, or a network of them, whose `X-Forwarded-For` says where a call comes from; more with
    /// commas. Of others the header is ignored.
    #[arg(long, value_name = "NETWORK", value_parser = network, value_delimiter = ',')]
    trusted_proxy: Vec<IpNet>,
    /// Append a line of JSON for each call that is refused and each sign-in.
    #[arg(long, value_name = "FILE")]
    pub(super) audit_log: Option<PathBuf>,
}

impl LimitArgs {
    pub(super) fn limits(&self) -> Limits {
        Limits {
            token_rate: self.token_rate,
            address_rate: self.address_rate,
            lockout_after: self.lockout_after,
            lockout_time: Duration::from_millis(self.lockout_time),
            head_time: Duration::from_millis(self.head_time),
            body_time: Duration::from_millis(self.body_time),
            connections: self.connections,
            address_connections: self.address_connections,
            trusted_proxies: self.trusted_proxy.clone(),
        }
    }
}

/// An address, or a network such as `10.0.0.0/8`.
fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse::<IpNet>();
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    let wrong = |_| format!("`{text}` is no address or network, such as 10.0.0.7 or 10.0.0.0/8");
    network.or_else(|_| address()).map_err(wrong)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn networks_are_read_with_and_without_their_length() {
        assert_eq!(network("10.0.0.7").unwrap().to_string(), "10.0.0.7/32");
        assert_eq!(network("fd00::/8").unwrap().to_string(), "fd00::/8");
        assert!(network("proxy").is_err_and(|text| text.contains("10.0.0.0/8")));
    }
}
