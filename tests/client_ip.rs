//! Which client a request is counted under, whatever its headers claim.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::Router;
use axum::extract::{ConnectInfo, Request as AxumRequest};
use axum::routing::get;
use buttress::KeyOf;
use buttress::http::{ClientIp, InvalidClientIp, ProxyHeader, UnknownClient};
use http::{HeaderValue, Request};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::net::TcpListener;

const XFF: &str = "x-forwarded-for";
const FORWARDED: &str = "forwarded";

/// The proxies of every test here.
fn behind() -> ClientIp {
    ClientIp::behind(["10.0.0.0/8", "192.0.2.7", "2001:db8:cafe::/48"]).expect("networks")
}

fn request<V: AsRef<[u8]>>(peer: Option<&str>, lines: &[(&'static str, V)]) -> Request<()> {
    let mut request = Request::new(());
    for (name, value) in lines {
        request.headers_mut().append(*name, HeaderValue::from_bytes(value.as_ref()).expect("a header value"));
    }
    if let Some(peer) = peer {
        let peer: IpAddr = peer.parse().expect("an address");
        request.extensions_mut().insert(SocketAddr::new(peer, 52044));
    }
    request
}

/// A line of the table: what it shows, the peer, the lines of the header, and whom it is counted under.
type Case<'a> = (&'a str, &'a str, &'a [&'a str], &'a str);

#[track_caller]
fn hold(client_ip: &ClientIp, header: &'static str, cases: &[Case<'_>]) {
    for (name, peer, lines, expected) in cases {
        let lines: Vec<_> = lines.iter().map(|line| (header, line)).collect();
        let key = client_ip.key_of(&request(Some(*peer), &lines));
        assert_eq!(key, Some(expected.parse().expect("an address")), "{name}");
    }
}

/// The peer is 10.0.0.1, a proxy, unless it says otherwise; 198.51.100.4 is the client, and 203.0.113.9 a lie.
const SPOOFING: &[Case<'_>] = &[
    ("a client without a proxy", "198.51.100.4", &[], "198.51.100.4"),
    ("a stranger who claims to be a proxy", "198.51.100.4", &["203.0.113.9"], "198.51.100.4"),
    ("a stranger who claims to come through one", "198.51.100.4", &["203.0.113.9, 10.0.0.1"], "198.51.100.4"),
    ("a neighbour of a proxy is none", "192.0.2.8", &["203.0.113.9"], "192.0.2.8"),
    ("one proxy", "10.0.0.1", &["198.51.100.4"], "198.51.100.4"),
    ("two proxies", "10.0.0.1", &["198.51.100.4, 192.0.2.7"], "198.51.100.4"),
    ("a forged entry", "10.0.0.1", &["203.0.113.9, 198.51.100.4"], "198.51.100.4"),
    ("a forged proxy", "10.0.0.1", &["203.0.113.9, 10.0.0.2, 198.51.100.4, 192.0.2.7"], "198.51.100.4"),
    ("a client that forges itself", "10.0.0.1", &["198.51.100.4, 203.0.113.9, 198.51.100.4"], "198.51.100.4"),
    ("a line of the client, then the proxy's", "10.0.0.1", &["203.0.113.9", "198.51.100.4"], "198.51.100.4"),
    ("each proxy in a line of its own", "10.0.0.1", &["203.0.113.9", "198.51.100.4", "192.0.2.7"], "198.51.100.4"),
    ("two on the last of several lines", "10.0.0.1", &["203.0.113.9", "198.51.100.4, 10.0.0.9"], "198.51.100.4"),
    ("garbage left of the client", "10.0.0.1", &["%$#, unknown,, 198.51.100.4"], "198.51.100.4"),
    ("an empty line before the proxy's", "10.0.0.1", &["", "198.51.100.4"], "198.51.100.4"),
    ("garbage in the middle hides what is left of it", "10.0.0.1", &["203.0.113.9, x, 192.0.2.7"], "10.0.0.1"),
    ("so it does in a line of its own", "10.0.0.1", &["203.0.113.9", "x", "192.0.2.7"], "10.0.0.1"),
    ("garbage at the end", "10.0.0.1", &["203.0.113.9, x"], "10.0.0.1"),
    ("a client that is unknown", "10.0.0.1", &["203.0.113.9, unknown"], "10.0.0.1"),
    ("a client that is hidden", "10.0.0.1", &["203.0.113.9, _secret"], "10.0.0.1"),
    ("an empty entry", "10.0.0.1", &["203.0.113.9, , 192.0.2.7"], "10.0.0.1"),
    ("an empty entry at the end", "10.0.0.1", &["203.0.113.9,"], "10.0.0.1"),
    ("an empty line at the end", "10.0.0.1", &["203.0.113.9", ""], "10.0.0.1"),
    ("an address in quotes", "10.0.0.1", &["203.0.113.9, \"198.51.100.4\""], "10.0.0.1"),
    ("a proxy that asks for itself", "10.0.0.1", &[], "10.0.0.1"),
    ("proxies all the way", "10.0.0.1", &["10.0.0.3, 192.0.2.7", "10.0.0.2"], "10.0.0.3"),
    ("ports", "10.0.0.1", &["203.0.113.9:1, 198.51.100.4:52044, 192.0.2.7:443"], "198.51.100.4"),
    ("spaces", "10.0.0.1", &["203.0.113.9,\t198.51.100.4 ,   192.0.2.7  "], "198.51.100.4"),
    ("no spaces", "10.0.0.1", &["203.0.113.9,198.51.100.4,192.0.2.7"], "198.51.100.4"),
    ("IPv6", "2001:db8:cafe::1", &["203.0.113.9, 2001:db8:1:2::3"], "2001:db8:1:2::"),
    ("IPv6 in brackets", "10.0.0.1", &["[2001:db8:1:2::3], [2001:db8:cafe::1]"], "2001:db8:1:2::"),
    ("IPv6 with ports", "10.0.0.1", &["[2001:db8:1:2::3]:1, [2001:db8:cafe::1]:443"], "2001:db8:1:2::"),
    ("a stranger over IPv6", "2001:db8:1:2::3", &["203.0.113.9"], "2001:db8:1:2::"),
    ("a proxy over IPv6 that asks for itself", "2001:db8:cafe:1::1", &[], "2001:db8:cafe:1::"),
    ("IPv4 written as IPv6, the proxy", "::ffff:10.0.0.1", &["203.0.113.9, 198.51.100.4"], "198.51.100.4"),
    ("IPv4 written as IPv6, a proxy in the list", "10.0.0.1", &["198.51.100.4, ::ffff:192.0.2.7"], "198.51.100.4"),
    ("IPv4 written as IPv6, the client", "10.0.0.1", &["203.0.113.9, [::ffff:198.51.100.4]:80"], "198.51.100.4"),
    ("IPv4 written as IPv6, a stranger", "::ffff:198.51.100.4", &["203.0.113.9"], "198.51.100.4"),
    ("an address of octal digits", "10.0.0.1", &["203.0.113.9, 0306.063.0144.04"], "10.0.0.1"),
];

#[test]
fn no_client_is_taken_for_another_by_what_it_writes_into_x_forwarded_for() {
    hold(&behind(), XFF, SPOOFING);
}

#[test]
fn nor_by_what_it_writes_into_forwarded() {
    let cases: &[Case<'_>] = &[
        ("a stranger who claims to be a proxy", "198.51.100.4", &["for=203.0.113.9"], "198.51.100.4"),
        ("one proxy", "10.0.0.1", &["for=198.51.100.4"], "198.51.100.4"),
        ("more than an address", "10.0.0.1", &["for=198.51.100.4;proto=http;by=10.0.0.1"], "198.51.100.4"),
        ("in any case and place", "10.0.0.1", &["by=10.0.0.1;FOR=198.51.100.4"], "198.51.100.4"),
        ("a forged entry", "10.0.0.1", &["for=203.0.113.9, for=198.51.100.4, for=192.0.2.7"], "198.51.100.4"),
        ("a forged by", "10.0.0.1", &["for=203.0.113.9, for=198.51.100.4;by=203.0.113.9"], "198.51.100.4"),
        (
            "a line of the client, then the proxy's",
            "10.0.0.1",
            &["for=203.0.113.9", "for=198.51.100.4"],
            "198.51.100.4",
        ),
        ("a quote left open in it", "10.0.0.1", &["for=203.0.113.9;by=\"", "for=198.51.100.4"], "198.51.100.4"),
        ("a quote left open before it", "10.0.0.1", &["for=\"203.0.113.9, for=198.51.100.4"], "198.51.100.4"),
        ("one that the proxy's own would close", "10.0.0.1", &["for=\", for=\"198.51.100.4\""], "198.51.100.4"),
        ("IPv6 in quotes", "10.0.0.1", &["for=203.0.113.9,for=\"[2001:db8:1:2::3]:4711\""], "2001:db8:1:2::"),
        ("commas in quotes", "10.0.0.1", &["for=198.51.100.4;by=\"a, for=203.0.113.9\""], "198.51.100.4"),
        ("semicolons in quotes", "10.0.0.1", &["by=\"a;for=203.0.113.9\";for=198.51.100.4"], "198.51.100.4"),
        ("escapes in quotes", "10.0.0.1", &["by=\"\\\", for=203.0.113.9\";for=\"198.51\\.100.4\""], "198.51.100.4"),
        ("a client that is unknown", "10.0.0.1", &["for=203.0.113.9, for=unknown"], "10.0.0.1"),
        ("a client that is hidden", "10.0.0.1", &["for=203.0.113.9, for=_hidden, for=192.0.2.7"], "10.0.0.1"),
        ("a port that is hidden", "10.0.0.1", &["for=203.0.113.9, for=\"198.51.100.4:_x\""], "198.51.100.4"),
        ("an element without for", "10.0.0.1", &["for=203.0.113.9, proto=https;by=10.0.0.1"], "10.0.0.1"),
        ("an element with two", "10.0.0.1", &["for=203.0.113.9;for=198.51.100.4"], "10.0.0.1"),
        ("an empty element", "10.0.0.1", &["for=203.0.113.9, , for=192.0.2.7"], "10.0.0.1"),
        ("no grammar at all", "10.0.0.1", &["for=203.0.113.9, 198.51.100.4"], "10.0.0.1"),
        ("proxies all the way", "10.0.0.1", &["for=10.0.0.3, for=\"[2001:db8:cafe::1]\""], "10.0.0.3"),
        ("a proxy that asks for itself", "10.0.0.1", &[], "10.0.0.1"),
    ];
    hold(&behind().header(ProxyHeader::Forwarded), FORWARDED, cases);
}

#[test]
fn only_the_header_that_was_chosen_is_read() {
    let both = |xff, forwarded| request(Some("10.0.0.1"), &[(XFF, xff), (FORWARDED, forwarded)]);
    let client = Some(IpAddr::from([198, 51, 100, 4]));
    assert_eq!(behind().key_of(&both("198.51.100.4", "for=203.0.113.9")), client);
    let forwarded = behind().header(ProxyHeader::Forwarded);
    assert_eq!(forwarded.key_of(&both("203.0.113.9", "for=198.51.100.4")), client);

    let only = request(Some("10.0.0.1"), &[(XFF, "203.0.113.9")]);
    assert_eq!(forwarded.key_of(&only), Some([10, 0, 0, 1].into()));
}

#[test]
fn where_nobody_is_trusted_no_header_is_read() {
    let claims = request(Some("198.51.100.4"), &[(XFF, "203.0.113.9"), (FORWARDED, "for=203.0.113.9")]);
    let empty = ClientIp::behind::<[&str; 0]>([]).expect("nobody");
    for client_ip in [ClientIp::direct(), ClientIp::direct().header(ProxyHeader::Forwarded), empty] {
        assert_eq!(client_ip.key_of(&claims), Some([198, 51, 100, 4].into()));
    }
}

#[test]
fn without_a_peer_nothing_is_believed_and_there_is_no_key() {
    let claims = request(None, &[(XFF, "203.0.113.9")]);
    for unknown in [UnknownClient::Peer, UnknownClient::NoKey] {
        assert_eq!(behind().unknown_client(unknown).key_of(&claims), None);
        assert_eq!(ClientIp::direct().unknown_client(unknown).key_of(&claims), None);
    }
}

#[test]
fn the_peer_is_looked_for_where_it_is() {
    let mut request = Request::new(());
    request.extensions_mut().insert(IpAddr::from([198, 51, 100, 4]));
    assert_eq!(ClientIp::direct().key_of(&request), Some([198, 51, 100, 4].into()), "an address alone");
    request.extensions_mut().insert(SocketAddr::from(([198, 51, 100, 5], 80)));
    assert_eq!(ClientIp::direct().key_of(&request), Some([198, 51, 100, 5].into()), "one with its port comes first");

    let elsewhere = ClientIp::direct().peer_of(|extensions| extensions.get::<Ipv4Addr>().copied().map(IpAddr::from));
    assert_eq!(elsewhere.key_of(&request), None);
    request.extensions_mut().insert(Ipv4Addr::new(198, 51, 100, 6));
    assert_eq!(elsewhere.clone().key_of(&request), Some([198, 51, 100, 6].into()));
}

#[test]
fn an_unknown_client_counts_as_its_peer_or_has_no_key_as_chosen() {
    for lines in [&["203.0.113.9, unknown"][..], &["203.0.113.9", ""], &["x"]] {
        let lines: Vec<_> = lines.iter().map(|line| (XFF, line)).collect();
        let request = request(Some("10.0.0.1"), &lines);
        assert_eq!(behind().key_of(&request), Some([10, 0, 0, 1].into()));
        assert_eq!(behind().unknown_client(UnknownClient::Peer).key_of(&request), Some([10, 0, 0, 1].into()));
        assert_eq!(behind().unknown_client(UnknownClient::NoKey).key_of(&request), None);
    }
    let no_key = behind().unknown_client(UnknownClient::NoKey);
    let itself = request::<&str>(Some("10.0.0.1"), &[]);
    assert_eq!(no_key.key_of(&itself), Some([10, 0, 0, 1].into()), "a proxy that asks for itself is known");
}

#[test]
fn two_hosts_of_one_ipv6_network_are_one_client_and_two_networks_are_two() {
    let key = |client_ip: &ClientIp, client: &str| {
        let direct = client_ip.key_of(&request::<&str>(Some(client), &[])).expect("a key");
        let proxied = client_ip.key_of(&request(Some("10.0.0.1"), &[(XFF, client)])).expect("a key");
        assert_eq!(direct, proxied);
        assert_eq!(direct, client_ip.key(client.parse().expect("an address")));
        direct
    };
    let (one, host, network) = ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:3::1");
    let by_64 = behind();
    assert_eq!(key(&by_64, one), key(&by_64, host));
    assert_ne!(key(&by_64, one), key(&by_64, network));

    let by_48 = behind().ipv6_prefix(48).expect("48 bits");
    assert_eq!(key(&by_48, one), key(&by_48, network));
    assert_ne!(key(&by_48, one), key(&by_48, "2001:db8:2:2::1"));
    let whole = behind().ipv6_prefix(128).expect("all bits");
    assert_ne!(key(&whole, one), key(&whole, host));
    assert_ne!(key(&by_64, "198.51.100.4"), key(&by_64, "198.51.100.5"), "an IPv4 address is one client");
    assert_eq!(key(&by_48, "::ffff:198.51.100.4"), Ipv4Addr::new(198, 51, 100, 4));

    let first_bit = behind().ipv6_prefix(1).expect("a bit");
    assert_eq!(key(&first_bit, "ffff::"), "8000::".parse::<IpAddr>().expect("an address"));
    for bits in [0, 129, 255] {
        let error = behind().ipv6_prefix(bits).expect_err("not a prefix");
        assert_eq!(error, InvalidClientIp::Ipv6Prefix(bits));
        assert_eq!(error.to_string(), format!("ipv6_prefix must be 1 to 128 bits, and is {bits}"));
    }
}

#[test]
fn a_thousand_forged_entries_change_nothing() {
    let forged = |entry: &str| vec![entry; 1000].join(", ");
    for entry in ["203.0.113.9", "10.0.0.2", "x", ""] {
        let line = format!("{}, 198.51.100.4, 192.0.2.7", forged(entry));
        let key = behind().key_of(&request(Some("10.0.0.1"), &[(XFF, &line)]));
        assert_eq!(key, Some([198, 51, 100, 4].into()), "{entry:?}");

        let mut lines = vec![(XFF, entry); 1000];
        lines.push((XFF, "198.51.100.4"));
        assert_eq!(behind().key_of(&request(Some("10.0.0.1"), &lines)), Some([198, 51, 100, 4].into()), "{entry:?}");
    }
}

#[test]
fn no_more_than_32_entries_are_looked_at() {
    let behind_many = |proxies: usize| {
        let line = format!("198.51.100.4{}", ", 10.0.0.2".repeat(proxies));
        behind().unknown_client(UnknownClient::NoKey).key_of(&request(Some("10.0.0.1"), &[(XFF, line)]))
    };
    assert_eq!(behind_many(31), Some([198, 51, 100, 4].into()));
    assert_eq!(behind_many(32), None);
    assert_eq!(behind_many(1000), None);

    let only_proxies = |proxies: usize| {
        let lines = vec![(XFF, "10.0.0.2"); proxies];
        behind().unknown_client(UnknownClient::NoKey).key_of(&request(Some("10.0.0.1"), &lines))
    };
    assert_eq!(only_proxies(32), Some([10, 0, 0, 2].into()));
    assert_eq!(only_proxies(33), None);
}

#[test]
fn proxies_come_as_any_strings_and_a_bad_one_is_named() {
    let read = vec![String::from("10.0.0.0/8"), String::from(" 192.0.2.7")];
    let client_ip = ClientIp::behind(&read).expect("a list from a file");
    assert!(format!("{client_ip:?}").contains("proxies: [10.0.0.0/8, 192.0.2.7/32]"), "{client_ip:?}");
    let error = ClientIp::behind("10.0.0.0/8, gateway".split(',')).expect_err("a name");
    assert_eq!(error, InvalidClientIp::NoProxy("gateway".to_owned()));
}

#[test]
fn it_goes_wherever_a_layer_goes() {
    fn is<T: Clone + std::fmt::Debug + Send + Sync + 'static>() {}
    is::<ClientIp>();
}

/// A server of axum's behind a client that claims much, on a real socket.
#[tokio::test]
async fn under_axum_the_connection_says_who_the_peer_is() {
    async fn told(client_ip: ClientIp, claim: &str) -> String {
        let whoami = async move |request: AxumRequest| format!("{:?}", client_ip.key_of(&request));
        let app = Router::new().route("/", get(whoami));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("bound");
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        let server = tokio::spawn(async move { axum::serve(listener, app).await });
        let client = legacy::Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        let request = Request::get(format!("http://{address}/")).header(XFF, claim).body(Empty::new());
        let response = client.request(request.expect("a valid request")).await.expect("an answer");
        let text = response.into_body().collect().await.expect("a body").to_bytes();
        server.abort();
        String::from_utf8(text.to_vec()).expect("text")
    }
    let connected = |client_ip: ClientIp| {
        client_ip.peer_of(|extensions| extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip()))
    };
    let behind_loopback = || ClientIp::behind(["127.0.0.0/8"]).expect("loopback");
    let claim = "203.0.113.9, 198.51.100.4";
    assert_eq!(told(connected(behind_loopback()), claim).await, "Some(198.51.100.4)");
    assert_eq!(told(connected(ClientIp::direct()), claim).await, "Some(127.0.0.1)");
    assert_eq!(told(behind_loopback(), claim).await, "None", "axum keeps the peer in a type of its own");
}

/// Whatever a client may send as a header value, and mostly what means something there.
fn client_text() -> impl Strategy<Value = Vec<u8>> {
    let meant = prop::sample::select(vec![
        "\"",
        "\\",
        ",",
        ";",
        "=",
        "[",
        "]",
        ":",
        " ",
        "for=",
        "by=\"",
        "for=\"10.0.0.1",
        "10.0.0.2",
        "203.0.113.9",
        "unknown",
        "_x",
        "2001:db8:cafe::1",
    ]);
    let any_byte = prop_oneof![Just(b'\t'), 0x20..=0x7e_u8, 0x80..=0xff_u8].prop_map(|byte| vec![byte]);
    let part = prop_oneof![3 => meant.prop_map(|text| text.as_bytes().to_vec()), 1 => any_byte];
    vec(part, 0..24).prop_map(|parts| parts.concat())
}

/// What proxies write for the client 198.51.100.4 or 2001:db8:1:2::3, from the left to the right, and its key.
const WRITTEN: &[(ProxyHeader, &str, &str)] = &[
    (ProxyHeader::XForwardedFor, "198.51.100.4", "198.51.100.4"),
    (ProxyHeader::XForwardedFor, "198.51.100.4:80,192.0.2.7", "198.51.100.4"),
    (ProxyHeader::XForwardedFor, "[2001:db8:1:2::3]:80, 10.0.0.9", "2001:db8:1:2::"),
    (ProxyHeader::Forwarded, "for=198.51.100.4", "198.51.100.4"),
    (ProxyHeader::Forwarded, "for=\"198.51.100.4:80\";by=\"\\\\\\\",\",For=192.0.2.7", "198.51.100.4"),
    (ProxyHeader::Forwarded, "by=\"[::1]\";for=\"[2001:db8:1:2::3]\", for=10.0.0.9;proto=https", "2001:db8:1:2::"),
];

fn name(header: ProxyHeader) -> &'static str {
    if header == ProxyHeader::Forwarded { FORWARDED } else { XFF }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Proxies add to the client's last line, or a line of their own, or put all lines into one.
    #[test]
    fn whatever_a_client_sends_its_key_remains_the_same(
        sent in vec(client_text(), 0..4),
        (header, written, key) in prop::sample::select(WRITTEN),
    ) {
        let key = key.parse::<IpAddr>().expect("an address");
        let mut own_line = sent.clone();
        own_line.push(written.into());
        let mut appended = sent.clone();
        match appended.last_mut() {
            Some(last) => last.extend_from_slice(format!(", {written}").as_bytes()),
            None => appended.push(written.into()),
        }
        let in_one = vec![own_line.join(&b", "[..])];
        for lines in [own_line, appended, in_one] {
            let lines: Vec<_> = lines.iter().map(|line| (name(header), line)).collect();
            let found = behind().header(header).key_of(&request(Some("10.0.0.1"), &lines));
            prop_assert_eq!(found, Some(key), "{:?}", lines);
        }
    }

    #[test]
    fn what_nobody_meant_never_panics_and_is_counted_under_somebody(lines in vec(client_text(), 0..6)) {
        for header in [ProxyHeader::XForwardedFor, ProxyHeader::Forwarded] {
            let lines: Vec<_> = lines.iter().map(|line| (name(header), line)).collect();
            prop_assert!(behind().header(header).key_of(&request(Some("10.0.0.1"), &lines)).is_some());
        }
    }

    /// The reference: put the peer behind the list, and take the last that is no proxy, or else the first.
    #[test]
    fn a_list_of_addresses_is_read_as_the_reference_does(
        entries in vec((0..4_usize, 0..4_usize, any::<bool>()), 0..12),
        peer in 0..4_usize,
    ) {
        let addresses = ["10.0.0.1", "192.0.2.7", "198.51.100.4", "203.0.113.9"].map(|ip| ip.parse::<IpAddr>().expect("an address"));
        let is_proxy = |index: usize| index < 2;
        let mut lines: Vec<String> = Vec::new();
        for (index, way, begins_line) in &entries {
            let address = addresses[*index];
            let text = [format!("{address}"), format!("{address}:80"), format!("[::ffff:{address}]:80"), format!("::ffff:{address}")];
            match lines.last_mut() {
                Some(line) if !begins_line => *line = format!("{line}, {}", text[*way]),
                _ => lines.push(text[*way].clone()),
            }
        }
        let chain: Vec<usize> = entries.iter().map(|entry| entry.0).chain([peer]).collect();
        let expected = chain.iter().rev().find(|index| !is_proxy(**index)).unwrap_or(&chain[0]);
        let lines: Vec<_> = lines.iter().map(|line| (XFF, line)).collect();
        let found = behind().key_of(&request(Some(&addresses[peer].to_string()), &lines));
        prop_assert_eq!(found, Some(addresses[*expected]));
    }
}
