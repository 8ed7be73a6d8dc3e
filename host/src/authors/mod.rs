//! Commands for authors of collectors: one file or folder per subcommand.

pub mod componentize;
pub mod new;
pub mod test;

/// The files for authors that xtask generates from the contract. The binary embeds them.
#[derive(Debug, Clone, Copy)]
pub struct Generated {
    /// The files of a collector in Go: paths and texts.
    pub go: &'static [new::File],
    /// The types of a collector's imports and exports, as a custom section of a module.
    pub types: &'static [u8],
}
