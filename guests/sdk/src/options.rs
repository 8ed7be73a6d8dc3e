//! The options that a collector takes, and their values.

use std::str::FromStr;

use crate::Collector;
use crate::bindings::mackerel::collector::types::{self, OptionKind, OptionValue};

/// An option, as a constant. The host makes it a flag of the command line, beside its own.
///
/// ```
/// use mackerel_collector::OptionSpec;
///
/// const OPTIONS: &[OptionSpec] = &[
///     OptionSpec::text("path", "The path of the statistics").default("/stats"),
///     OptionSpec::choice("detail", "How much is shown", &["little", "all"]).default("little"),
///     OptionSpec::many("queue", "Only queues of this name"),
///     OptionSpec::secret("password", "The password"),
///     OptionSpec::flag("verbose", "Shows every job"),
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

    /// Any text, once. The name is in the characters `a-z`, `0-9` and `-`, the help is one line.
    pub const fn text(name: &'static str, help: &'static str) -> OptionSpec {
        OptionSpec::new(name, help, Kind::Text)
    }

    /// One of these words, once.
    pub const fn choice(name: &'static str, help: &'static str, words: &'static [&'static str]) -> OptionSpec {
        OptionSpec::new(name, help, Kind::Choice(words))
    }

    /// Any text, as often as the operator likes.
    pub const fn many(name: &'static str, help: &'static str) -> OptionSpec {
        OptionSpec::new(name, help, Kind::Many)
    }

    /// A secret. The flag is `--NAME-file PATH`: the host reads the file, and shows its text nowhere.
    pub const fn secret(name: &'static str, help: &'static str) -> OptionSpec {
        OptionSpec::new(name, help, Kind::Secret)
    }

    /// Given or not given.
    pub const fn flag(name: &'static str, help: &'static str) -> OptionSpec {
        OptionSpec::new(name, help, Kind::Flag)
    }

    /// The same with a value for when the operator gives none. A secret or a flag has none.
    #[must_use]
    pub const fn default(self, value: &'static str) -> OptionSpec {
        OptionSpec { default: Some(value), ..self }
    }

    /// As the contract has it.
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
/// To ask for an option that the collector does not declare is a mistake of its author, and panics. There is no `Debug`: a value can be
/// a secret.
#[derive(Clone)]
pub struct Options {
    declared: &'static [OptionSpec],
    values: Vec<OptionValue>,
}

impl Options {
    /// As an operator gives them, for unit tests: by name and value, with the defaults of what is not given.
    pub fn of<C: Collector>(given: &[(&str, &str)]) -> Options {
        let value = |name: &str, value: &str| OptionValue { name: name.to_owned(), value: value.to_owned() };
        let is_given = |spec: &OptionSpec| given.iter().any(|(name, _)| *name == spec.name);
        let defaults = C::OPTIONS.iter().filter(|spec| !is_given(spec));
        let defaults = defaults.filter_map(|spec| Some(value(spec.name, spec.default?)));
        let values = given.iter().map(|(name, text)| value(name, text)).chain(defaults).collect();
        Options::given::<C>(values)
    }

    /// As the host gives them.
    #[doc(hidden)]
    pub fn given<C: Collector>(values: Vec<OptionValue>) -> Options {
        Options { declared: C::OPTIONS, values }
    }

    /// The value of a text, a choice or a secret; empty where none is given and there is no default.
    ///
    /// # Panics
    /// Where the collector declares no such option.
    pub fn text(&self, name: &str) -> &str {
        self.find(name).unwrap_or_default()
    }

    /// The value of a text, a choice or a secret, where one is given or there is a default.
    ///
    /// # Panics
    /// Where the collector declares no such option.
    pub fn find(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All values of an option that can be given often, in the order of the command line.
    ///
    /// # Panics
    /// Where the collector declares no such option.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let declared = self.declared.iter().find(|spec| spec.name == name);
        let name = declared.unwrap_or_else(|| panic!("the collector takes no option '{name}'")).name;
        self.values.iter().filter(move |option| option.name == name).map(|option| option.value.as_str())
    }

    /// Whether a flag is given.
    ///
    /// # Panics
    /// Where the collector declares no such option.
    pub fn flag(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The value of a text, read as a number or as whatever else can be read from text; `None` where none is given and there is no
    /// default.
    ///
    /// # Errors
    /// One that names the option and its value, fit for [`Collector::graphs`].
    ///
    /// # Panics
    /// Where the collector declares no such option.
    pub fn parse<T: FromStr>(&self, name: &str) -> Result<Option<T>, String>
    where
        T::Err: std::fmt::Display,
    {
        let read = |text: &str| text.parse().map_err(|error| format!("--{name} '{text}': {error}"));
        self.find(name).map(read).transpose()
    }

    /// The value of an option that is a path, which begins with `/`.
    ///
    /// # Errors
    /// One that names the option and its value, fit for [`Collector::graphs`].
    ///
    /// # Panics
    /// Where the collector declares no such option.
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
    fn values_are_those_given_and_else_the_defaults() {
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
    fn a_number_that_is_none_is_told_with_the_option_and_the_value() {
        let options = Options::of::<Tested>(&[("top", "many")]);
        assert_eq!(options.parse::<u32>("top").unwrap_err(), "--top 'many': invalid digit found in string");
    }

    #[test]
    #[should_panic(expected = "the collector takes no option 'pth'")]
    fn an_option_that_is_not_declared_is_a_mistake_of_the_author() {
        Options::of::<Tested>(&[]).text("pth");
    }
}
