//! Every input in `corpus/`: real ones, and those that once were findings, under names that say what was wrong.

use std::fs;
use std::path::Path;

use foreign::KINDS;

#[test]
fn what_holds_of_every_kind_holds_of_its_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for kind in KINDS {
        let inputs = fs::read_dir(corpus.join(kind.name)).expect("every kind has a corpus");
        for input in inputs {
            let path = input.expect("a file").path();
            println!("{}", path.display());
            (kind.check)(&fs::read(&path).expect("a file that can be read"));
        }
    }
}
