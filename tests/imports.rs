//! No file to import takes more than its length allows: beside the file itself at most three times its length and
//! 64 MiB of memory, and at most a second and 100 ns a byte.
//!
//! Each case is a file that is built here to cost as much as it can: many small messages, names that many nodes share,
//! data that many members share, streams that unpack to much. All of them are refused.
//!
//! This test runs without the test harness, whose threads would allocate, too.

#![allow(unsafe_code, reason = "a counting allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use flate2::Crc;
use flate2::write::DeflateEncoder;
use googlenet::import::import_bytes;

/// The system's allocator, which also counts.
struct Counting;

/// The number of bytes that are allocated and not freed.
static LIVE: AtomicUsize = AtomicUsize::new(0);
/// The most bytes that were live at once.
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed on to the system's allocator, which does what the trait asks for.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(live, Ordering::Relaxed);
        // SAFETY: the caller promises what `alloc` asks for, and `System.alloc` asks for the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller promises what `dealloc` asks for, and `at` comes from `System.alloc`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn main() {
    let files = [
        ("a name of 256 KiB that one node reads 12,000 times", shared_name()),
        ("numbers of a layer in a message that ends before they do", overrun()),
        ("500 Ki empty nodes", model(&bytes(1, &[]).repeat(500 << 10))),
        ("nodes with a text each", model(&node(&bytes(6, b"a.py")).repeat(100 << 10))),
        ("500 Ki empty attributes", model(&node(&bytes(5, &[]).repeat(500 << 10)))),
        ("500 Ki empty inputs", model(&node(&bytes(1, &[]).repeat(500 << 10)))),
        ("500 Ki dimensions", model(&bytes(11, &bytes(2, &bytes(1, &bytes(2, &bytes(1, &[]).repeat(500 << 10))))))),
        ("500 Ki sets of operators", bytes(8, &[]).repeat(500 << 10)),
        ("a million numbers of an attribute", model(&node(&bytes(5, &bytes(8, &[1; 1_000_000]))))),
        ("a million numbers of an attribute's tensor", model(&node(&bytes(5, &bytes(5, &bytes(7, &[1; 1_000_000])))))),
        ("32 million integers of a tensor", model(&bytes(5, &bytes(5, &vec![1; 32 << 20])))),
        (
            "32 million integers of an attribute's tensor",
            model(&node(&bytes(5, &bytes(5, &bytes(5, &vec![1; 32 << 20]))))),
        ),
        ("floats of a tensor", model(&bytes(5, &bytes(4, &vec![1; 64 << 20])))),
        ("bytes of a tensor", model(&bytes(5, &bytes(9, &vec![1; 64 << 20])))),
        ("500 Ki empty layers", bytes(100, &[]).repeat(330 << 10)),
        ("500 Ki empty layers of the old type", bytes(2, &[]).repeat(500 << 10)),
        ("500 Ki empty outputs of a layer", bytes(100, &bytes(4, &[]).repeat(500 << 10))),
        ("a million dilations", bytes(100, &bytes(106, &number(18, 1).repeat(300_000)))),
        ("doubles of a layer", bytes(100, &bytes(7, &bytes(8, &vec![1; 64 << 20])))),
        ("members that share a stream of empty blocks", archive(&empty_blocks(100_000), 0, 8, 4000)),
        ("16,000 empty nodes", model(&bytes(1, &[]).repeat(16_000))),
        ("16,000 empty layers", bytes(100, &[]).repeat(16_000)),
        ("a member of zeros", archive(&deflated(300 << 20), 300 << 20, 8, 1)),
        ("members that share stored data", archive(&[7; 100_000], 100_000, 0, 4000)),
        ("members without data, whose names are no text", nameless(1000)),
        ("a header of many tensors", safetensors(r#""":{"dtype":"","shape":[],"data_offsets":[0,0]},"#)),
        ("a header of many metadata", safetensors(r#""__metadata__":{"":""},"#)),
        ("a header of a long shape", safetensors_of(&format!(r#"{{"":{{"shape":[{}1]}}}}"#, "1,".repeat(500_000)))),
        ("a deep header", safetensors_of(&"{\"a\":".repeat(200_000))),
    ];
    let mut over = Vec::new();
    for (what, file) in &files {
        let live = LIVE.load(Ordering::Relaxed);
        PEAK.store(live, Ordering::Relaxed);
        let begin = Instant::now();
        let error = import_bytes(file, None).expect_err(what);
        let (took, peak) = (begin.elapsed(), PEAK.load(Ordering::Relaxed) - live);
        let memory = 3 * file.len() + (64 << 20);
        let time = Duration::from_secs(1) + Duration::from_nanos(100) * u32::try_from(file.len()).expect("short");
        println!("{what}: {} kB of file, {} kB of memory, {took:?}: {error}", file.len() >> 10, peak >> 10);
        if peak > memory || took > time {
            over.push(format!("{what}: {peak} bytes of {memory}, {took:?} of {time:?}"));
        }
    }
    assert!(over.is_empty(), "{}", over.join("\n"));
    println!("no import takes more than its file allows: ok");
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 128 {
        bytes.push(value as u8 | 128);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// The bytes of a field that holds a number.
fn number(tag: u64, value: u64) -> Vec<u8> {
    [varint(tag << 3), varint(value)].concat()
}

/// The bytes of a field that holds a message or a text.
fn bytes(tag: u64, content: &[u8]) -> Vec<u8> {
    [varint(tag << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
}

/// An ONNX model with `graph`.
fn model(graph: &[u8]) -> Vec<u8> {
    [bytes(8, &number(2, 13)), bytes(7, graph)].concat()
}

fn node(fields: &[u8]) -> Vec<u8> {
    bytes(1, fields)
}

/// A layer with the parameters of a convolution, whose message ends within its first field, a list of paddings. Read as
/// the layer's own, what follows is a blob; read on as paddings, each of its bytes becomes one.
fn overrun() -> Vec<u8> {
    let blob = bytes(7, &bytes(5, &vec![1; 32 << 20]));
    let head = [varint(3 << 3 | 2), varint(blob.len() as u64)].concat();
    bytes(100, &[bytes(106, &head), blob].concat())
}

fn shared_name() -> Vec<u8> {
    let name = vec![b'w'; 256 << 10];
    let scalar = [number(1, 1), number(2, 1), bytes(8, &name), bytes(9, &[0; 4])].concat();
    let identity = |output: &str| [bytes(1, &name), bytes(2, output.as_bytes()), bytes(4, b"Identity")].concat();
    let many = [bytes(1, b"a").repeat(12_000), bytes(2, b"b"), bytes(4, b"Identity")].concat();
    model(&[bytes(5, &scalar), bytes(11, &bytes(1, b"x")), node(&identity("a")), node(&many)].concat())
}

/// A stream of `n` stored blocks without content.
fn empty_blocks(n: usize) -> Vec<u8> {
    [[0, 0, 0, 0xff, 0xff].repeat(n), vec![1, 0, 0, 0xff, 0xff]].concat()
}

fn deflated(n: usize) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    let chunk = vec![0; 1 << 20];
    (0..n >> 20).for_each(|_| encoder.write_all(&chunk).expect("a vector grows"));
    encoder.finish().expect("a vector grows")
}

/// An archive whose `count` members all have the one `data`, packed by `method` and `len` bytes long.
fn archive(data: &[u8], len: usize, method: u16, count: u16) -> Vec<u8> {
    let mut sum = Crc::new();
    if method == 0 {
        sum.update(data);
    }
    let local = [b"PK\x03\x04".to_vec(), vec![0; 26]].concat();
    let mut file = [local, data.to_vec()].concat();
    let offset = file.len();
    for i in 0..count {
        let name = format!("{i}.npy");
        file.extend(b"PK\x01\x02\0\0\0\0\0\0");
        file.extend(method.to_le_bytes());
        file.extend([0; 4]);
        file.extend(sum.sum().to_le_bytes());
        file.extend((data.len() as u32).to_le_bytes());
        file.extend((len as u32).to_le_bytes());
        file.extend((name.len() as u16).to_le_bytes());
        file.extend([0; 16]);
        file.extend(name.as_bytes());
    }
    end(file, offset, count)
}

/// An archive of `count` empty members with names of 64 KiB that are no UTF-8.
fn nameless(count: u16) -> Vec<u8> {
    let mut file = [b"PK\x03\x04".to_vec(), vec![0; 26]].concat();
    let offset = file.len();
    for _ in 0..count {
        file.extend(b"PK\x01\x02");
        file.extend([0; 24]);
        file.extend(u16::MAX.to_le_bytes());
        file.extend([0; 16]);
        file.extend([0xff; 65_535]);
    }
    end(file, offset, count)
}

fn end(mut file: Vec<u8>, offset: usize, count: u16) -> Vec<u8> {
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend([count.to_le_bytes(), count.to_le_bytes()].concat());
    file.extend([0; 4]);
    file.extend((offset as u32).to_le_bytes());
    file.extend([0; 2]);
    file
}

/// A safetensors file whose header repeats `entry` until it is as long as a header may be.
fn safetensors(entry: &str) -> Vec<u8> {
    let entries = entry.repeat((1_000_000) / entry.len());
    safetensors_of(&format!("{{{}}}", entries.trim_end_matches(',')))
}

fn safetensors_of(json: &str) -> Vec<u8> {
    [&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat()
}
