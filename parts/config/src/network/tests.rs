use super::*;

#[test]
fn an_address_is_inside_by_its_leading_bits() {
    let check = |network: &str, ip: &str, inside: bool| {
        let parsed: Network = network.parse().unwrap_or_else(|bad| panic!("{network}: {bad:?}"));
        assert_eq!(parsed.contains(ip.parse().expect("an address")), inside, "{ip} in {network}");
    };
    check("10.0.0.0/8", "10.255.0.1", true);
    check("10.0.0.0/8", "11.0.0.1", false);
    check("10.0.0.0/8", "::ffff:10.1.2.3", true);
    check("10.0.0.0/9", "10.128.0.0", false);
    check("192.0.2.7", "192.0.2.7", true);
    check("192.0.2.7", "192.0.2.6", false);
    check("0.0.0.0/0", "203.0.113.9", true);
    check("0.0.0.0/0", "2001:db8::1", false);
    check("::/0", "2001:db8::1", true);
    check("::/0", "203.0.113.9", false);
    check("2001:db8::/33", "2001:db8:7fff::1", true);
    check("2001:db8::/33", "2001:db8:8000::1", false);
    check("::1", "::1", true);
    check("::1", "127.0.0.1", false);
}

#[test]
fn what_names_no_network_is_told_apart() {
    let check = |text: &str, bad| assert_eq!(text.parse::<Network>(), Err(bad), "{text}");
    check("10.0.0", BadNetwork::Address);
    check("example.org/8", BadNetwork::Address);
    check("10.0.0.0/33", BadNetwork::Prefix);
    check("10.0.0.0/", BadNetwork::Prefix);
    check("10.0.0.0/+8", BadNetwork::Prefix);
    check("::/129", BadNetwork::Prefix);
    check("10.0.0.1/8", BadNetwork::HostBits);
    check("2001:db8::1/64", BadNetwork::HostBits);
}
