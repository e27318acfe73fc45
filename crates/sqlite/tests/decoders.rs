//! The decoders of pages, on inputs of the fuzz targets' corpus that were changed at random: none panics, and none reads or writes
//! where it must not. `fuzz/run` looks further, where cargo-fuzz is installed.

use std::{fs, path::Path};

use ferry_testkit::rng::Rng;

#[path = "../../../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "it is the library of the fuzz targets")]
mod targets;

/// Changed inputs of each target.
const INPUTS: u64 = 100_000;
/// Numbers that are the first or last of something.
const EDGES: [u8; 6] = [0, 1, 0x7f, 0x80, 0xfe, 0xff];

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("the corpus is there")
        .map(|entry| entry.expect("the folder can be read").path())
        .collect();
    files.sort();
    files.iter().map(|file| fs::read(file).expect("the input can be read")).collect()
}

fn change(input: &mut Vec<u8>, others: &[Vec<u8>], rng: &mut Rng) {
    let mut place = |length: usize| rng.below(length as u64 + 1) as usize;
    let (at, end) = (place(input.len()), place(input.len()));
    let (from, to) = (at.min(end), at.max(end));
    match rng.below(7) {
        0 if at < input.len() => input[at] ^= 1 << rng.below(8),
        1 if at < input.len() => input[at] = EDGES[rng.below(EDGES.len() as u64) as usize],
        2 => input.truncate(at),
        3 => drop(input.drain(from..to.min(from + 40))),
        4 => {
            let copied = input[from..to.min(from + 40)].to_vec();
            input.splice(to..to, copied);
        }
        5 => {
            let other = &others[rng.below(others.len() as u64) as usize];
            let start = rng.below(other.len() as u64 + 1) as usize;
            input.splice(at..at, other[start..].iter().copied());
        }
        _ => {
            let length = 1 + rng.below(8) as usize;
            input.splice(at..at, rng.bytes(length));
        }
    }
}

fn fuzz(name: &str, target: fn(&[u8])) {
    let corpus = corpus(name);
    corpus.iter().for_each(|input| target(input));
    let mut rng = Rng::new(15);
    for _ in 0..INPUTS {
        let mut input = corpus[rng.below(corpus.len() as u64) as usize].clone();
        for _ in 0..=rng.below(6) {
            change(&mut input, &corpus, &mut rng);
        }
        target(&input);
    }
}

// Verifies: PAG-04, PAG-21
#[test]
fn changed_bodies_and_frames_are_read_or_refused() {
    fuzz("page_body", targets::page_body);
    fuzz("page_body_applied", targets::page_body_applied);
    fuzz("page_frame", targets::page_frame);
}

// Verifies: PAG-07, PAG-19
#[test]
fn changed_images_are_checked_within_their_pages() {
    fuzz("page_image", targets::page_image);
}
