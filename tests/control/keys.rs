//! API keys over the wire (scenario 11).
