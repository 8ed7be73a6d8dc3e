//! The contract, as `wit/` has it.
#![allow(missing_docs, unreachable_pub, unsafe_code, clippy::pedantic)]

wit_bindgen::generate!({
    path: "wit",
    world: "plugin",
    additional_derives: [PartialEq],
    export_macro_name: "__export",
    pub_export_macro: true,
});
