use std::error::Error;
use std::fmt;

/// A setting that a [`ClientIp`](super::ClientIp) cannot work with.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidClientIp {
    /// The entry is neither an address nor a network.
    NoProxy(String),
    /// The entry has an address where a network must stand, and may mean one proxy or all of the network.
    AddressInNetwork {
        /// What was given.
        entry: String,
        /// The network it lies in.
        network: String,
    },
    /// The entry is a network of all addresses: whoever calls would be believed.
    Everybody(String),
    /// An IPv6 prefix is not 1 to 128 bits long.
    Ipv6Prefix(u8),
}

impl fmt::Display for InvalidClientIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoProxy(entry) => {
                write!(f, "`{entry}` is neither the address of a proxy nor a network such as 10.0.0.0/8")
            }
            Self::AddressInNetwork { entry, network } => write!(
                f,
                "`{entry}` is one address of a network: the proxies are either {network}, or the address without its /"
            ),
            Self::Everybody(entry) => {
                write!(f, "`{entry}` is everybody: whoever calls could choose the address it counts under")
            }
            Self::Ipv6Prefix(bits) => write!(f, "ipv6_prefix must be 1 to 128 bits, and is {bits}"),
        }
    }
}

impl Error for InvalidClientIp {}
