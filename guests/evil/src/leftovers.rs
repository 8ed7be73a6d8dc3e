//! An attack that searches reused memory for the data of earlier sandboxes.
#![allow(unsafe_code)]

use std::hint::black_box;

use crate::{Outcome, honest, saw};

/// The size of a page of linear memory.
const PAGE: usize = 65_536;

/// The number of pages that the attack adds and fills.
const PAGES: usize = 8;

/// The word that the attack leaves in memory.
const MARK: u64 = 0x6c65_6674_206f_7665;

/// Disguises the mark in the search itself, whose operands can be in memory too.
const DISGUISE: u64 = u64::MAX;

#[cfg(target_arch = "wasm32")]
fn size() -> usize {
    core::arch::wasm32::memory_size(0)
}

#[cfg(target_arch = "wasm32")]
fn grow(pages: usize) -> usize {
    core::arch::wasm32::memory_grow(0, pages)
}

#[cfg(not(target_arch = "wasm32"))]
fn size() -> usize {
    0
}

#[cfg(not(target_arch = "wasm32"))]
fn grow(_pages: usize) -> usize {
    0
}

/// Reads the word at an address.
fn word(address: usize) -> u64 {
    // SAFETY: all of the linear memory is readable, and beyond it the read traps.
    unsafe { std::ptr::with_exposed_provenance::<u64>(address).read_volatile() }
}

/// Counts the words of memory that satisfy a condition.
fn count(pages: std::ops::Range<usize>, is_counted: impl Fn(u64) -> bool) -> usize {
    // Rust does not allow reads at the address 0.
    let words = (pages.start * PAGE).max(8)..pages.end * PAGE;
    words.step_by(8).filter(|address| is_counted(word(*address))).count()
}

fn marks() -> usize {
    count(0..size(), |word| word ^ DISGUISE == MARK ^ DISGUISE)
}

/// Adds pages and fills them with marks. Returns the number of their words that were not zero.
fn grow_and_mark() -> usize {
    let first = grow(PAGES);
    let new = first..first + PAGES;
    let dirty = count(new.clone(), |word| word != 0);
    for address in (new.start * PAGE..new.end * PAGE).step_by(8) {
        // SAFETY: the pages were just added, and the allocator does not know them.
        unsafe { std::ptr::with_exposed_provenance_mut::<u64>(address).write_volatile(MARK) };
    }
    dirty
}

/// Leaves marks on the stack.
fn mark_stack(depth: usize) -> u64 {
    let frame = black_box([MARK; 64]);
    if depth == 0 { frame[0] } else { mark_stack(depth - 1).wrapping_add(frame[1]) }
}

/// If the target reports an odd number, searches for marks of an earlier sandbox and leaves its own; otherwise reads
/// beyond the end of memory, where an earlier sandbox left marks.
pub(crate) fn leftovers() -> Outcome {
    let number = honest::stats()?["goroutine_num"].as_u64().unwrap_or_default();
    if number.is_multiple_of(2) {
        return saw(format!("{} beyond the end", word(size() * PAGE)));
    }
    let before = marks();
    let dirty = grow_and_mark();
    black_box(mark_stack(1000));
    let own = if marks() >= PAGES * PAGE / 8 { "its own" } else { "no" };
    saw(format!("{before} marks and {dirty} words in new pages, then {own} marks"))
}
