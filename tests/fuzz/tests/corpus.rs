//! Every input in `corpus/`: real ones, and those that once were findings, under names that say what was wrong.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use fuzz::KINDS;

#[test]
fn what_holds_of_every_kind_holds_of_its_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut findings = Vec::new();
    for kind in KINDS {
        for input in fs::read_dir(corpus.join(kind.name)).expect("every kind has a corpus") {
            let path = input.expect("a file").path();
            let bytes = fs::read(&path).expect("a file that can be read");
            if catch_unwind(|| (kind.check)(&bytes)).is_err() {
                findings.push(path);
            }
        }
    }
    assert!(findings.is_empty(), "{findings:#?}");
}
