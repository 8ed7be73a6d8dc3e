//! All inputs in `corpus/`: real ones, and former findings under names that describe the fault.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use fuzz::KINDS;

#[test]
fn corpus_has_no_findings() {
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
