//! Frames of EdgeReplica's page wire: what can be read can be written and read again.

#![no_main]

use ferry_protocol::pages::Frame;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(frame) = Frame::decode(bytes) {
        let again = frame.encode();
        assert_eq!(Frame::decode(&again).expect("what was encoded can be decoded"), frame);
    }
});
