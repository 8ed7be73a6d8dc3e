//! Skipping: containers that the operator leaves out, by the syntax of the engine's filters.
//!
//! | pattern | matches a container |
//! |---|---|
//! | `name=REGEX` | whose name contains a match, with or without a slash in front, as Docker's filter |
//! | `label=KEY`, `label=KEY=VALUE` | with this label |
//! | `image=IMAGE` | of this image: its name, its name without tag or digest, or its id |
//!
//! The engine has no filter that excludes, so the host applies these.

use std::fmt;
use std::str::FromStr;

use regex_lite::Regex;

use crate::engine::Container;
use crate::text::Expected;

/// One `--skip`.
#[derive(Debug, Clone)]
pub struct Skip {
    text: String,
    rule: Rule,
}

#[derive(Debug, Clone)]
enum Rule {
    Name(Regex),
    Label(String, Option<String>),
    Image(String),
}

impl FromStr for Skip {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Skip, Expected> {
        const EXPECTED: Expected = Expected("name=REGEX, label=KEY, label=KEY=VALUE or image=IMAGE");
        let (key, value) = text.split_once('=').filter(|(_, value)| !value.is_empty()).ok_or(EXPECTED)?;
        let rule = match key {
            "name" => Rule::Name(Regex::new(value).map_err(|_| Expected("a regular expression after name="))?),
            "label" => match value.split_once('=') {
                Some((key, value)) => Rule::Label(key.to_owned(), Some(value.to_owned())),
                None => Rule::Label(value.to_owned(), None),
            },
            // Docker's name of this filter.
            "image" | "ancestor" => Rule::Image(value.to_owned()),
            _ => return Err(EXPECTED),
        };
        Ok(Skip { text: text.to_owned(), rule })
    }
}

impl fmt::Display for Skip {
    /// Writes it as it was typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Skip {
    /// Returns true if the container is to be left out.
    pub fn matches(&self, container: &Container) -> bool {
        match &self.rule {
            Rule::Name(regex) => regex.is_match(&container.name) || regex.is_match(&format!("/{}", container.name)),
            Rule::Label(key, None) => container.labels.contains_key(key),
            Rule::Label(key, Some(value)) => container.labels.get(key) == Some(value),
            Rule::Image(image) => is_of_image(container, image),
        }
    }
}

fn is_of_image(container: &Container, wanted: &str) -> bool {
    let image = container.image.as_str();
    let without_digest = image.split('@').next().unwrap_or_default();
    // A colon before a slash belongs to the registry's port.
    let without_tag = match without_digest.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => without_digest,
    };
    if [image, without_digest, without_tag].contains(&wanted) {
        return true;
    }
    // As short as people copy it from `docker images`.
    let digits = |id: &str| id.strip_prefix("sha256:").unwrap_or(id).to_owned();
    let (id, start) = (digits(&container.image_id), digits(wanted));
    start.len() >= 12 && id.starts_with(&start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skips(skip: &str) -> bool {
        let container = Container {
            name: "api-1".to_owned(),
            image: "registry.example:5000/shop/api:1.2@sha256:feed".to_owned(),
            image_id: format!("sha256:{}", "0123456789abcdef".repeat(4)),
            labels: [("app".to_owned(), "web=1".to_owned())].into(),
            ..Container::default()
        };
        skip.parse::<Skip>().unwrap().matches(&container)
    }

    #[test]
    fn names_match_as_with_dockers_filter() {
        for skip in ["name=api", "name=^api-1$", "name=^/api-1$", "name=p.-\\d", "name=x|api"] {
            assert!(skips(skip), "{skip}");
        }
        for skip in ["name=^pi", "name=API", "name=^api$"] {
            assert!(!skips(skip), "{skip}");
        }
    }

    #[test]
    fn labels_match_by_key_or_by_key_and_value() {
        assert!(skips("label=app") && skips("label=app=web=1"));
        assert!(!skips("label=ap") && !skips("label=app=web") && !skips("label=app="));
    }

    #[test]
    fn images_match_by_name_repository_and_id() {
        for skip in [
            "image=registry.example:5000/shop/api",
            "ancestor=registry.example:5000/shop/api:1.2",
            "image=registry.example:5000/shop/api:1.2@sha256:feed",
            "image=0123456789ab",
            "image=sha256:0123456789abcdef",
        ] {
            assert!(skips(skip), "{skip}");
        }
        for skip in ["image=shop/api", "image=registry.example:5000/shop/api:1", "image=0123", "image=api"] {
            assert!(!skips(skip), "{skip}");
        }
    }

    #[test]
    fn other_patterns_are_rejected() {
        for (text, expected) in [
            ("api", "expected name=REGEX, label=KEY, label=KEY=VALUE or image=IMAGE"),
            ("name=", "expected name=REGEX, label=KEY, label=KEY=VALUE or image=IMAGE"),
            ("status=running", "expected name=REGEX, label=KEY, label=KEY=VALUE or image=IMAGE"),
            ("name=a(", "expected a regular expression after name="),
        ] {
            assert_eq!(text.parse::<Skip>().unwrap_err().to_string(), expected);
        }
    }
}
