//! The fuzz target: tries inputs of libFuzzer on the kind that `FUZZ_KIND` names. Run by `make fuzz`.
#![no_main]

use std::sync::LazyLock;

use fuzz::{KINDS, Kind, kind};

static KIND: LazyLock<&Kind> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_KIND").unwrap_or_default();
    kind(&name).unwrap_or_else(|| {
        let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
        panic!("FUZZ_KIND is '{name}' instead of one of {}", names.join(", "))
    })
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (KIND.check)(bytes));
