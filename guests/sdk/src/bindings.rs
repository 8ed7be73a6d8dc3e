//! The contract in `wit/`, as generated Rust.
#![allow(missing_docs, unreachable_pub, unsafe_code, clippy::pedantic)]

wit_bindgen::generate!({
    path: "wit",
    world: "plugin",
    additional_derives: [PartialEq],
    default_bindings_module: "mackerel_collector::bindings",
    export_macro_name: "__export",
    pub_export_macro: true,
});
