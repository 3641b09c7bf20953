//! Several machines, one load test: agents dial in to the controller, which gives each its share and adds up what they send.
//!
//! The shares are exact: the lanes of all machines are numbered through, and lane `i` of `n` sends every `n`-th arrival of the one
//! schedule. Nobody's clock is compared with anybody's; agents begin when they are told to, so their starts differ by the way there.
//!
//! ```text
//! agent: hello --> controller: proof of the token --> agent: proof of the token --> job --> ready --> begin --> slices ... total
//! ```
//! Both sides prove that they know the token before either believes the other, and the token itself is never sent. What follows is not
//! encrypted: scenarios with secrets belong on a network of one's own, or into a tunnel.

pub mod agent;
mod wire;

use crate::{
    plan::Plan,
    run::{self, Observer, Outcome},
    tally::{Slice, Total},
};
use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Sender},
    },
    time::{Duration, Instant, SystemTime},
};
pub use wire::{FILE_BYTES_MAX, Job, Shape, Token, Work};
use wire::{Order, Peer, Said};

/// Agents of one run.
pub const AGENTS_MAX: usize = 256;
/// A connection that has not proven itself in this time is closed.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// An agent has its job compiled, its data read, by then.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// Lanes report every second; an agent silent for this long is lost.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// Agents that have dialled in and proven themselves.
pub struct Fleet {
    agents: Vec<Peer>,
}

impl Fleet {
    /// Waits for so many agents, for as long as it takes; `told` hears of each. None if `interrupt` was set meanwhile.
    ///
    /// Errors: the listener fails. A connection that fails is one agent less, told and forgotten.
    pub fn gather(
        listener: &TcpListener,
        count: usize,
        token: &Token,
        interrupt: &AtomicBool,
        told: &dyn Fn(&str),
    ) -> io::Result<Option<Fleet>> {
        listener.set_nonblocking(true)?;
        let mut agents: Vec<Peer> = Vec::new();
        while agents.len() < count {
            if interrupt.load(Ordering::Relaxed) {
                return Ok(None);
            }
            match listener.accept() {
                Ok((socket, from)) => match Peer::welcome(socket, token, HANDSHAKE_TIMEOUT) {
                    Ok(peer) => {
                        told(&format!("agent {} ({from}, {} cores) is here, {} of {count}", peer.name, peer.cores, agents.len() + 1));
                        agents.push(peer);
                    }
                    Err(error) => told(&format!("{from} was turned away: {error}")),
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(20)),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(Fleet { agents }))
    }

    /// The cores of the smallest machine: every agent runs as many threads, so that the shares are equal.
    pub fn cores(&self) -> usize {
        self.agents.iter().map(|agent| agent.cores).min().unwrap_or(1)
    }

    pub fn names(&self) -> Vec<String> {
        self.agents.iter().map(|agent| agent.name.clone()).collect()
    }

    /// Gives every agent its job, begins, and adds up. An agent that is lost on the way is named in [`Outcome::lost`].
    ///
    /// Errors: an agent refuses the job or does not answer; nothing was sent to the target then.
    pub fn run(mut self, plan: &Plan, job: &Job, interrupt: &AtomicBool, observer: &mut dyn Observer) -> io::Result<Outcome> {
        for (machine, agent) in self.agents.iter_mut().enumerate() {
            let job = Job { machine, ..job.clone() };
            agent.set_timeout(READY_TIMEOUT)?;
            agent.send(&Order::Job(Box::new(job)))?;
        }
        for agent in &mut self.agents {
            match agent.receive()? {
                Said::Ready => {}
                Said::Refused { reason } => return Err(io::Error::other(format!("agent {} cannot do it: {reason}", agent.name))),
                Said::Slice { .. } | Said::Done { .. } => return Err(io::Error::other(format!("agent {} is out of step", agent.name))),
            }
        }
        let writers: Vec<Peer> = self.agents.iter().map(Peer::try_clone).collect::<io::Result<_>>()?;
        let started = SystemTime::now();
        let start = Instant::now();
        for agent in &mut self.agents {
            agent.set_timeout(SILENCE_MAX)?;
            agent.send(&Order::Begin)?;
        }
        let stop = AtomicBool::new(false);
        let over = AtomicBool::new(false);
        let totals: Mutex<Vec<Total>> = Mutex::default();
        let lost: Mutex<Vec<String>> = Mutex::default();
        let (sender, slices) = mpsc::channel();
        let controller = std::thread::scope(|scope| {
            for (machine, agent) in self.agents.iter_mut().enumerate() {
                let (sender, totals, lost) = (sender.clone(), &totals, &lost);
                scope.spawn(move || match listen(agent, machine, plan, &sender) {
                    Ok(total) => totals.lock().unwrap_or_else(PoisonError::into_inner).push(total),
                    Err(error) => lost.lock().unwrap_or_else(PoisonError::into_inner).push(format!(
                        "agent {} was lost after {:.0} s: {error}",
                        agent.name,
                        start.elapsed().as_secs_f64()
                    )),
                });
            }
            drop(sender);
            scope.spawn(|| tell_stop(writers, &stop, &over));
            let controller = run::control(plan, start, &slices, interrupt, &stop, observer);
            over.store(true, Ordering::Relaxed);
            controller
        });
        let mut total = Total::new(plan.steps.len());
        totals.into_inner().unwrap_or_else(PoisonError::into_inner).iter().for_each(|part| total.add(part));
        let mut outcome = controller.outcome(started, total);
        outcome.lost = lost.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(outcome)
    }
}

/// Passes an agent's seconds on until its total comes.
fn listen(agent: &mut Peer, machine: usize, plan: &Plan, slices: &Sender<(usize, Slice)>) -> io::Result<Total> {
    let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let lanes = machine * plan.limits.threads..(machine + 1) * plan.limits.threads;
    // No second can come after the last answer could.
    let seconds_max = (plan.model.profile().lasts() + plan.limits.timeout * 2).as_secs() + 60;
    loop {
        match agent.receive()? {
            Said::Slice { lane, slice } => {
                if !lanes.contains(&lane) || slice.second > seconds_max {
                    return Err(wrong(format!("it told of lane {lane}, second {}", slice.second)));
                }
                // The controller outlives its listeners.
                let _ = slices.send((lane, *slice));
            }
            Said::Done { total } if total.steps.len() == plan.steps.len() && total.status.len() == 1000 => {
                agent.send(&Order::Ended)?;
                return Ok(*total);
            }
            Said::Done { .. } => return Err(wrong("its total has other steps than the plan".to_string())),
            Said::Refused { reason } => return Err(wrong(reason)),
            Said::Ready => {}
        }
    }
}

/// Ends the agents when the run is to end early.
fn tell_stop(mut agents: Vec<Peer>, stop: &AtomicBool, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        if stop.load(Ordering::Relaxed) {
            // One that is gone needs no telling.
            agents.iter_mut().for_each(|agent| _ = agent.send(&Order::Stop));
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Where a listener listens, for people.
pub fn address(listener: &TcpListener) -> io::Result<SocketAddr> {
    listener.local_addr()
}

#[cfg(test)]
mod tests;
