//! Declarations of a collector's options, and their values.

use std::str::FromStr;

use crate::Collector;
use crate::bindings::mackerel::collector::types::{self, OptionKind, OptionValue};

/// The declaration of an option. The host makes it a command-line flag, beside its own.
///
/// ```
/// use mackerel_collector::OptionSpec;
///
/// const OPTIONS: &[OptionSpec] = &[
///     OptionSpec::text("path", "The path of the statistics").default("/stats"),
///     OptionSpec::choice("detail", "The level of detail", &["little", "all"]).default("little"),
///     OptionSpec::many("queue", "A queue to show"),
///     OptionSpec::secret("password", "The password"),
///     OptionSpec::flag("verbose", "Show every job"),
/// ];
/// ```
#[derive(Debug, Clone, Copy)]
pub struct OptionSpec {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    default: Option<&'static str>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Choice(&'static [&'static str]),
    Many,
    Secret,
    Flag,
}

impl OptionSpec {
    const fn new(name: &'static str, help: &'static str, kind: Kind) -> OptionSpec {
        OptionSpec { name, help, kind, default: None }
    }

    /// An option that takes any text, at most once.
    ///
    /// The name is in the characters `a-z`, `0-9` and `-`, without the dashes; the help text is one line.
    pub const fn text(name: &'static str, help: &'static str) -> OptionSpec {
        OptionSpec::new(name, help, Kind::Text)
    }

    /// An option that takes one of these words, at most once. The host rejects all others.
    pub const fn choice(name: &'static str, help: &'static str, words: &'static [&'static str]) -> OptionSpec {
        OptionSpec::new(name, help, Kind::Choice(words))
    }

    /// An option that takes any text, any number of times.
    pub const fn many(name: &'static str, help: &'static str) -> OptionSpec {
        OptionSpec::new(name, help, Kind::Many)
    }

    /// A secret. The flag is `--NAME-file PATH`: the host reads the file, and never shows its text.
    pub const fn secret(name: &'static str, help: &'static str) -> OptionSpec {
        OptionSpec::new(name, help, Kind::Secret)
    }

    /// A flag without a value.
    pub const fn flag(name: &'static str, help: &'static str) -> OptionSpec {
        OptionSpec::new(name, help, Kind::Flag)
    }

    /// Sets the value to use if the operator gives none. Ignored for a secret and a flag.
    #[must_use]
    pub const fn default(self, value: &'static str) -> OptionSpec {
        OptionSpec { default: Some(value), ..self }
    }

    /// Converts the declaration to the contract's type.
    pub(crate) fn declare(&self) -> types::OptionSpec {
        types::OptionSpec {
            name: self.name.to_owned(),
            help: self.help.to_owned(),
            kind: match self.kind {
                Kind::Text => OptionKind::Text,
                Kind::Choice(words) => OptionKind::Choice(words.iter().map(|word| (*word).to_owned()).collect()),
                Kind::Many => OptionKind::Many,
                Kind::Secret => OptionKind::Secret,
                Kind::Flag => OptionKind::Flag,
            },
            default: self.default.map(str::to_owned),
        }
    }
}

/// The values of a collector's options.
///
/// Reading an option that the collector does not declare is a bug in the collector, and panics. The type does not
/// implement `Debug`, because a value can be a secret.
#[derive(Clone)]
pub struct Options {
    declared: &'static [OptionSpec],
    values: Vec<OptionValue>,
}

impl Options {
    /// Options for unit tests: these names and values, and the defaults of all other options.
    pub fn of<C: Collector>(given: &[(&str, &str)]) -> Options {
        let value = |name: &str, value: &str| OptionValue { name: name.to_owned(), value: value.to_owned() };
        let is_given = |spec: &OptionSpec| given.iter().any(|(name, _)| *name == spec.name);
        let defaults = C::OPTIONS.iter().filter(|spec| !is_given(spec));
        let defaults = defaults.filter_map(|spec| Some(value(spec.name, spec.default?)));
        let values = given.iter().map(|(name, text)| value(name, text)).chain(defaults).collect();
        Options::given::<C>(values)
    }

    /// Options as the host passes them.
    #[doc(hidden)]
    pub fn given<C: Collector>(values: Vec<OptionValue>) -> Options {
        Options { declared: C::OPTIONS, values }
    }

    /// Returns the value of a text, a choice or a secret. Empty if none is given and there is no default.
    ///
    /// # Panics
    /// If the collector does not declare the option.
    pub fn text(&self, name: &str) -> &str {
        self.find(name).unwrap_or_default()
    }

    /// Returns the value of a text, a choice or a secret. `None` if none is given and there is no default.
    ///
    /// # Panics
    /// If the collector does not declare the option.
    pub fn find(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Returns all values of an option of kind `many`, in the order of the command line.
    ///
    /// # Panics
    /// If the collector does not declare the option.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let declared = self.declared.iter().find(|spec| spec.name == name);
        let name = declared.unwrap_or_else(|| panic!("the collector does not declare the option '{name}'")).name;
        self.values.iter().filter(move |option| option.name == name).map(|option| option.value.as_str())
    }

    /// Returns true if the flag is given.
    ///
    /// # Panics
    /// If the collector does not declare the option.
    pub fn flag(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Parses the value of a text, such as a number. `None` if none is given and there is no default.
    ///
    /// # Errors
    /// If the value cannot be parsed. The text names the option and its value, and suits [`Collector::graphs`].
    ///
    /// # Panics
    /// If the collector does not declare the option.
    pub fn parse<T: FromStr>(&self, name: &str) -> Result<Option<T>, String>
    where
        T::Err: std::fmt::Display,
    {
        let parse = |text: &str| text.parse().map_err(|error| format!("--{name} '{text}': {error}"));
        self.find(name).map(parse).transpose()
    }

    /// Returns the value of an option that is a path of a URL.
    ///
    /// # Errors
    /// If the path does not begin with `/`. The text names the option and its value, and suits [`Collector::graphs`].
    ///
    /// # Panics
    /// If the collector does not declare the option.
    pub fn path(&self, name: &str) -> Result<&str, String> {
        let path = self.text(name);
        if path.starts_with('/') { Ok(path) } else { Err(format!("--{name} '{path}' does not begin with '/'")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CollectError, Report, Target};

    struct Tested;

    impl Collector for Tested {
        const NAME: &str = "some";
        const SUMMARY: &str = "For the tests";
        const OPTIONS: &[OptionSpec] = &[
            OptionSpec::text("path", "").default("/stats"),
            OptionSpec::text("top", ""),
            OptionSpec::many("queue", ""),
            OptionSpec::flag("wide", ""),
        ];

        fn collect(_: &Target, _: &Options) -> Result<Report, CollectError> {
            Ok(Report::new())
        }
    }

    #[test]
    fn a_value_that_is_not_given_is_the_default() {
        let none = Options::of::<Tested>(&[]);
        assert_eq!((none.text("path"), none.text("top"), none.find("top")), ("/stats", "", None));
        assert_eq!((none.all("queue").count(), none.flag("wide")), (0, false));
        assert_eq!(none.parse::<u32>("top"), Ok(None));
        let some =
            Options::of::<Tested>(&[("queue", "a"), ("path", "x"), ("queue", "b"), ("wide", "true"), ("top", "9")]);
        assert_eq!(some.all("queue").collect::<Vec<_>>(), ["a", "b"]);
        assert!(some.flag("wide"));
        assert_eq!(some.parse("top"), Ok(Some(9_u32)));
        assert_eq!(some.path("path"), Err("--path 'x' does not begin with '/'".to_owned()));
    }

    #[test]
    fn a_malformed_number_is_an_error_with_option_and_value() {
        let options = Options::of::<Tested>(&[("top", "many")]);
        assert_eq!(options.parse::<u32>("top").unwrap_err(), "--top 'many': invalid digit found in string");
    }

    #[test]
    #[should_panic(expected = "the collector does not declare the option 'pth'")]
    fn reading_an_undeclared_option_panics() {
        Options::of::<Tested>(&[]).text("pth");
    }
}
