//! One user's way through a scenario: where it is, what it drew and what it remembers.

use crate::{plan::Plan, random::Dice, reply};

#[derive(Debug)]
pub struct Journey {
    pub scenario: usize,
    /// In [`Plan::steps`].
    pub step: usize,
    /// When the current request should be sent, in nanoseconds since the start.
    pub planned: u64,
    /// The current request has already been sent a second time.
    pub resent: bool,
    pub slots: Vec<Vec<u8>>,
    pub rows: Vec<u64>,
    pub cookies: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Cookies that one journey keeps; further ones are dropped. Browsers keep at least 50 per site (RFC 6265 section 6.1).
pub const COOKIES_MAX: usize = 64;

impl Journey {
    pub fn new(plan: &Plan) -> Journey {
        Journey {
            scenario: 0,
            step: 0,
            planned: 0,
            resent: false,
            slots: vec![Vec::new(); plan.slots.len()],
            rows: vec![0; plan.feeds.len()],
            cookies: Vec::new(),
        }
    }

    /// Chooses a scenario and its data, and forgets the journey before.
    pub fn begin(&mut self, plan: &Plan, dice: &mut Dice) {
        let scenario = if plan.scenarios.len() == 1 { 0 } else { plan.mix.draw(dice) };
        self.begin_scenario(plan, scenario, dice);
    }

    /// The same with the scenario chosen.
    pub fn begin_scenario(&mut self, plan: &Plan, number: usize, dice: &mut Dice) {
        self.scenario = number;
        let scenario = &plan.scenarios[number];
        self.step = scenario.first;
        self.slots.iter_mut().for_each(Vec::clear);
        self.cookies.clear();
        for feed in &scenario.feeds {
            self.rows[*feed] = plan.feeds[*feed].draw(dice);
        }
    }

    pub fn plan_request(&mut self, planned: u64) {
        self.planned = planned;
        self.resent = false;
    }

    /// To the next step; false if that was the last.
    pub fn advance(&mut self, plan: &Plan) -> bool {
        self.step += 1;
        self.step < plan.scenarios[self.scenario].last
    }

    pub fn set_slot(&mut self, slot: usize, value: &[u8]) {
        self.slots[slot].clear();
        self.slots[slot].extend_from_slice(value);
    }

    /// Remembers what Set-Cookie says. Attributes are ignored but Max-Age=0 (or less), which forgets: a journey talks to one host for
    /// seconds, so paths and expiry seldom matter, and a test that depends on them belongs elsewhere.
    pub fn take_cookies(&mut self, head: &[u8]) {
        for header in reply::headers(head, "set-cookie") {
            let mut parts = header.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let Some(pair) = parts.next() else { continue };
            let Some(equals) = memchr::memchr(b'=', pair) else { continue };
            let (name, value) = (&pair[..equals], &pair[equals + 1..]);
            let gone = parts.any(|part| part.len() > 8 && part[..8].eq_ignore_ascii_case(b"max-age=") && matches!(part[8], b'0' | b'-'));
            self.cookies.retain(|(known, _)| known != name);
            if !gone && self.cookies.len() < COOKIES_MAX {
                self.cookies.push((name.to_vec(), value.to_vec()));
            }
        }
    }
}
