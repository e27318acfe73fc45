//! Chunks are compressed and sealed by a thread of their own, while the next ones are read: that takes about as long.

use std::{
    io,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, SyncSender, channel, sync_channel},
};

use ferry_core::backup::ChunkId;

use crate::{BackupKey, Error, Result, error::AtPath as _};

const ZSTD_LEVEL: i32 = 3;
/// Chunks that wait for the thread; who brings more of them waits.
const WAITING: usize = 2;

/// A chunk as the target has it.
pub(crate) struct SealedChunk {
    pub(crate) chunk: ChunkId,
    pub(crate) bytes: Vec<u8>,
    /// Bytes that it had before.
    pub(crate) length: usize,
}

/// Hands chunks to the thread and takes them back, in the same order. The thread ends with it.
pub(crate) struct Sealer {
    work: SyncSender<(ChunkId, Vec<u8>)>,
    done: Receiver<Result<SealedChunk>>,
    /// How many chunks were handed over and not taken back.
    pending: usize,
}

/// What a chunk is called where it is sealed.
pub(crate) fn sealed_name(chunk: ChunkId) -> String {
    format!("chunk {chunk}")
}

impl Sealer {
    /// Seals with `key`, if there is one. Errors name the folder `spool`.
    pub(crate) fn start(key: Option<BackupKey>, spool: &Path) -> Result<Self> {
        let at: PathBuf = spool.to_owned();
        let mut compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL).at("cannot compress for", spool)?;
        let seal = move |chunk: ChunkId, content: &[u8]| {
            let bytes = compressor.compress(content).at("cannot compress for", &at)?;
            match &key {
                Some(key) => key.seal(&sealed_name(chunk), &bytes),
                None => Ok(bytes),
            }
        };
        Self::sealing(seal).at("cannot start a thread for", spool)
    }

    fn sealing(mut seal: impl FnMut(ChunkId, &[u8]) -> Result<Vec<u8>> + Send + 'static) -> io::Result<Self> {
        let (work, waiting) = sync_channel::<(ChunkId, Vec<u8>)>(WAITING);
        let (sealed, done) = channel();
        // It inherits the priority of the thread that reads.
        std::thread::Builder::new().name("ferry-backup".into()).spawn(move || {
            // A chunk that could not be sealed is missing: nothing comes after it.
            while let Ok((chunk, content)) = waiting.recv() {
                let length = content.len();
                let result = seal(chunk, &content).map(|bytes| SealedChunk { chunk, bytes, length });
                let is_last = result.is_err();
                if sealed.send(result).is_err() || is_last {
                    return;
                }
            }
        })?;
        Ok(Self { work, done, pending: 0 })
    }

    /// Hands over a chunk. Whatever is ready is to be taken with [`Self::ready`], or it stays in memory.
    ///
    /// # Errors
    /// Why an earlier one could not be sealed.
    pub(crate) fn hand_over(&mut self, chunk: ChunkId, content: &[u8]) -> Result<()> {
        self.pending += 1;
        let handed = self.work.send((chunk, content.to_vec()));
        // The thread said why it ends before it did.
        handed.map_err(|_| self.done.iter().find_map(Result::err).unwrap_or_else(has_ended))
    }

    /// The next chunk that is ready, without waiting.
    ///
    /// # Errors
    /// When it could not be sealed; then none that comes after it is.
    pub(crate) fn ready(&mut self) -> Result<Option<SealedChunk>> {
        self.taken(self.done.try_recv().ok())
    }

    /// The next chunk, waited for; `None`: all were taken.
    ///
    /// # Errors
    /// See [`Self::ready`].
    pub(crate) fn next(&mut self) -> Result<Option<SealedChunk>> {
        if self.pending == 0 {
            return Ok(None);
        }
        let next = self.done.recv().map_err(|_| has_ended())?;
        self.taken(Some(next))
    }

    fn taken(&mut self, sealed: Option<Result<SealedChunk>>) -> Result<Option<SealedChunk>> {
        self.pending -= usize::from(sealed.is_some());
        sealed.transpose()
    }
}

fn has_ended() -> Error {
    Error::Invalid("an earlier chunk could not be compressed and sealed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(number: u8) -> (ChunkId, [u8; 1]) {
        (ChunkId::of_content(&[number]), [number])
    }

    #[test]
    fn chunks_come_back_in_order_and_once() {
        let mut sealer = Sealer::sealing(|_, content| Ok(content.repeat(2))).unwrap();
        let mut back = Vec::new();
        for number in 0..100 {
            let (id, content) = chunk(number);
            sealer.hand_over(id, &content).unwrap();
            while let Some(sealed) = sealer.ready().unwrap() {
                back.push(sealed);
            }
        }
        while let Some(sealed) = sealer.next().unwrap() {
            back.push(sealed);
        }
        let back = back.iter().map(|sealed| (sealed.chunk, sealed.bytes.clone(), sealed.length));
        assert!(back.eq((0..100).map(|number| (chunk(number).0, vec![number, number], 1))));
    }

    #[test]
    fn whoever_hands_over_more_is_told_why_an_earlier_chunk_could_not_be_sealed() {
        let cause = || Error::Invalid("the machine gives no randomness".to_owned());
        let mut sealer = Sealer::sealing(move |_, _| Err(cause())).unwrap();
        // The thread ends at the first; whoever takes nothing back meets that here.
        let told = (0..=u8::MAX).find_map(|number| {
            let (id, content) = chunk(number);
            sealer.hand_over(id, &content).err()
        });
        assert_eq!(told.unwrap().to_string(), cause().to_string());
        // Nor does it end as if all were there.
        assert!(sealer.next().is_err());
    }
}
