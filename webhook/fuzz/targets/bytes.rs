//! Any bytes as a body. Begins with the seeds, which are reviews.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    tentacular_webhook_fuzz::ask(body);
});
