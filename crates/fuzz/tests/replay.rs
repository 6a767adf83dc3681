//! Every target on its corpus, and on some seeded mutations of it.
//!
//! The input under way is kept in a file until it is through, so that also what ends the process can be replayed:
//! `cargo xtask fuzz TARGET FILE`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{collections::BTreeSet, fs, path::PathBuf};

use lakebed_fuzz::{Mutator, TARGETS, target, words};

/// The mutations are the same in every run.
const SEED: u64 = 20_260_101;

fn fuzz_folder() -> PathBuf {
    PathBuf::from("../../fuzz")
}

/// The files of a corpus by name.
fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = fuzz_folder().join("corpus").join(name);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut inputs: Vec<_> = files
        .map(|file| file.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .collect();
    inputs.sort();
    inputs
}

fn replay(name: &str) {
    let target = target(name);
    let kept = std::env::temp_dir().join(format!("lakebed-fuzz-{name}"));
    println!("the input under way is in {}", kept.display());
    let run = |input: &[u8]| {
        fs::write(&kept, input).unwrap();
        target.run(input);
    };
    let named = corpus(name);
    assert!(!named.is_empty(), "{name} has no corpus");
    for (file, input) in &named {
        println!("{file}");
        run(input);
    }
    let dictionary = fs::read_to_string(fuzz_folder().join(format!("dictionaries/{name}.dict"))).unwrap_or_default();
    let (words, inputs): (_, Vec<_>) = (words(&dictionary), named.into_iter().map(|(_, input)| input).collect());
    let mut mutator = Mutator::new(SEED, &inputs, &words, target.max_bytes);
    println!("mutations");
    for _ in 0..target.rounds {
        run(&mutator.next_input());
    }
    fs::remove_file(&kept).unwrap();
}

macro_rules! replay {
    ($($name:ident)*) => {
        const REPLAYED: &[&str] = &[$(stringify!($name)),*];
        $(#[test] fn $name() { replay(stringify!($name)) })*
    };
}

replay! {
    accept_header issuer_token page_token row_filter sql_plan sql_body http_request csv_file json_file parquet_file
}

#[test]
fn every_target_is_replayed_and_has_a_fuzzer() {
    let names: BTreeSet<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names, REPLAYED.iter().copied().collect());
    let manifest = fs::read_to_string(fuzz_folder().join("Cargo.toml")).unwrap();
    for name in names {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "fuzz/Cargo.toml does not know {name}");
        let body = fs::read_to_string(fuzz_folder().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(body.contains(&format!("\"{name}\"")), "the fuzzer {name} runs another target");
    }
}

#[test]
fn mutations_are_the_same_for_the_same_seed_and_stay_short() {
    let (corpus, words) =
        ([b"SELECT 1".to_vec(), b"{\"a\": [1, 2]}".to_vec()], words("\"OR\"\n# no\n\"\\x00\\\"\\\\\""));
    assert_eq!(words, [b"OR".to_vec(), b"\0\"\\".to_vec()]);
    let some = |seed| {
        let mut mutator = Mutator::new(seed, &corpus, &words, 50);
        (0..500).map(|_| mutator.next_input()).collect::<Vec<_>>()
    };
    assert_eq!(some(1), some(1));
    assert_ne!(some(1), some(2));
    assert!(some(1).iter().all(|input| input.len() <= 50));
    assert!(some(1).into_iter().collect::<BTreeSet<_>>().len() > 400, "hardly any of them differ");
}
