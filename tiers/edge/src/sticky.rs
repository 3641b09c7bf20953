//! Keeping a client with one upstream by a signed cookie.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use pumasi_balance::{Lease, Pool, Upstream};
use pumasi_config::StickyPlan;
use pumasi_http1::{Fields, Known};
use pumasi_sticky::{Key, Stuck};

/// How a pool keeps its clients.
#[derive(Debug)]
pub(crate) struct Sticky {
    cookie: String,
    key: Key,
    lasts_s: u64,
}

/// What a request's cookie said.
#[derive(Debug, Default)]
pub(crate) struct Attachment {
    stuck: Option<Stuck>,
    /// It could take requests when it was looked for, if perhaps not this one.
    there: bool,
}

impl Sticky {
    /// `None` without a key: the binary fills it in.
    pub fn of(plan: &StickyPlan) -> Option<Sticky> {
        let key = Key::new(plan.key.as_ref()?.as_bytes());
        Some(Sticky { cookie: plan.cookie.clone(), key, lasts_s: plan.lasts.as_secs().max(1) })
    }

    /// A place at the client's own upstream, if it has one that can take the request now.
    pub fn place(&self, pool: &Arc<Pool>, fields: &Fields, now: std::time::Instant) -> (Option<Lease>, Attachment) {
        // A forged one beside a good one: any client can send that, and only the good one counts.
        let values = fields.all(Known::Cookie).flat_map(|line| cookies(line, &self.cookie));
        let stuck = values.into_iter().find_map(|value| self.key.check(&pool.name, value, unix_now_s(), self.lasts_s));
        let Some(found) = stuck else { return (None, Attachment::default()) };
        let upstreams = pool.upstreams();
        let Some(member) = upstreams.iter().find(|upstream| name_of(upstream) == found.member) else {
            return (None, Attachment { stuck, there: false });
        };
        (pool.choose_member(&member.name, now), Attachment { stuck, there: member.health().takes_requests() })
    }

    /// The line that attaches the client to `upstream`, which takes the request; `None` if it is attached, or shall stay with another one
    /// that only has no room for this request.
    pub fn line(&self, pool: &Pool, attachment: &Attachment, upstream: &Upstream, scheme: &str) -> Option<String> {
        let member = name_of(upstream);
        match attachment.stuck {
            Some(stuck) if stuck.member == member && stuck.age_s <= self.lasts_s / 2 => return None,
            Some(stuck) if stuck.member != member && attachment.there => return None,
            _ => {}
        }
        let (value, secure) = (self.key.issue(&pool.name, member, unix_now_s()), if scheme == "https" { "; Secure" } else { "" });
        let (cookie, lasts_s) = (&self.cookie, self.lasts_s);
        Some(format!("Set-Cookie: {cookie}={value}; Path=/; Max-Age={lasts_s}; HttpOnly; SameSite=Lax{secure}\r\n"))
    }
}

/// The values of the cookies of that name in a Cookie line (RFC 6265 §4.2.1).
fn cookies<'c>(line: &'c [u8], name: &str) -> impl Iterator<Item = &'c [u8]> {
    line.split(|&b| b == b';').map(<[u8]>::trim_ascii).filter_map(move |pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// By name and not by identity: a worker that is started anew may have kept what belongs to the client.
fn name_of(upstream: &Upstream) -> u64 {
    pumasi_balance::key(upstream.name.as_bytes())
}

fn unix_now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
