//! The workflows of the repository, as far as that can be checked without a server: scripts/workflows.sh does the rest.

use std::fs;

#[test]
fn actions_are_pinned_by_digest() {
    let mut count = 0;
    for entry in fs::read_dir("../.github/workflows").expect("the workflows").flatten() {
        let text = fs::read_to_string(entry.path()).expect("a workflow");
        for line in text.lines().filter_map(|line| line.split_once("uses: ")) {
            let (action, comment) = line.1.split_once(" # v").unwrap_or_else(|| panic!("no version: {}", line.1));
            let (_, digest) = action.split_once('@').expect("a digest");
            let is_digest = digest.len() == 40 && digest.bytes().all(|b| b.is_ascii_hexdigit());
            assert!(is_digest && comment.starts_with(|c: char| c.is_ascii_digit()), "{}", line.1);
            count += 1;
        }
    }
    assert!(count > 3, "{count}");
}

#[test]
fn release_notes_need_the_version_as_the_tag() {
    let notes = |tag: &str| {
        let output = std::process::Command::new("../scripts/release-notes.sh").arg(tag).output().expect("bash");
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    let version = env!("CARGO_PKG_VERSION");
    let wrong = notes("v99.0.0");
    assert_eq!(
        wrong,
        format!("release-notes: the tag is v99.0.0, but Cargo.toml has version {version}: tag v{version}\n")
    );
}
