//! A server of HTTP on the loopback that answers as a test wants, one request a connection.
//!
//! Out of scope: bodies of requests, and answers that break the protocol.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What was asked.
#[derive(Debug, Clone)]
pub struct Request {
    /// The first line: method, path and version.
    pub line: String,
    /// The other lines of the head.
    pub headers: Vec<String>,
}

/// What is answered.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Further lines of the head, each with its line end.
    pub headers: &'static str,
    /// What comes after the head.
    pub body: String,
}

/// A server that ends with the test's process.
#[derive(Debug)]
pub struct Server {
    address: String,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Request {
    /// Whether a header has a value.
    pub fn has(&self, name: &str, value: &str) -> bool {
        let wanted = format!("{name}: {value}");
        self.headers.iter().any(|header| header.eq_ignore_ascii_case(&wanted))
    }

    fn read(stream: &TcpStream) -> Self {
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        let line = lines.next().unwrap_or_default();
        Self { line, headers: lines.take_while(|line| !line.is_empty()).collect() }
    }
}

impl Reply {
    /// Yes, with a body.
    pub fn ok(body: &impl ToString) -> Self {
        Self { status: 200, headers: "", body: body.to_string() }
    }

    fn send(&self, mut stream: TcpStream) {
        let (status, headers, length) = (self.status, self.headers, self.body.len());
        let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n{headers}content-length:");
        // Who asked may have gone.
        let _ = write!(stream, "{head} {length}\r\n\r\n{}", self.body);
    }
}

impl Server {
    /// A server that answers each request so.
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<Request>>> = Arc::default();
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let request = Request::read(&stream);
                log.lock().unwrap().push(request.clone());
                answer(&request).send(stream);
            }
        });
        Self { address, asked }
    }

    /// Where it listens, with a path: `http://127.0.0.1:PORT/v4`.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    /// All that was asked so far.
    pub fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }
}
