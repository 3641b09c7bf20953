//! gRPC through the edge: a real client and a real server that know nothing of Pumasi.

use std::{path::PathBuf, process::Command};

use crate::service::Service;

/// The interpreter that `cargo xtask test` has installed grpcio for.
fn python() -> String {
    std::env::var("PUMASI_TEST_PYTHON").unwrap_or_else(|_| "python3".into())
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("it/grpc").join(name)
}

#[test]
fn every_kind_of_call_passes_to_workers_that_speak_http2() {
    let service = Service::run(
        &format!(
            r#"
[edge]
listen = "{{site}}"
[pool.app]
command = "exec '{}' '{}'"
workers = 2
protocol = "http2"
[console]
listen = "{{console}}"
"#,
            python(),
            file("server.py").display()
        ),
        &[],
    );
    let site = service.site.trim_start_matches("http://");
    let output = Command::new(python()).arg(file("client.py")).arg(site).output().expect("Python runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("all calls answered"), "{said}\n{}", service.said());
}
