//! The transport: proxies, TLS, redirections. What a proxy or a stranger gets to see holds no token.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use carbon_ops_grid::Secret;
use carbon_ops_grid::fetch::{Credential, NoResponse, Request, Transport as _};
use carbon_ops_grid::http::{Http, Settings};

use crate::fake::TOKEN;

/// Takes one connection, keeps what came first, and answers with `reply`.
fn listener(reply: &'static str) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (send, seen) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // To the end of the head; of TLS, which has none, what comes at once.
            stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            let (mut seen, mut bytes) = (Vec::new(), [0; 4096]);
            while let Ok(count @ 1..) = stream.read(&mut bytes) {
                seen.extend_from_slice(&bytes[..count]);
                if seen.ends_with(b"\r\n\r\n") {
                    break;
                }
            }
            let _ = send.send(String::from_utf8_lossy(&seen).into_owned());
            let _ = stream.write_all(reply.as_bytes());
        }
    });
    (address, seen)
}

fn http(proxy: Option<&str>, no_proxy: &str) -> Http {
    let proxy = proxy.map(|address| Secret::new(address).unwrap());
    let timeout = Duration::from_secs(2);
    Http::new(&Settings { proxy, no_proxy: no_proxy.to_owned(), timeout, ..Settings::default() })
        .unwrap()
}

fn request(base: &str) -> Request {
    let token = Secret::new(TOKEN).unwrap();
    Request::new(base, "/x").with_credential(Credential::plain("auth-token", &token))
}

#[test]
fn a_proxy_is_asked_for_a_tunnel_and_sees_no_token() {
    let (proxy, seen) = listener("HTTP/1.1 407 X\r\ncontent-length: 0\r\n\r\n");
    let address = format!("http://u:proxy-password@{proxy}");
    let failure = http(Some(&address), "").get(&request("https://api.example")).unwrap_err();
    let connect = seen.recv_timeout(Duration::from_secs(5)).unwrap();
    assert!(connect.starts_with("CONNECT api.example:443 "), "{connect}");
    // RFC 7617: base64 of `u:proxy-password`.
    assert!(connect.contains("Basic dTpwcm94eS1wYXNzd29yZA=="), "{connect}");
    assert!(!connect.contains(TOKEN), "{connect}");
    assert!(!format!("{failure:?}").contains("proxy-password"), "{failure:?}");
}

#[test]
fn this_machine_and_what_no_proxy_names_are_asked_without_the_proxy() {
    let (server, at_server) = listener("HTTP/1.1 200 X\r\ncontent-length: 2\r\n\r\n{}");
    let (proxy, at_proxy) = listener("HTTP/1.1 407 X\r\ncontent-length: 0\r\n\r\n");
    let address = format!("http://{proxy}");
    let answer = http(Some(&address), "").get(&request(&format!("http://{server}"))).unwrap();
    assert_eq!(answer.body, b"{}");
    assert!(at_server.recv_timeout(Duration::from_secs(5)).unwrap().contains(TOKEN));
    // Nobody is called so (RFC 2606), and nobody else is asked.
    let outcome = http(Some(&address), "invalid").get(&request("https://maps.invalid"));
    assert!(matches!(outcome, Err(NoResponse::MayPass(_))), "{outcome:?}");
    assert!(at_proxy.try_recv().is_err());
}

#[test]
fn a_server_without_tls_gets_no_token() {
    let (server, seen) = listener("HTTP/1.1 200 X\r\ncontent-length: 2\r\n\r\n{}");
    assert!(http(None, "").get(&request(&format!("https://{server}"))).is_err());
    assert!(!seen.recv_timeout(Duration::from_secs(5)).unwrap().contains(TOKEN));
    let plain = http(None, "").get(&request("http://api.example")).unwrap_err();
    assert_eq!(plain, NoResponse::Unprotected);
}

#[test]
fn a_redirection_is_told_and_not_followed() {
    let (other, at_other) = listener("HTTP/1.1 200 X\r\ncontent-length: 2\r\n\r\n{}");
    let reply =
        format!("HTTP/1.1 302 X\r\nlocation: http://{other}/y\r\ncontent-length: 0\r\n\r\n");
    let (server, _) = listener(Box::leak(reply.into_boxed_str()));
    let answer = http(None, "").get(&request(&format!("http://{server}"))).unwrap();
    assert_eq!(answer.status, 302);
    assert!(at_other.try_recv().is_err());
}
