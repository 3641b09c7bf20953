//! As much HTTP/1.1 as the tests need, with nothing hidden: a test may send what a browser never would.
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

pub struct Connection {
    stream: BufReader<TcpStream>,
    address: SocketAddr,
}

pub struct Answer {
    pub status: u16,
    pub body: String,
    head: Head,
}

/// An answer whose body never ends.
pub struct Stream {
    pub status: u16,
    head: Head,
    connection: BufReader<TcpStream>,
}

struct Head(Vec<(String, String)>);

impl Connection {
    pub fn open(address: SocketAddr) -> Connection {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Connection { stream: BufReader::new(stream), address }
    }

    pub fn ask(&mut self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        self.ask_as(&self.address.to_string(), method, path, headers, body)
    }

    pub fn ask_as(&mut self, host: &str, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        self.send(host, method, path, headers, body);
        let (status, head) = self.head();
        let mut bytes = Vec::new();
        match head.get("content-length") {
            Some(length) => {
                bytes.resize(length.parse().unwrap(), 0);
                self.stream.read_exact(&mut bytes).unwrap();
            }
            None => self.read_chunks(&mut bytes),
        }
        Answer { status, body: String::from_utf8(bytes).unwrap(), head }
    }

    pub fn stream(mut self, path: &str) -> Stream {
        self.send(&self.address.to_string(), "GET", path, &[], "");
        let (status, head) = self.head();
        Stream { status, head, connection: self.stream }
    }

    fn send(&mut self, host: &str, method: &str, path: &str, headers: &[&str], body: &str) {
        let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let length = body.len();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n{headers}\r\n{body}");
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
    }

    fn head(&mut self) -> (u16, Head) {
        let status = self.line().split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(": ") else { return (status, Head(headers)) };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
    }

    fn read_chunks(&mut self, bytes: &mut Vec<u8>) {
        loop {
            let length = usize::from_str_radix(&self.line(), 16).unwrap();
            let start = bytes.len();
            bytes.resize(start + length, 0);
            self.stream.read_exact(&mut bytes[start..]).unwrap();
            self.line();
            if length == 0 {
                return;
            }
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.get(name)
    }
}

impl Stream {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.get(name)
    }

    /// The data of the next event; comments are passed over.
    pub fn next_event(&mut self) -> String {
        loop {
            if let Some(data) = self.line().strip_prefix("data: ") {
                return data.to_owned();
            }
        }
    }

    /// The next line of the event stream itself, without the chunks around it.
    pub fn next_line_that_says_something(&mut self) -> String {
        loop {
            let line = self.line();
            if line.starts_with(':') || line.starts_with("data:") {
                return line;
            }
        }
    }

    /// Until the other side closes.
    pub fn read_to_end(&mut self) {
        // A reset is an end as well.
        let _ = self.connection.read_to_end(&mut Vec::new());
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.connection.read_line(&mut line).unwrap() > 0, "the stream ended");
        line.trim_end().to_owned()
    }
}

impl Head {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}
