//! The WIT package `mackerel:collector` as Rust: generated, documented in `wit/`.
#![allow(missing_docs, clippy::pedantic)]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "plugin",
    imports: { default: async | trappable },
    exports: { default: async },
    with: { "mackerel:collector/tls.connection": super::connection::Connection },
    additional_derives: [PartialEq, serde::Serialize, serde::Deserialize],
});
