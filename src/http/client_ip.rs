mod address;
mod forwarded;
mod invalid;
mod proxies;

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{Extensions, HeaderMap, HeaderValue, Request};

pub use self::invalid::InvalidClientIp;
use self::proxies::Proxies;
use crate::key::KeyOf;
use crate::telemetry;

/// Counts requests under the IP address of the client that sent them, also behind proxies.
///
/// The one address that nobody can forge is the peer's, at the other end of the connection. Behind a proxy that is the
/// proxy for everybody. It says in a header whom it speaks for, and so can anybody who wants to be taken for somebody
/// else, or for somebody new with each request. So:
///
/// 1. A peer that is none of your proxies is the client. What its headers say is not read.
/// 2. Where the peer is one of your proxies, its header is read from the right, where the nearest has written last. The
///    first address that is none of your proxies is the client. What stands left of it is what the client says, and is not
///    read.
/// 3. Where all of them are your proxies, the leftmost is the client; without the header, the peer is. That is a proxy
///    which asks for itself, such as for a health check.
///
/// ```
/// use std::net::{IpAddr, SocketAddr};
/// use buttress::KeyOf;
/// use buttress::http::ClientIp;
/// use http::Request;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client_ip = ClientIp::behind(["10.0.0.0/8", "192.0.2.7"])?;
///
/// let mut request = Request::builder()
///     .header("x-forwarded-for", "203.0.113.9") // the client says so
///     .header("x-forwarded-for", "198.51.100.4, 192.0.2.7") // what the proxies saw
///     .body(())?;
/// request.extensions_mut().insert("10.0.0.1:52044".parse::<SocketAddr>()?);
/// assert_eq!(client_ip.key_of(&request), Some("198.51.100.4".parse::<IpAddr>()?));
/// # Ok(())
/// # }
/// ```
///
/// # The peer
///
/// By default it is the [`SocketAddr`], or else the [`IpAddr`], in the request's extensions. Where your server keeps it
/// elsewhere, [`peer_of`](Self::peer_of) finds it. A request whose peer is unknown has no key, since nothing it says can
/// be believed; where that is so for all of them, a rate limiter counts all of them together, and an event at `WARN` says
/// so once. **axum keeps it in a type of its own**, and only if it is served so:
///
/// ```
/// use std::net::SocketAddr;
/// use axum::extract::{ConnectInfo, Request};
/// use axum::routing::get;
/// use axum::{Extension, Router};
/// use buttress::KeyOf;
/// use buttress::http::ClientIp;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client_ip = ClientIp::behind(["10.0.0.0/8"])?
///     .peer_of(|extensions| extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip()));
///
/// let whoami = async move |request: Request| format!("{:?}", client_ip.key_of(&request));
/// // Serve it with `app.into_make_service_with_connect_info::<SocketAddr>()`, or there is no peer.
/// let app: Router = Router::new().route("/whoami", get(whoami));
/// # let _ = app;
/// # Ok(())
/// # }
/// ```
///
/// # What is one client
///
/// An IPv4 address, or an IPv6 network of 64 bits: a single customer is given at least that much, and could take a new
/// address for every request ([`ipv6_prefix`](Self::ipv6_prefix) sets another length). An IPv4 address that is written as
/// IPv6, `::ffff:192.0.2.1`, is the IPv4 address, both as a key and where a proxy is told apart.
///
/// # What cannot be read
///
/// An entry may be something else than an address: `unknown`, a name that hides it (`_gateway`), nothing at all, or
/// garbage. Where one is met before the client is found, nobody vouches for what stands left of it, and the client is
/// unknown. So it is where 32 entries are all of proxies and there are more: real chains have a handful, and the work for
/// one request stays small.
/// [`unknown_client`](Self::unknown_client) says what it then counts as. An event (feature `tracing`) tells it.
#[derive(Clone)]
#[must_use]
pub struct ClientIp {
    proxies: Proxies,
    header: ProxyHeader,
    peer_of: Arc<PeerOf>,
    ipv6_prefix: u8,
    unknown_client: UnknownClient,
    /// Whether somebody has been warned that there are no peers.
    has_warned: Arc<AtomicBool>,
}

type PeerOf = dyn Fn(&Extensions) -> Option<IpAddr> + Send + Sync;

/// The header in which proxies say whom they speak for.
///
/// Choose the one that *every* proxy of yours writes, and only that one is read. A proxy that writes one lets the other
/// pass as the client sent it, so whoever reads the other believes the client. And each must add to the header or write it
/// anew: one that passes it on as it came lets the client speak for it.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyHeader {
    /// `X-Forwarded-For: 203.0.113.9, 10.0.0.2`: what most proxies write, each adding the address it was called from.
    #[default]
    XForwardedFor,
    /// `Forwarded: for=203.0.113.9;proto=https, for="[2001:db8::1]:4711"` (RFC 7239, section 4). Only `for` is looked at.
    Forwarded,
}

/// What a request counts as whose client its proxies do not say readably.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownClient {
    /// As its peer, the proxy, together with all others of that proxy. The default: it is counted whatever the layer does
    /// without a key, so nobody gets around a limit, and a proxy that writes nonsense is noticed.
    #[default]
    Peer,
    /// As nobody: it has no key, and the layer does what it does with such requests.
    NoKey,
}

/// As many entries are looked at for one request.
const MOST_ENTRIES: usize = 32;

impl ClientIp {
    /// Clients connect without a proxy: each peer is a client, and no header is read.
    pub fn direct() -> Self {
        Self::with(Proxies::none())
    }

    /// Clients come through these proxies: addresses such as `192.0.2.7` and networks such as `10.0.0.0/8`.
    ///
    /// Name the proxies and nothing else: whoever is in the list is believed, and can choose the key that it counts under.
    /// An empty list is as [`direct`](Self::direct).
    ///
    /// # Errors
    ///
    /// [`InvalidClientIp`] names the entry that cannot be meant.
    pub fn behind<I>(proxies: I) -> Result<Self, InvalidClientIp>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        Proxies::parse(proxies).map(Self::with)
    }

    fn with(proxies: Proxies) -> Self {
        Self {
            proxies,
            header: ProxyHeader::default(),
            peer_of: Arc::new(peer_in),
            ipv6_prefix: 64,
            unknown_client: UnknownClient::default(),
            has_warned: Arc::default(),
        }
    }

    /// Reads this header; [`XForwardedFor`](ProxyHeader::XForwardedFor) by default.
    pub const fn header(mut self, header: ProxyHeader) -> Self {
        self.header = header;
        self
    }

    /// Finds the peer's address; by default it is the [`SocketAddr`], or else the [`IpAddr`], in the extensions.
    ///
    /// It must come from the connection, never from the client. Behind a proxy that calls over a Unix socket it may be any
    /// address of the list: `|_| Some(Ipv4Addr::LOCALHOST.into())`.
    pub fn peer_of<F>(mut self, peer_of: F) -> Self
    where
        F: Fn(&Extensions) -> Option<IpAddr> + Send + Sync + 'static,
    {
        self.peer_of = Arc::new(peer_of);
        self
    }

    /// IPv6 addresses that begin with the same `bits` are one client; 64 by default, the smallest network that is given
    /// away. Many customers get 56 or 48, and then have 256 or 65 536 keys at 64.
    ///
    /// # Errors
    ///
    /// [`InvalidClientIp::Ipv6Prefix`] if `bits` are not 1 to 128.
    pub fn ipv6_prefix(mut self, bits: u8) -> Result<Self, InvalidClientIp> {
        if !(1..=128).contains(&bits) {
            return Err(InvalidClientIp::Ipv6Prefix(bits));
        }
        self.ipv6_prefix = bits;
        Ok(self)
    }

    /// What a request counts as whose client its proxies do not say readably; as the [peer](UnknownClient::Peer) by
    /// default.
    pub const fn unknown_client(mut self, unknown: UnknownClient) -> Self {
        self.unknown_client = unknown;
        self
    }

    /// The key that a client of this address counts under, to look it up.
    ///
    /// ```
    /// use buttress::http::ClientIp;
    ///
    /// let key = ClientIp::direct().key("2001:db8::17".parse()?);
    /// assert_eq!(key, ClientIp::direct().key("2001:db8::18".parse()?));
    /// assert_eq!(key.to_string(), "2001:db8::");
    /// # Ok::<(), std::net::AddrParseError>(())
    /// ```
    #[must_use]
    pub fn key(&self, address: IpAddr) -> IpAddr {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = u128::MAX << (128 - u32::from(self.ipv6_prefix));
                Ipv6Addr::from_bits(address.to_bits() & network).into()
            }
            address @ IpAddr::V4(_) => address,
        }
    }

    fn client(&self, headers: &HeaderMap, extensions: &Extensions) -> Option<IpAddr> {
        let Some(peer) = (self.peer_of)(extensions) else {
            // Once is enough for what is hardly ever the request's fault.
            let is_first = !self.has_warned.load(Ordering::Relaxed) && !self.has_warned.swap(true, Ordering::Relaxed);
            telemetry::peer_unknown(is_first);
            return None;
        };
        if !self.proxies.contain(peer) {
            return Some(peer);
        }
        let lines = headers.get_all(self.header.name()).iter().rev().map(HeaderValue::as_bytes);
        let found = match self.header {
            ProxyHeader::XForwardedFor => self.walk(peer, lines.flat_map(address::from_the_right)),
            ProxyHeader::Forwarded => self.walk(peer, lines.flat_map(forwarded::from_the_right)),
        };
        found.or_else(|| {
            telemetry::client_unknown("what its proxies say cannot be read");
            match self.unknown_client {
                UnknownClient::Peer => Some(peer),
                UnknownClient::NoKey => None,
            }
        })
    }

    /// The client, from the proxy `peer` on along what it and those behind it say; `None` stands for what cannot be read.
    fn walk(&self, peer: IpAddr, entries: impl Iterator<Item = Option<IpAddr>>) -> Option<IpAddr> {
        let mut furthest = peer;
        for (passed, entry) in entries.enumerate() {
            if passed == MOST_ENTRIES {
                return None;
            }
            furthest = entry?;
            if !self.proxies.contain(furthest) {
                break;
            }
        }
        Some(furthest)
    }
}

impl ProxyHeader {
    const fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        }
    }
}

fn peer_in(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<SocketAddr>().map(SocketAddr::ip).or_else(|| extensions.get().copied())
}

impl<B> KeyOf<Request<B>> for ClientIp {
    type Key = IpAddr;

    fn key_of(&self, request: &Request<B>) -> Option<IpAddr> {
        self.client(request.headers(), request.extensions()).map(|client| self.key(client))
    }
}

impl fmt::Debug for ClientIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientIp")
            .field("proxies", &self.proxies)
            .field("header", &self.header)
            .field("ipv6_prefix", &self.ipv6_prefix)
            .field("unknown_client", &self.unknown_client)
            .finish_non_exhaustive()
    }
}
