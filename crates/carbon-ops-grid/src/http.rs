//! The transport: HTTPS over ureq and rustls. Everything that it depends on is passed in, proxies and
//! certificates too; nothing is taken from the environment.
//!
//! A redirection is not followed: a token would be sent to somebody else. Without TLS it talks to this
//! machine only.
//!
//! Out of scope: repeating, waiting, and what answers mean (`fetch` and the providers).

use std::io::Read as _;
use std::time::Duration;

use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use crate::fetch::{ANSWER_BYTES_MAX, NoResponse, Request, Response, Transport};
use crate::secret::Secret;

/// Longest time for a request and its whole answer, by default. carbon-ops 0.1 waited 8 s;
/// ten days of hours of a busy server take longer.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// Names of this machine.
const LOCAL: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

/// What the transport needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Longest time for a request and its whole answer.
    pub timeout: Duration,
    /// A proxy, such as `http://proxy.example:3128`; its address may hold a password.
    pub proxy: Option<Secret>,
    /// Hosts that are asked without the proxy, separated by commas, as in `NO_PROXY`.
    pub no_proxy: String,
    /// Certificates to trust instead of Mozilla's roots, in PEM.
    pub roots: Option<Vec<u8>>,
    /// How the program calls itself.
    pub user_agent: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            timeout: TIMEOUT,
            proxy: None,
            no_proxy: String::new(),
            roots: None,
            user_agent: concat!("carbon-ops/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// Settings that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// The proxy's address.
    #[error("the address of the proxy cannot be used")]
    Proxy,
    /// The certificates.
    #[error("no certificate in the file of trusted ones")]
    Roots,
}

/// The transport.
#[derive(Debug)]
pub struct Http {
    agent: ureq::Agent,
    timeout: Duration,
}

impl Http {
    /// # Errors
    /// A proxy or certificates that cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, Unusable> {
        let mut tls = TlsConfig::builder();
        if let Some(pem) = &settings.roots {
            let certificates: Vec<_> = parse_pem(pem)
                .filter_map(|item| match item {
                    Ok(PemItem::Certificate(certificate)) => Some(certificate),
                    _ => None,
                })
                .collect();
            if certificates.is_empty() {
                return Err(Unusable::Roots);
            }
            tls = tls.root_certs(RootCerts::from(certificates));
        }
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(settings.timeout))
            .proxy(proxy(settings)?)
            .user_agent(settings.user_agent.clone())
            .tls_config(tls.build())
            .build();
        Ok(Self { agent: config.new_agent(), timeout: settings.timeout })
    }
}

fn proxy(settings: &Settings) -> Result<Option<ureq::Proxy>, Unusable> {
    let Some(address) = &settings.proxy else { return Ok(None) };
    let plain = ureq::Proxy::new(address.reveal()).map_err(|_| Unusable::Proxy)?;
    let mut proxy = ureq::Proxy::builder(plain.protocol()).host(plain.host()).port(plain.port());
    if let Some(user) = plain.username() {
        proxy = proxy.username(user);
    }
    if let Some(password) = plain.password() {
        proxy = proxy.password(password);
    }
    // This machine is asked without TLS: no proxy must see that.
    for host in LOCAL {
        proxy = proxy.no_proxy(host);
    }
    for host in settings.no_proxy.split(',').map(str::trim).filter(|host| !host.is_empty()) {
        // `example.com` means its subdomains too, in most programs that read the variable.
        proxy = proxy.no_proxy(host);
        if !host.starts_with(['.', '*']) {
            proxy = proxy.no_proxy(&format!(".{host}"));
        }
    }
    proxy.build().map(Some).map_err(|_| Unusable::Proxy)
}

impl Transport for Http {
    fn get(&self, request: &Request) -> Result<Response, NoResponse> {
        if !is_protected(request) {
            return Err(NoResponse::Unprotected);
        }
        let mut call = self.agent.get(request.url()).header("accept", "application/json");
        if let Some(credential) = &request.credential {
            call = call.header(credential.header, credential.value.reveal());
        }
        let mut response = call.call().map_err(|error| self.failure(error))?;
        let header = |name| {
            let value = response.headers().get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let (retry_after, location) = (header("retry-after"), header("location"));
        let status = response.status().as_u16();
        // What is unpacked counts, so that a small answer cannot become a large one.
        let mut body = Vec::new();
        let reader = response.body_mut().as_reader();
        reader.take(ANSWER_BYTES_MAX + 1).read_to_end(&mut body).map_err(|error| {
            let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
            if let Some(ureq::Error::Timeout(_)) = cause {
                NoResponse::MayPass(self.too_slow())
            } else {
                NoResponse::MayPass(format!("the answer broke off: {error}"))
            }
        })?;
        if body.len() as u64 > ANSWER_BYTES_MAX {
            let what = format!("an answer larger than {} MiB", ANSWER_BYTES_MAX >> 20);
            return Err(NoResponse::WillNotPass(what));
        }
        Ok(Response { status, retry_after, location, body })
    }
}

impl Http {
    fn too_slow(&self) -> String {
        format!("not complete within {} s", self.timeout.as_secs_f64())
    }

    fn failure(&self, error: ureq::Error) -> NoResponse {
        match error {
            ureq::Error::Timeout(_) => NoResponse::MayPass(self.too_slow()),
            ureq::Error::Io(_)
            | ureq::Error::HostNotFound
            | ureq::Error::ConnectionFailed
            | ureq::Error::ConnectProxyFailed(_)
            | ureq::Error::Protocol(_) => NoResponse::MayPass(error.to_string()),
            error => NoResponse::WillNotPass(error.to_string()),
        }
    }
}

/// HTTPS, or this machine.
fn is_protected(request: &Request) -> bool {
    let host = request.host();
    let name = host.rsplit_once(':').map_or(host, |(name, port)| {
        if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host }
    });
    request.url().starts_with("https://") || LOCAL.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_tls_only_this_machine_is_asked() {
        for (base, allowed) in [
            ("https://api.example", true),
            ("http://127.0.0.1:8080", true),
            ("http://[::1]:80/v4", true),
            ("http://api.example", false),
            ("http://127.0.0.1.evil.example", false),
            ("ftp://api.example", false),
        ] {
            assert_eq!(is_protected(&Request::new(base, "/x")), allowed, "{base}");
        }
    }

    #[test]
    fn settings_never_show_the_password_of_a_proxy() {
        let proxy = Secret::new("http://user:hunter2@proxy.example:3128").ok();
        let settings = Settings { proxy, no_proxy: "a.example".into(), ..Settings::default() };
        let http = Http::new(&settings).unwrap();
        assert!(!format!("{settings:?} {http:?}").contains("hunter2"));
    }

    #[test]
    fn what_cannot_be_used_is_refused_at_once() {
        let roots = Settings { roots: Some(b"nothing".to_vec()), ..Settings::default() };
        assert_eq!(Http::new(&roots).unwrap_err(), Unusable::Roots);
        let proxy = Settings { proxy: Secret::new("socks9://x").ok(), ..Settings::default() };
        assert_eq!(Http::new(&proxy).unwrap_err(), Unusable::Proxy);
    }
}
