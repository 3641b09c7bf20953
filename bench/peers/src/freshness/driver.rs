//! A closed loop on many connections: each asks again when it has been answered. One thread, epoll, no allocation per request, so that the contender
//! is busy before the driver is.
use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::epoll;

/// What is asked on each connection, in turn, and what must come back.
pub struct Question {
    pub request: Vec<u8>,
    pub answer: Answer,
}

pub enum Answer {
    /// These bytes and no others.
    Exactly(Vec<u8>),
    /// An HTTP answer with a length and this status.
    Http(u16),
}

/// What a drive counted.
pub struct Driven {
    pub answers: u64,
    pub seconds: f64,
}

struct Lane {
    stream: TcpStream,
    /// The next question, and the next whose answer is expected.
    asks: usize,
    hears: usize,
    buffer: Vec<u8>,
    held: usize,
}

/// Asks `questions` in turn for so long on each of `streams`, `ahead` of them without waiting. `order` says which question is the n-th of a connection.
///
/// Errors: an answer that is not the expected one, or a lost connection.
pub fn drive(
    streams: Vec<TcpStream>,
    questions: &[Question],
    order: impl Fn(usize, usize) -> usize,
    ahead: usize,
    lasts: Duration,
) -> Result<Driven> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut lanes = Vec::new();
    for (number, stream) in streams.into_iter().enumerate() {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        epoll::add(&poll, &stream, epoll::EventData::new_u64(number as u64), epoll::EventFlags::IN)?;
        lanes.push(Lane { stream, asks: 0, hears: 0, buffer: vec![0; 256 << 10], held: 0 });
    }
    let began = Instant::now();
    let (until, mut answers) = (began + lasts, 0);
    let mut out = Vec::new();
    for (number, lane) in lanes.iter_mut().enumerate() {
        lane.ask(number, questions, &order, ahead, &mut out)?;
    }
    let mut events = Vec::with_capacity(256);
    while Instant::now() < until {
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), Some(&rustix::time::Timespec { tv_sec: 5, tv_nsec: 0 }))?;
        ensure!(!events.is_empty(), "nothing was answered for five seconds");
        for event in &events {
            let number = event.data.u64() as usize;
            let lane = &mut lanes[number];
            let heard = lane.hear(number, questions, &order)?;
            answers += heard;
            if lane.hears == lane.asks {
                lane.ask(number, questions, &order, ahead, &mut out)?;
            }
        }
    }
    Ok(Driven { answers, seconds: began.elapsed().as_secs_f64() })
}

impl Lane {
    fn ask(
        &mut self,
        number: usize,
        questions: &[Question],
        order: &impl Fn(usize, usize) -> usize,
        ahead: usize,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        out.clear();
        for _ in 0..ahead {
            out.extend_from_slice(&questions[order(number, self.asks)].request);
            self.asks += 1;
        }
        // Small enough for a socket's buffer at any time: nothing of ours is in it.
        self.stream.write_all(out).context("asking")
    }

    /// How many answers are complete.
    fn hear(&mut self, number: usize, questions: &[Question], order: &impl Fn(usize, usize) -> usize) -> Result<u64> {
        if self.held == self.buffer.len() {
            self.buffer.resize(2 * self.buffer.len(), 0);
        }
        match self.stream.read(&mut self.buffer[self.held..]) {
            Ok(0) => bail!("the connection was closed"),
            Ok(count) => self.held += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error.into()),
        }
        let (mut at, mut heard) = (0, 0);
        while self.hears < self.asks {
            let expected = &questions[order(number, self.hears)];
            let Some(length) = expected.answer.whole(&self.buffer[at..self.held])? else { break };
            at += length;
            heard += 1;
            self.hears += 1;
        }
        self.buffer.copy_within(at..self.held, 0);
        self.held -= at;
        Ok(heard)
    }
}

impl Answer {
    /// Its length, once all of it is here. Errors: it is another one.
    fn whole(&self, bytes: &[u8]) -> Result<Option<usize>> {
        match self {
            Answer::Exactly(expected) => {
                let here = bytes.len().min(expected.len());
                ensure!(bytes[..here] == expected[..here], "another answer: {}", bytes[..bytes.len().min(200)].escape_ascii());
                Ok((bytes.len() >= expected.len()).then_some(expected.len()))
            }
            Answer::Http(status) => {
                let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
                let text = std::str::from_utf8(&bytes[..head]).context("a head of text")?;
                let said: u16 = text.get(9..12).and_then(|code| code.parse().ok()).context("a status")?;
                ensure!(said == *status, "status {said} instead of {status}: {text}");
                let length = |line: &str| {
                    let (name, value) = line.split_once(':')?;
                    name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
                };
                let body = text.lines().find_map(length).with_context(|| format!("a length: {text}"))?;
                Ok((bytes.len() >= head + 4 + body).then_some(head + 4 + body))
            }
        }
    }
}
