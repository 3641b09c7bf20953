//! A small HTTP server for tests: a thread per connection, answers from a closure.

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

pub struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

pub struct Answer {
    bytes: Vec<u8>,
    close: bool,
    never: bool,
}

impl Answer {
    pub fn text(status: u16, body: &str) -> Answer {
        Answer::raw(&format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    }

    pub fn raw(bytes: &str) -> Answer {
        Answer { bytes: bytes.as_bytes().to_vec(), close: false, never: false }
    }

    pub fn then_close(self) -> Answer {
        Answer { close: true, ..self }
    }

    /// Reads the request and leaves it at that.
    pub fn never() -> Answer {
        Answer { bytes: Vec::new(), close: false, never: true }
    }
}

impl Server {
    /// `answer` is given each request, head and body, as text.
    pub fn start(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Server {
        Server::closing_after(u64::MAX, answer)
    }

    /// Closes every connection after so many answers.
    pub fn closing_after(answers: u64, answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Server {
        Server::with(None, answers, answer)
    }

    /// Speaks TLS.
    pub fn start_tls(tls: ServerConfig, answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Server {
        Server::with(Some(Arc::new(tls)), u64::MAX, answer)
    }

    fn with(tls: Option<Arc<ServerConfig>>, answers: u64, answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let answer = Arc::new(answer);
        let acceptor = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopping.load(Ordering::Relaxed) {
                    return;
                }
                let (answer, stopping, tls) = (Arc::clone(&answer), Arc::clone(&stopping), tls.clone());
                let stream = stream.unwrap();
                stream.set_nodelay(true).unwrap();
                stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
                std::thread::spawn(move || match tls {
                    None => serve(stream, answers, &*answer, &stopping),
                    Some(tls) => serve(StreamOwned::new(ServerConnection::new(tls).unwrap(), stream), answers, &*answer, &stopping),
                });
            }
        });
        Server { address, stop, acceptor: Some(acceptor) }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn https_url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        let _ = self.acceptor.take().unwrap().join();
    }
}

/// Until the client closes, an answer says so, or the server stops. Errors end the connection: the client has gone.
fn serve(mut stream: impl Read + Write, mut answers: u64, answer: &dyn Fn(&str) -> Answer, stop: &AtomicBool) {
    let mut buffer = Vec::new();
    while answers > 0 {
        let Some(request) = read_request(&mut stream, &mut buffer, stop) else { return };
        let answer = answer(&request);
        if answer.never {
            continue;
        }
        if stream.write_all(&answer.bytes).and_then(|()| stream.flush()).is_err() || answer.close {
            return;
        }
        answers -= 1;
    }
}

fn read_request(stream: &mut impl Read, buffer: &mut Vec<u8>, stop: &AtomicBool) -> Option<String> {
    loop {
        if let Some(end) = memchr::memmem::find(buffer, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
            let whole = end + 4 + length;
            if buffer.len() >= whole {
                let request = String::from_utf8(buffer.drain(..whole).collect()).unwrap();
                return Some(request);
            }
        }
        let mut bytes = [0; 4096];
        match stream.read(&mut bytes) {
            Ok(0) => return None,
            Ok(n) => buffer.extend_from_slice(&bytes[..n]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if stop.load(Ordering::Relaxed) {
                    return None;
                }
            }
            Err(_) => return None,
        }
    }
}
