//! Requests: any bytes are a request or a refusal, and a request is the same after it was written.
#![no_main]

use carbon_ops_meter::protocol::Request;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = Request::parse(bytes) {
        let line = request.line();
        assert!(
            line.ends_with('\n') && line.len() <= carbon_ops_meter::protocol::REQUEST_BYTES_MAX
        );
        assert_eq!(Request::parse(line.trim_end().as_bytes()), Ok(request));
    }
});
