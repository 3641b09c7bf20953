use super::CacheAddress;

#[test]
fn an_address_names_its_engine_and_may_leave_out_the_port() {
    check("redis://127.0.0.1:7000", "Redis 127.0.0.1:7000");
    check("redis://cache/", "Redis cache:6379");
    check("memcached://10.0.0.7", "Memcached 10.0.0.7:11211");
    let wrong = r#"ASKHY_CACHE="postgres://db" is not redis://HOST:PORT or memcached://HOST:PORT"#;
    check("postgres://db", wrong);
    check("redis://", &wrong.replace("postgres://db", "redis://"));
}

fn check(text: &str, expected: &str) {
    let shown = match CacheAddress::parse(text.into()) {
        Ok(address) => format!("{:?} {}", address.kind, address.host_port),
        Err(error) => error.to_string(),
    };
    assert_eq!(shown, expected);
}
