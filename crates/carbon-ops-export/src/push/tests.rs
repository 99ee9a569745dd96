//! A collector that fails in every way, and what it gets.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};

use carbon_ops::agent::Totals;

use super::*;
use crate::otlp::{request, values};
use crate::prometheus::About;

/// What a collector does with a request.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Does {
    Takes,
    /// Says this status.
    Says(u16),
    /// Closes the connection unread.
    Closes,
}

/// The body of a request, if all of it came.
fn read(stream: &TcpStream) -> Option<(String, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let before = head.len();
        reader.read_line(&mut head).ok().filter(|bytes| *bytes > 0)?;
        let line = head[before..].trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

/// Does one thing after the other with what comes, and then takes all. What it took comes out.
fn collector(does: Vec<Does>) -> (Collector, Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (taken, takes): (Sender<(String, Vec<u8>)>, _) = channel();
    thread::spawn(move || {
        let mut does = does.into_iter();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let now = does.next().unwrap_or(Does::Takes);
            if now == Does::Closes {
                continue;
            }
            let Some(request) = read(&stream) else { continue };
            let status = if let Does::Says(status) = now { status } else { 200 };
            if now == Does::Takes && taken.send(request).is_err() {
                return;
            }
            let _ = write!(
                stream,
                "HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
        }
    });
    let mut collector = Collector::new(&url, None).unwrap();
    collector.pause = Duration::from_millis(1);
    (collector, takes)
}

fn of_tick(number: u32) -> Vec<u8> {
    let about = About { last_tick: 1e9 + f64::from(number), ..About::default() };
    let mut totals = Totals::default();
    totals.domains.insert("package-0".into(), u64::from(number) * 1_000_000);
    request(&totals, &about)
}

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn each_point_arrives_once_and_in_order_over_failures() {
    use Does::{Closes, Says, Takes};
    let does = vec![Closes, Says(503), Takes, Says(429), Closes, Closes, Says(502), Says(504)];
    let (collector, takes) = collector(does);
    let push = Push::start(collector).unwrap();
    (0..40).for_each(|number| push.offer(of_tick(number)));
    assert!(push.finish(PATIENCE));
    let taken: Vec<_> = takes.try_iter().collect();
    assert!(taken[0].0.starts_with("POST /v1/metrics "), "{}", taken[0].0);
    let points: Vec<_> =
        taken.iter().flat_map(|(_, body)| values(body, "hw.host.energy")).collect();
    let planted = (0..40_u32)
        .map(|number| ((1_000_000_000 + u64::from(number)) * 1_000_000_000, f64::from(number)));
    assert_eq!(points, planted.collect::<Vec<_>>());
}

#[test]
fn what_is_refused_is_given_up_and_told_and_the_next_is_sent() {
    let (collector, takes) = collector(vec![Does::Says(400), Does::Takes]);
    let push = Push::start(collector).unwrap();
    push.offer(of_tick(1));
    let refused = takes.recv_timeout(Duration::from_millis(0));
    assert!(refused.is_err());
    push.offer(of_tick(2));
    let (_, taken) = takes.recv_timeout(PATIENCE).unwrap();
    assert_eq!(values(&taken, "hw.host.energy"), [(1_000_000_002_000_000_000, 2.0)]);
    assert_eq!(push.trouble().1, 1);
    assert!(push.finish(PATIENCE));
}

/// Nobody listens there: the oldest are given up, the newest stay, and nobody waits.
#[test]
fn what_waits_is_bounded() {
    let url = format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let push = Push::start(Collector::new(&url, None).unwrap()).unwrap();
    (0..100).for_each(|number| push.offer(of_tick(number)));
    let state = push.shared.state();
    assert_eq!((state.waiting.len(), state.given_up), (WAITING_MAX, 40));
    assert_eq!(state.waiting.back(), Some(&of_tick(99)));
    drop(state);
    assert!(!push.finish(Duration::ZERO));
}

#[test]
fn only_protected_addresses_and_this_machine_are_sent_to_and_no_header_is_shown() {
    for (url, fits) in [
        ("https://collector.example", true),
        ("https://collector.example:4318/v1/metrics", true),
        ("http://localhost:4318", true),
        ("http://[::1]:4318/", true),
        ("http://collector.example", false),
        ("http://127.0.0.1.example", false),
        ("ftp://127.0.0.1", false),
        ("collector.example", false),
        ("", false),
    ] {
        assert_eq!(Collector::new(url, None).is_ok(), fits, "{url}");
    }
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("headers");
    fs::write(&file, "\nAuthorization: Bearer a:b\n").unwrap();
    let collector = Collector::new("http://localhost:4318/", Some(&file)).unwrap();
    assert_eq!(collector.headers, [("Authorization".to_owned(), "Bearer a:b".to_owned())]);
    assert_eq!(collector.url.to_string(), "http://localhost:4318/v1/metrics");
    assert!(!format!("{collector:?}").contains("Bearer"));
    fs::write(&file, "no header\n").unwrap();
    assert!(Collector::new("http://localhost", Some(&file)).is_err());
    assert!(Collector::new("http://localhost", Some(&folder.path().join("none"))).is_err());
}
