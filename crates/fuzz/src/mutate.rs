//! Small changes to inputs, the same for the same seed: what stable has instead of a fuzzer that watches coverage.

use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

/// Numbers at which things break.
const NUMBERS: [&str; 10] = [
    "0",
    "-1",
    "127",
    "32768",
    "2147483647",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551616",
    "1e309",
];
/// Bytes at which things break.
const BYTES: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, b'\n', b'"', b'\\'];
/// Changes to one input at most.
const CHANGES: usize = 4;
/// Copies of a piece at most.
const COPIES: usize = 60;

/// Makes inputs out of those of a corpus.
#[derive(Debug)]
pub struct Mutator<'a> {
    random: ChaCha8Rng,
    corpus: &'a [Vec<u8>],
    words: &'a [Vec<u8>],
    max_bytes: usize,
}

impl<'a> Mutator<'a> {
    /// `words`: what means something to the target. An empty corpus has one empty input.
    pub fn new(seed: u64, corpus: &'a [Vec<u8>], words: &'a [Vec<u8>], max_bytes: usize) -> Self {
        Self { random: ChaCha8Rng::seed_from_u64(seed), corpus, words, max_bytes }
    }

    /// The next input.
    pub fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.any();
        for _ in 0..self.random.random_range(1..=CHANGES) {
            self.change(&mut input);
            input.truncate(self.max_bytes);
        }
        input
    }

    fn any(&mut self) -> Vec<u8> {
        self.corpus.choose(&mut self.random).cloned().unwrap_or_default()
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        match self.random.random_range(0..9) {
            0 => self.flip(input),
            1 => self.set(input),
            2 => self.insert_byte(input),
            3 => self.remove(input),
            4 => self.repeat(input),
            5 => self.splice(input),
            6 => self.renumber(input),
            _ => self.insert_word(input),
        }
    }

    fn flip(&mut self, input: &mut [u8]) {
        if let Some(at) = self.place(input) {
            input[at] ^= 1 << self.random.random_range(0..8);
        }
    }

    fn set(&mut self, input: &mut [u8]) {
        if let Some(at) = self.place(input) {
            input[at] = self.byte();
        }
    }

    fn insert_byte(&mut self, input: &mut Vec<u8>) {
        let at = self.random.random_range(0..=input.len());
        let byte = self.byte();
        input.insert(at, byte);
    }

    fn remove(&mut self, input: &mut Vec<u8>) {
        let piece = self.piece(input);
        input.drain(piece);
    }

    /// Nests, chains and widens.
    fn repeat(&mut self, input: &mut Vec<u8>) {
        let piece = self.piece(input);
        let copies = input[piece.clone()].repeat(self.random.random_range(1..=COPIES));
        input.splice(piece.end..piece.end, copies);
    }

    /// The beginning of one input, the end of another.
    fn splice(&mut self, input: &mut Vec<u8>) {
        let other = self.any();
        let from = self.random.random_range(0..=other.len());
        input.truncate(self.random.random_range(0..=input.len()));
        input.extend_from_slice(&other[from..]);
    }

    /// Another number in place of one.
    fn renumber(&mut self, input: &mut Vec<u8>) {
        let digits: Vec<usize> = (0..input.len()).filter(|at| input[*at].is_ascii_digit()).collect();
        let Some(start) = digits.choose(&mut self.random).copied() else { return };
        let length = input[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = NUMBERS.choose(&mut self.random).copied().unwrap_or_default();
        input.splice(start..start + length, number.bytes());
    }

    fn insert_word(&mut self, input: &mut Vec<u8>) {
        let Some(word) = self.words.choose(&mut self.random) else { return self.insert_byte(input) };
        let at = self.random.random_range(0..=input.len());
        input.splice(at..at, word.iter().copied());
    }

    fn byte(&mut self) -> u8 {
        match self.random.random() {
            true => BYTES.choose(&mut self.random).copied().unwrap_or_default(),
            false => self.random.random(),
        }
    }

    fn place(&mut self, input: &[u8]) -> Option<usize> {
        (!input.is_empty()).then(|| self.random.random_range(0..input.len()))
    }

    fn piece(&mut self, input: &[u8]) -> std::ops::Range<usize> {
        let start = self.random.random_range(0..=input.len());
        let longest = (input.len() - start).min(if self.random.random() { 4 } else { 200 });
        start..start + self.random.random_range(0..=longest)
    }
}

/// The words of a dictionary in libFuzzer's form: one `"word"` a line, with `\"`, `\\` and `\x41` for bytes; `#` begins a
/// comment.
pub fn words(dictionary: &str) -> Vec<Vec<u8>> {
    let quoted = |line: &str| line.trim().strip_prefix('"')?.strip_suffix('"').map(unescaped);
    dictionary.lines().filter_map(quoted).collect()
}

fn unescaped(text: &str) -> Vec<u8> {
    let (mut word, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let hex = after.strip_prefix(b"x").and_then(|digits| digits.get(..2));
        let hex = hex.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        let (byte, used) = match (first, hex, after.first()) {
            (b'\\', Some(byte), _) => (byte, 4),
            (b'\\', None, Some(escaped)) => (*escaped, 2),
            _ => (*first, 1),
        };
        word.push(byte);
        rest = &rest[used..];
    }
    word
}
