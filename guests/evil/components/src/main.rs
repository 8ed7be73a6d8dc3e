//! Assembles collectors from hand-written WebAssembly text, for faults that a Rust compiler cannot produce.
//! `evil-components TARGET` writes each as TARGET/NAME.wasm.
//!
//! A text contains only its fault. The rest of the collector comes from `honest.wat`, which describes itself, declares
//! one graph, and reports one sample. The folder of a text says how it is used:
//!
//! - `whole`: a complete file, component or core module,
//! - `inside`: fields of the honest collector's core module, which replace fields of the same name or are added,
//! - `beside`: fields that are appended to the honest collector's component.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The fields of the honest collector's core module.
const HONEST: &str = include_str!("../honest.wat");

fn main() -> Result<()> {
    let target = std::env::args_os().nth(1).context("usage: evil-components TARGET")?;
    let target = Path::new(&target);
    fs::create_dir_all(target)?;
    fs::write(target.join("honest.wasm"), inside("")?)?;
    for (folder, make) in [("whole", whole as fn(&str) -> Result<Vec<u8>>), ("inside", inside), ("beside", beside)] {
        for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))? {
            let path = file?.path();
            let name = path.file_stem().context("a name")?;
            let bytes = fs::read_to_string(&path).map_err(Into::into).and_then(|text| make(&format!("\n{text}")));
            let bytes = bytes.with_context(|| path.display().to_string())?;
            fs::write(target.join(name).with_extension("wasm"), bytes)?;
        }
    }
    Ok(())
}

fn whole(text: &str) -> Result<Vec<u8>> {
    Ok(wat::parse_str(text)?)
}

fn inside(text: &str) -> Result<Vec<u8>> {
    let is_another = |field: &&str| !fields(text).any(|other| head(other) == head(field));
    let kept: String = fields(HONEST).filter(is_another).collect();
    let mut module = wat::parse_str(format!("(module {kept}\n{text}\n)"))?;
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../wit"))?;
    let world = resolve.select_world(&[package], Some("plugin"))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    ComponentEncoder::default().module(&module)?.encode()
}

fn beside(text: &str) -> Result<Vec<u8>> {
    let honest = wasmprinter::print_bytes(inside("")?)?;
    let open = honest.trim_end().strip_suffix(')').context("the end of a component")?;
    whole(&format!("{open}{text}\n)"))
}

/// Splits a module's text into its fields. Each field begins a line, except the first line.
fn fields(text: &str) -> impl Iterator<Item = &str> {
    let mut starts: Vec<usize> = text.match_indices("\n(").map(|(index, _)| index).collect();
    starts.push(text.len());
    let ranges: Vec<_> = starts.windows(2).map(|pair| pair[0]..pair[1]).collect();
    ranges.into_iter().map(|range| &text[range])
}

/// Returns the kind and the name of a field, which identify it.
fn head(field: &str) -> String {
    field.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}
