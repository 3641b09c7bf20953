//! Whose word about the client is believed.

use crate::harness::*;

/// Says back the fields that tell who asked.
fn telling() -> Origin {
    Origin::start(|mut peer| {
        while let Some(head) = peer.read_head() {
            let said = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip"]
                .map(|name| field(&head, name).unwrap_or_default());
            let text = said.join("|");
            peer.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()));
        }
    })
}

const CLAIMS: &str =
    "X-Forwarded-For: 192.0.2.7, 10.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\nX-Real-IP: 192.0.2.7\r\n";

fn ask(proxies: &[&str], proxy_protocol: bool, before: &str) -> String {
    let origin = telling();
    let mut setup = setup(&[origin.address]);
    setup.plan.trusted_proxies = proxies.iter().map(|network| network.parse().unwrap()).collect();
    (setup.plan.proxy_protocol, setup.plan.proxy_protocol_from_trusted) = (proxy_protocol, proxy_protocol);
    let edge = setup.start();
    let mut client = Peer::connect(edge.addresses()[0]);
    client.write(format!("{before}GET / HTTP/1.1\r\nHost: a\r\n{CLAIMS}\r\n"));
    match client.read_head() {
        None => "closed".into(),
        Some(head) => String::from_utf8(client.read_exact(field(&head, "content-length").unwrap().parse().unwrap())).unwrap(),
    }
}

#[test]
fn only_a_trusted_proxy_is_believed() {
    let believed = "192.0.2.7, 10.1.1.1, 127.0.0.1|https|shop.example|192.0.2.7";
    let dropped = "127.0.0.1|http|a|";
    assert_eq!(ask(&["127.0.0.0/8"], false, ""), believed);
    assert_eq!(ask(&["10.0.0.0/8", "127.0.0.1"], false, ""), believed);
    assert_eq!(ask(&["10.0.0.0/8"], false, ""), dropped);
    assert_eq!(ask(&["::1", "::/0"], false, ""), dropped);
    assert_eq!(ask(&[], false, ""), dropped);
}

#[test]
fn behind_the_proxy_protocol_the_client_it_names_counts() {
    let line = |source: &str| format!("PROXY TCP4 {source} 10.0.0.1 1234 80\r\n");
    // The balancer (this machine) may say who connects; who it names is a stranger, or a CDN that is trusted as well.
    assert_eq!(ask(&["127.0.0.0/8"], true, &line("203.0.113.9")), "203.0.113.9|http|a|");
    assert_eq!(
        ask(&["127.0.0.0/8", "203.0.113.0/24"], true, &line("203.0.113.9")),
        "192.0.2.7, 10.1.1.1, 203.0.113.9|https|shop.example|192.0.2.7"
    );
    let six = "PROXY TCP6 2001:db8::9 2001:db8::1 1234 80\r\n";
    assert_eq!(ask(&["127.0.0.0/8", "2001:db8::/32"], true, six), "192.0.2.7, 10.1.1.1, 2001:db8::9|https|shop.example|192.0.2.7");
    // Who is not among the trusted may not say who it is.
    assert_eq!(ask(&["10.0.0.0/8"], true, &line("203.0.113.9")), "closed");
}

/// The client's own address decides where a hash by address leads, whichever proxy brings the request.
#[test]
fn the_last_address_that_is_no_proxy_is_the_client() {
    let origins = [Origin::saying("a"), Origin::saying("b"), Origin::saying("c")];
    let mut setup = setup(&origins.each_ref().map(|origin| origin.address));
    setup.plan.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
    setup.pools[0].plan.policy = pumasi_config::BalancePolicy::Maglev;
    let edge = setup.start();
    let ask = |forwarded: &str| {
        let mut client = Peer::connect(edge.addresses()[0]);
        client.write(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {forwarded}\r\n\r\n"));
        client.read_answer().content
    };
    for client in 0..20 {
        let own = ask(&format!("203.0.113.{client}"));
        // Through more proxies, with a port, and with something that the client made up in front.
        assert_eq!(ask(&format!("203.0.113.{client}, 10.0.0.8")), own);
        assert_eq!(ask(&format!("203.0.113.{client}:5555, 10.0.0.9")), own);
        assert_eq!(ask(&format!("198.51.100.1, 203.0.113.{client}, 10.0.0.8, 10.0.0.9")), own);
        assert_eq!(ask(&format!("nonsense, 203.0.113.{client}")), own);
    }
    let met: std::collections::BTreeSet<String> = (0..20).map(|client| ask(&format!("203.0.113.{client}"))).collect();
    assert_eq!(met.len(), 3);
}
