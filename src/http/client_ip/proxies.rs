use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::invalid::InvalidClientIp;

/// Whose word is taken.
#[derive(Clone)]
pub(super) struct Proxies(Arc<[IpNet]>);

impl Proxies {
    pub(super) fn none() -> Self {
        Self([].into())
    }

    pub(super) fn parse<I>(entries: I) -> Result<Self, InvalidClientIp>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        entries.into_iter().map(|entry| network(entry.as_ref().trim())).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter()).finish()
    }
}

/// The standard library reads the address: it does not take `010.0.0.1` for one, which some read as `8.0.0.1`.
fn network(entry: &str) -> Result<IpNet, InvalidClientIp> {
    let neither = || InvalidClientIp::NoProxy(entry.to_owned());
    let Some((address, bits)) = entry.split_once('/') else {
        return entry.parse::<IpAddr>().map(|address| address.to_canonical().into()).map_err(|_| neither());
    };
    let (address, bits): (IpAddr, u8) = address.parse().ok().zip(bits.parse().ok()).ok_or_else(neither)?;
    let network = IpNet::new(address, bits).map_err(|_| neither())?;
    if network.addr() != network.network() {
        let network = canonical(network.trunc()).to_string();
        return Err(InvalidClientIp::AddressInNetwork { entry: entry.to_owned(), network });
    }
    let network = canonical(network);
    if network.prefix_len() == 0 {
        return Err(InvalidClientIp::Everybody(entry.to_owned()));
    }
    Ok(network)
}

/// A network of IPv4 addresses that are written as IPv6 is the IPv4 network.
fn canonical(network: IpNet) -> IpNet {
    match (network.addr().to_canonical(), network.prefix_len().checked_sub(96)) {
        (address @ IpAddr::V4(_), Some(bits)) => IpNet::new(address, bits).unwrap_or(network),
        _ => network,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(entry: &str) -> Result<String, InvalidClientIp> {
        Proxies::parse([entry]).map(|proxies| format!("{proxies:?}"))
    }

    fn contains(entry: &str, address: &str) -> bool {
        Proxies::parse([entry]).expect("a network").contain(address.parse().expect("an address"))
    }

    #[test]
    fn addresses_and_networks_are_proxies() {
        for (entry, network) in [
            ("192.0.2.7", "[192.0.2.7/32]"),
            ("10.0.0.0/8", "[10.0.0.0/8]"),
            (" 10.0.0.0/8\n", "[10.0.0.0/8]"),
            ("::1", "[::1/128]"),
            ("2001:db8::/32", "[2001:db8::/32]"),
            ("::ffff:192.0.2.7", "[192.0.2.7/32]"),
            ("::ffff:10.0.0.0/104", "[10.0.0.0/8]"),
            ("0.0.0.0/1", "[0.0.0.0/1]"),
        ] {
            assert_eq!(parse(entry).as_deref(), Ok(network));
        }
        assert_eq!(format!("{:?}", Proxies::none()), "[]");
    }

    #[test]
    fn a_network_holds_its_first_and_its_last_address_in_either_way_of_writing() {
        for inside in ["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"] {
            assert!(contains("10.0.0.0/8", inside), "{inside}");
            assert!(contains("::ffff:10.0.0.0/104", inside), "{inside}");
        }
        for outside in ["9.255.255.255", "11.0.0.0", "::ffff:11.0.0.0", "::10.0.0.1", "a00::"] {
            assert!(!contains("10.0.0.0/8", outside), "{outside}");
        }
        assert!(contains("2001:db8::/32", "2001:db8:ffff::1"));
        assert!(!contains("2001:db8::/32", "2001:db9::"));
        assert!(!contains("::/64", "::ffff:10.0.0.1"), "an IPv4 address is in no IPv6 network");
    }

    #[test]
    fn what_is_neither_is_refused_by_name() {
        for entry in [
            "",
            "/",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10/8",
            "::/129",
            "010.0.0.1",
            "010.0.0.0/8",
            "10.0.0.1:80",
            "[::1]",
            "proxy.example",
            "10.0.0.1,10.0.0.2",
            "10.0.0.0/8/8",
        ] {
            assert_eq!(parse(entry), Err(InvalidClientIp::NoProxy(entry.to_owned())));
        }
        let error = Proxies::parse(["10.0.0.0/8", "10.0.0.300"]).expect_err("the second is none");
        assert_eq!(
            error.to_string(),
            "`10.0.0.300` is neither the address of a proxy nor a network such as 10.0.0.0/8"
        );
    }

    #[test]
    fn an_address_with_a_length_is_refused_for_what_it_may_mean() {
        let error = parse("192.0.2.7/24").expect_err("one, or 256");
        assert_eq!(
            error.to_string(),
            "`192.0.2.7/24` is one address of a network: the proxies are either 192.0.2.0/24, or the address without its /"
        );
        let error = parse("::ffff:10.0.0.1/104").expect_err("one, or all of them");
        let network = "10.0.0.0/8".to_owned();
        assert_eq!(error, InvalidClientIp::AddressInNetwork { entry: "::ffff:10.0.0.1/104".to_owned(), network });
    }

    #[test]
    fn everybody_is_no_proxy() {
        for entry in ["0.0.0.0/0", "::/0", "::ffff:0.0.0.0/96"] {
            let error = parse(entry).expect_err("everybody");
            assert_eq!(
                error.to_string(),
                format!("`{entry}` is everybody: whoever calls could choose the address it counts under")
            );
        }
    }
}
