//! The edge with real sockets: a scripted origin behind it, raw clients in front.

mod affinity;
mod automatic;
mod basics;
mod disk;
mod faults;
mod files;
mod floods;
mod frames;
mod harness;
mod http2;
mod http2_rules;
mod limits;
mod live;
mod pages;
mod probes;
mod proxies;
mod slow;
mod smuggling;
mod sticky;
mod streams;
mod tcp;
mod tls;
mod upstream_http2;
mod upstream_tls;
