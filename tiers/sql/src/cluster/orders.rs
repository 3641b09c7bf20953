//! What people tell a cluster: `pumasi sql promote`, `drain`, `rejoin`.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError, mpsc},
    time::Duration,
};

use tokio::sync::Notify;

use super::Cluster;

/// A promotion waits for the replica to apply what it has received; a member that is made anew is installed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// Orders that wait; the next is refused.
const WAITING_MAX: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Make a member the primary: the one named, or the one that has received most.
    Promote { member: Option<usize>, accept_loss: bool },
    /// Take a member out of reads and promotions, or put it back.
    Drain { member: usize, back: bool },
    /// Let a member follow the primary. `rebuild`: throw away what it has, and copy everything from the primary.
    Rejoin { member: usize, rebuild: bool },
}

/// What came of it, in words.
pub type Answer = Result<String, String>;

#[derive(Default)]
pub struct Desk {
    waiting: Mutex<VecDeque<(Order, mpsc::Sender<Answer>)>>,
    pub rung: Notify,
}

impl Desk {
    pub fn take(&self) -> Option<(Order, mpsc::Sender<Answer>)> {
        self.waiting().pop_front()
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<(Order, mpsc::Sender<Answer>)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cluster {
    /// Carries out an order and says what came of it. Blocks until then.
    pub fn order(&self, order: Order) -> Answer {
        let (answer, answered) = mpsc::channel();
        {
            let mut waiting = self.orders.waiting();
            if waiting.len() >= WAITING_MAX {
                return Err("too many orders wait already".into());
            }
            waiting.push_back((order, answer));
        }
        self.orders.rung.notify_one();
        answered.recv_timeout(ANSWER_TIMEOUT).unwrap_or_else(|_| Err("the cluster does not answer".into()))
    }

    /// The member of that name. Errors: there is none, with those that there are.
    pub fn member(&self, name: &str) -> Result<usize, String> {
        let found = self.members.iter().position(|member| member.name == name);
        found.ok_or_else(|| {
            let names: Vec<&str> = self.members.iter().map(|member| &*member.name).collect();
            format!("no member is called {name:?}. There are: {}.", names.join(", "))
        })
    }
}
