//! Asking politely, tried without a network and without waiting.

use super::*;

/// A clock that moves only when somebody sleeps.
struct Still {
    elapsed: Mutex<Duration>,
    slept: Mutex<Vec<Duration>>,
}

impl Clock for Still {
    fn now(&self) -> Timestamp {
        "2026-03-01T12:00:00Z".parse::<Timestamp>().unwrap() + self.elapsed()
    }
    fn elapsed(&self) -> Duration {
        *self.elapsed.lock().unwrap()
    }
    fn sleep(&self, duration: Duration) {
        *self.elapsed.lock().unwrap() += duration;
        self.slept.lock().unwrap().push(duration);
    }
}

struct Always(f64);

impl Randomness for Always {
    fn unit(&self) -> f64 {
        self.0
    }
}

struct Script(Mutex<Vec<Result<Response, NoResponse>>>);

impl Transport for Script {
    fn get(&self, _: &Request) -> Result<Response, NoResponse> {
        self.0.lock().unwrap().remove(0)
    }
}

const QUICK: Rate = Rate { per_second: 1000.0, burst: 1000.0 };

#[expect(clippy::unnecessary_wraps, reason = "as the script wants it")]
fn response(status: u16, retry_after: Option<&str>, body: &str) -> Result<Response, NoResponse> {
    let retry_after = retry_after.map(str::to_owned);
    Ok(Response { status, retry_after, location: None, body: body.as_bytes().to_vec() })
}

fn run(
    script: Vec<Result<Response, NoResponse>>,
    unit: f64,
) -> (Result<Answer, Error>, Vec<Duration>) {
    let clock = Arc::new(Still { elapsed: Mutex::default(), slept: Mutex::default() });
    let shared: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;
    let fetcher =
        Fetcher::new(Box::new(Script(Mutex::new(script))), shared, Box::new(Always(unit)));
    let credential = Credential::plain("auth-token", &Secret::new("hunter2-token").unwrap());
    let request = Request::new("https://api.example/v4", "/x").with_credential(credential);
    let result = fetcher.data("test", &request, QUICK);
    let slept = clock.slept.lock().unwrap().clone();
    (result, slept)
}

#[test]
fn a_failure_that_passes_is_asked_again_after_doubled_pauses() {
    let broken = || Err(NoResponse::MayPass("reset".into()));
    let script = vec![broken(), response(503, None, ""), broken(), response(200, None, "{}")];
    let (result, slept) = run(script, 0.0);
    assert!(result.is_ok());
    let halves = [500, 1000, 2000].map(Duration::from_millis);
    assert_eq!(slept, halves);
    let script = vec![broken(), broken(), broken(), broken()];
    let (result, slept) = run(script, 1.0);
    assert!(matches!(result, Err(Error::NoAnswer { .. })));
    assert_eq!(slept, [1, 2, 4].map(Duration::from_secs));
}

#[test]
fn retry_after_is_obeyed_as_seconds_and_as_a_date() {
    let (result, slept) = run(vec![response(429, Some("7"), ""), response(200, None, "{}")], 0.0);
    assert!(result.is_ok());
    assert_eq!(slept, [Duration::from_secs(7)]);
    let date = "Sun, 01 Mar 2026 12:00:09 GMT";
    let (result, slept) = run(vec![response(429, Some(date), ""), response(200, None, "{}")], 0.0);
    assert!(result.is_ok());
    assert_eq!(slept, [Duration::from_secs(9)]);
}

#[test]
fn a_server_that_wants_an_hour_is_not_waited_for() {
    let (result, slept) = run(vec![response(429, Some("3600"), "")], 0.0);
    let expected = Some(Duration::from_secs(3600));
    assert_eq!(result.unwrap_err(), Error::RateLimited { provider: "test", retry_after: expected });
    assert!(slept.is_empty());
}

#[test]
fn a_refusal_is_final_and_never_repeats_the_secret() {
    let body = r#"{"error":"bad token hunter2-token\n"}"#;
    let (result, slept) = run(vec![response(401, None, body)], 0.0);
    let text = result.unwrap_err().to_string();
    assert!(slept.is_empty());
    assert_eq!(text, "test: api.example/x was answered with status 401: bad token ••••");
}

#[test]
fn what_will_not_pass_is_not_tried_again() {
    let (result, slept) = run(vec![Err(NoResponse::WillNotPass("too large".into()))], 0.0);
    assert!(matches!(result, Err(Error::Malformed { .. })));
    assert!(slept.is_empty());
}

#[test]
fn an_empty_bucket_is_waited_for() {
    let clock = Arc::new(Still { elapsed: Mutex::default(), slept: Mutex::default() });
    let shared: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;
    let script = (0..4).map(|_| response(200, None, "")).collect();
    let fetcher = Fetcher::new(Box::new(Script(Mutex::new(script))), shared, Box::new(Always(0.0)));
    let request = Request::new("https://api.example", "/");
    for _ in 0..4 {
        fetcher.ask("test", &request, Rate { per_second: 2.0, burst: 2.0 }).unwrap();
    }
    let half = Duration::from_millis(500);
    assert_eq!(*clock.slept.lock().unwrap(), [half, half]);
    assert_eq!(fetcher.counts().requests, 4);
}

#[test]
fn zones_cannot_break_out_of_an_address() {
    let request = Request::new("https://u:p@api.example/v4/", "/past").with("zone", "DE&x=1#é");
    assert_eq!(request.url(), "https://u:p@api.example/v4/past?zone=DE%26x%3D1%23%C3%A9");
    assert_eq!(request.name(), "api.example/past");
}
