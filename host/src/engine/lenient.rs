//! Lenient JSON: a field of an unexpected form is dropped, and the rest of the response is used.

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _, Unexpected};
use serde_json::value::RawValue;

/// An object or a scalar, or `None` if it is missing, null or of another form.
#[derive(Debug, Clone)]
pub struct Lenient<T>(pub Option<T>);

impl<T> Default for Lenient<T> {
    fn default() -> Lenient<T> {
        Lenient(None)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Lenient<T>, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        // Serde takes a list for an object: its elements for the fields in their order.
        Ok(Lenient(if raw.starts_with('[') { None } else { serde_json::from_str(raw).ok() }))
    }
}

/// A list of objects, or `None` if it or one of them is missing, null or of another form.
#[derive(Debug, Clone)]
pub struct LenientList<T>(pub Option<Vec<T>>);

impl<T> Default for LenientList<T> {
    fn default() -> LenientList<T> {
        LenientList(None)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for LenientList<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<LenientList<T>, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        let all: Vec<Lenient<T>> = serde_json::from_str(raw.get()).unwrap_or_default();
        let is_list = raw.get().starts_with('[');
        Ok(LenientList(all.into_iter().map(|one| one.0).collect::<Option<Vec<T>>>().filter(|_| is_list)))
    }
}

/// A scalar, as a number or a text. Engines written in other languages than Go mix the two.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Count(u64),
    Number(serde_json::Number),
    Text(String),
    Truth(bool),
    Nothing(()),
}

/// A count: a whole number that is not negative, also as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(pub u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Count, D::Error> {
        let other = |found: &str| D::Error::invalid_value(Unexpected::Other(found), &"a count");
        match Scalar::deserialize(deserializer)? {
            Scalar::Count(count) => Ok(Count(count)),
            Scalar::Text(text) => text.parse().map(Count).map_err(|_| other(&text)),
            _ => Err(other("something else")),
        }
    }
}

impl Lenient<Count> {
    /// Returns the count.
    pub fn count(&self) -> Option<u64> {
        self.0.map(|Count(count)| count)
    }
}

/// A text, also a number or a truth value in its place. Null is an empty text.
#[derive(Debug, Clone)]
pub struct Text(pub String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        Ok(Text(match Scalar::deserialize(deserializer)? {
            Scalar::Count(count) => count.to_string(),
            Scalar::Number(number) => number.to_string(),
            Scalar::Text(text) => text,
            Scalar::Truth(truth) => truth.to_string(),
            Scalar::Nothing(()) => String::new(),
        }))
    }
}
