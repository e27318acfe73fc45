//! Frames over a socket: length, kind, content. Either end has one to read and one to write at a time.

use std::{
    io::{self, ErrorKind, Read, Write},
    os::unix::net::UnixStream,
};

use serde::Serialize;

use super::messages::Sent;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameKind {
    /// A message, MessagePack.
    Message = 0,
    /// The names of a statement's columns, MessagePack.
    Columns = 1,
    /// Rows of a statement: their values, one after the other, MessagePack.
    Rows = 2,
}

/// Length and kind.
const HEAD_BYTES: usize = 5;
/// What is written at once.
const WRITE_BYTES: usize = 64 * 1024;
/// What is read at once, at most.
const READ_BYTES: usize = 256 * 1024;

/// One end.
pub(super) struct Channel {
    stream: UnixStream,
    /// Longest frame that is taken, bytes.
    frame_max: usize,
    /// Frames that are to be written.
    outgoing: Vec<u8>,
    /// Bytes that were read; of them `taken` are done with.
    incoming: Vec<u8>,
    taken: usize,
}

/// A frame that came: a part of the buffer of its channel, which it holds until it is given back.
pub(super) struct ChannelFrame {
    pub(super) kind: FrameKind,
    bytes: Vec<u8>,
    content: std::ops::Range<usize>,
}

impl ChannelFrame {
    pub(super) fn content(&self) -> &[u8] {
        &self.bytes[self.content.clone()]
    }
}

impl Channel {
    pub(super) fn new(stream: UnixStream, frame_max: usize) -> Self {
        Self { stream, frame_max, outgoing: Vec::new(), incoming: Vec::new(), taken: 0 }
    }

    /// Writes a message, and what is waiting before it. `cpu_us`: CPU of the call at this end.
    pub(super) fn send(&mut self, cpu_us: u64, message: &impl Serialize) -> io::Result<()> {
        self.frame(FrameKind::Message, |out| encode(out, &Sent(cpu_us, message)))?;
        self.flush()
    }

    /// Puts a frame behind those that wait, and writes them if that is much.
    pub(super) fn frame(
        &mut self,
        kind: FrameKind,
        content: impl FnOnce(&mut Vec<u8>) -> io::Result<()>,
    ) -> io::Result<()> {
        let start = self.outgoing.len();
        self.outgoing.extend_from_slice(&[0; HEAD_BYTES]);
        content(&mut self.outgoing)?;
        let length = u32::try_from(self.outgoing.len() - start - HEAD_BYTES).map_err(io::Error::other)?;
        self.outgoing[start..start + 4].copy_from_slice(&length.to_le_bytes());
        self.outgoing[start + 4] = kind as u8;
        if self.outgoing.len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.outgoing)?;
        self.outgoing.clear();
        self.outgoing.shrink_to(WRITE_BYTES);
        Ok(())
    }

    /// The next frame. Where the stream has a timeout, `silent` is asked each time that it has passed; an error from it ends
    /// the wait.
    pub(super) fn receive(&mut self, mut silent: impl FnMut() -> io::Result<()>) -> io::Result<ChannelFrame> {
        self.fill(HEAD_BYTES, &mut silent)?;
        let head = &self.incoming[self.taken..self.taken + HEAD_BYTES];
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let kind = match head[4] {
            0 => FrameKind::Message,
            1 => FrameKind::Columns,
            2 => FrameKind::Rows,
            _ => return Err(ErrorKind::InvalidData.into()),
        };
        if length > self.frame_max {
            return Err(ErrorKind::InvalidData.into());
        }
        self.fill(HEAD_BYTES + length, &mut silent)?;
        let content = self.taken + HEAD_BYTES..self.taken + HEAD_BYTES + length;
        self.taken = content.end;
        Ok(ChannelFrame { kind, bytes: std::mem::take(&mut self.incoming), content })
    }

    /// Takes the buffer of a frame back; nothing is received before.
    pub(super) fn give_back(&mut self, frame: ChannelFrame) {
        self.incoming = frame.bytes;
        if self.taken == self.incoming.len() {
            self.incoming.clear();
            self.incoming.shrink_to(READ_BYTES);
            self.taken = 0;
        }
    }

    /// Reads until so many bytes are there that were not taken.
    fn fill(&mut self, bytes: usize, silent: &mut impl FnMut() -> io::Result<()>) -> io::Result<()> {
        if self.taken > 0 && self.incoming.len() < self.taken + bytes {
            self.incoming.drain(..self.taken);
            self.taken = 0;
        }
        while self.incoming.len() < self.taken + bytes {
            let before = self.incoming.len();
            let missing = self.taken + bytes - before;
            // No more room than what has come asks for: the length is the other end's word.
            self.incoming.resize(before + missing.clamp(4096, READ_BYTES), 0);
            let read = self.stream.read(&mut self.incoming[before..]);
            self.incoming.truncate(before + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    silent()?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Appends something as MessagePack.
pub(super) fn encode(out: &mut Vec<u8>, content: &impl Serialize) -> io::Result<()> {
    rmp_serde::encode::write(out, content).map_err(io::Error::other)
}

/// A message, or the names of columns.
pub(super) fn decode<'a, T: serde::Deserialize<'a>>(content: &'a [u8]) -> io::Result<T> {
    rmp_serde::from_slice(content).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(frame_max: usize) -> (Channel, Channel) {
        let (one, other) = UnixStream::pair().unwrap();
        (Channel::new(one, frame_max), Channel::new(other, frame_max))
    }

    #[test]
    fn frames_come_as_they_were_sent() {
        let (mut one, mut other) = pair(1 << 20);
        for number in 0..1000_usize {
            let text = "x".repeat(number * 7 % 50_000);
            let sent = text.clone();
            let sending = std::thread::spawn(move || {
                one.frame(FrameKind::Columns, |out| encode(out, &["a"])).unwrap();
                one.send(number as u64, &sent).unwrap();
                one
            });
            let frame = other.receive(|| Ok(())).unwrap();
            assert_eq!(frame.kind, FrameKind::Columns);
            assert_eq!(decode::<Vec<&str>>(frame.content()).unwrap(), ["a"]);
            other.give_back(frame);
            let frame = other.receive(|| Ok(())).unwrap();
            let Sent(cpu_us, come): Sent<&str> = decode(frame.content()).unwrap();
            assert_eq!((cpu_us, come), (number as u64, text.as_str()));
            other.give_back(frame);
            one = sending.join().unwrap();
        }
    }

    #[test]
    fn what_is_too_long_or_no_frame_is_refused() {
        let (mut one, mut other) = pair(100);
        one.send(0, &"x".repeat(200)).unwrap();
        assert_eq!(other.receive(|| Ok(())).err().unwrap().kind(), ErrorKind::InvalidData);
        let (mut one, mut other) = pair(100);
        one.stream.write_all(&[1, 0, 0, 0, 9, 0]).unwrap();
        assert_eq!(other.receive(|| Ok(())).err().unwrap().kind(), ErrorKind::InvalidData);
        let (one, mut other) = pair(100);
        drop(one);
        assert_eq!(other.receive(|| Ok(())).err().unwrap().kind(), ErrorKind::UnexpectedEof);
    }
}
