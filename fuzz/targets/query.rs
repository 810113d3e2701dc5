//! Query strings: nothing panics, what is decoded can be logged and written as JSON, and logs hold no line break.
#![no_main]

use bennu_server::Params;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|query: &str| {
    let Ok(params) = Params::decode(query) else { return };
    assert!(!format!("{params:?}").contains(['\n', '\r']));
    serde_json::to_string(&params).expect("params are JSON");
});
