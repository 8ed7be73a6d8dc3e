//! A reader of JSON objects.
//!
//! ```
//! use mackerel_collector::json;
//!
//! let object = json::read(br#"{"jobs": {"waiting": 3}, "state": "busy"}"#, "a queue's JSON object")?;
//! assert_eq!(object.number("jobs.waiting")?, Some(3.0));
//! assert_eq!(object.number("jobs.done")?, None);
//! let error = object.number("state").unwrap_err();
//! assert_eq!(error, mackerel_collector::CollectError::unexpected("state is a string, not a number"));
//! # Ok::<(), mackerel_collector::CollectError>(())
//! ```

use std::collections::BTreeMap;

use serde_json::Map;
use serde_json::value::RawValue;

pub use serde_json::Value;

use crate::CollectError;

/// The length of the excerpt of invalid JSON in an error, in characters.
const EXCERPT: usize = 40;

/// A byte-order mark, with which some programs begin a document.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// The depth of objects in which numbers beyond the range of a float cost only themselves.
const DEPTH: usize = 8;

/// A JSON object.
#[derive(Debug, Clone, PartialEq)]
pub struct Object(Map<String, Value>);

/// Parses a JSON object. `expected` describes the object in error messages.
///
/// A byte-order mark is skipped. A number beyond the range of a float becomes `null`.
///
/// # Errors
/// [`CollectError::Unexpected`] if the body is not JSON, is truncated, or is another JSON value.
pub fn read(body: &[u8], expected: &str) -> Result<Object, CollectError> {
    let body = body.strip_prefix(MARK).unwrap_or(body);
    let value = serde_json::from_slice(body).or_else(|error| {
        // Another parser, which does not look at values, tells a number that is too large from broken JSON.
        let raw: Result<&RawValue, _> = serde_json::from_slice(body);
        raw.map(|raw| representable(raw, DEPTH)).map_err(|_| error)
    });
    let text = match value {
        Ok(Value::Object(fields)) => return Ok(Object(fields)),
        Ok(other) => format!("{} instead of {expected}", kind(&other)),
        Err(error) if body.is_empty() || error.is_eof() => "truncated JSON".to_owned(),
        Err(error) => {
            let excerpt: String = String::from_utf8_lossy(body).chars().take(EXCERPT).collect();
            format!("invalid JSON ({error}): {excerpt}")
        }
    };
    Err(CollectError::Unexpected(text))
}

/// Converts a value. Of those that cannot be represented, fields of objects become `null` one by one.
fn representable(raw: &RawValue, depth: usize) -> Value {
    if let Ok(value) = serde_json::from_str(raw.get()) {
        return value;
    }
    let fields: BTreeMap<String, &RawValue> = match serde_json::from_str(raw.get()) {
        Ok(fields) if depth > 0 => fields,
        _ => return Value::Null,
    };
    fields.into_iter().map(|(name, raw)| (name, representable(raw, depth - 1))).collect()
}

impl Object {
    /// Returns the field at this path: names of nested fields, joined by dots. `None` if there is no such field.
    ///
    /// # Errors
    /// [`CollectError::Unexpected`] if a field on the path, except the last, is not an object.
    pub fn field(&self, path: &str) -> Result<Option<&Value>, CollectError> {
        let (mut fields, mut end) = (&self.0, 0);
        for name in path.split('.') {
            let Some(value) = fields.get(name) else { return Ok(None) };
            end += name.len();
            if end == path.len() {
                return Ok(Some(value));
            }
            fields = value.as_object().ok_or_else(|| mismatch(&path[..end], value, "an object"))?;
            end += 1;
        }
        Ok(None)
    }

    /// Returns the names of the fields that are objects and have one of these fields themselves.
    pub fn objects_with<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = &'a str> {
        let has_one =
            |value: &Value| value.as_object().is_some_and(|fields| names.iter().any(|name| fields.contains_key(*name)));
        self.0.iter().filter(move |(_, value)| has_one(value)).map(|(name, _)| name.as_str())
    }

    /// Returns the number at this path, or `None` if there is no such field.
    ///
    /// # Errors
    /// As [`field`](Object::field), and if the value is not a number. `null` is not a number.
    pub fn number(&self, path: &str) -> Result<Option<f64>, CollectError> {
        let number = |value: &Value| value.as_f64().ok_or_else(|| mismatch(path, value, "a number"));
        self.field(path)?.map(number).transpose()
    }

    /// Returns the string at this path, or `None` if there is no such field.
    ///
    /// # Errors
    /// As [`field`](Object::field), and if the value is not a string. `null` is not a string.
    pub fn text(&self, path: &str) -> Result<Option<&str>, CollectError> {
        let text = |value| Value::as_str(value).ok_or_else(|| mismatch(path, value, "a string"));
        self.field(path)?.map(text).transpose()
    }
}

fn mismatch(path: &str, value: &Value, expected: &str) -> CollectError {
    CollectError::Unexpected(format!("{path} is {}, not {expected}", kind(value)))
}

/// The type of a JSON value, for error messages.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_too_large_costs_only_itself() {
        let object = read(b"\xef\xbb\xbf{\"a\":1e999,\"b\":{\"c\":-1e999,\"d\":2},\"e\":[1e999],\"f\":3}", "").unwrap();
        assert_eq!(object.field("a"), Ok(Some(&Value::Null)));
        assert_eq!(object.field("b.c"), Ok(Some(&Value::Null)));
        assert_eq!(object.number("b.d"), Ok(Some(2.0)));
        assert_eq!(object.field("e"), Ok(Some(&Value::Null)));
        assert_eq!(object.number("f"), Ok(Some(3.0)));
        let nested = format!("{{\"a\":{}1e999{}}}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
        assert_eq!(read(nested.as_bytes(), "").unwrap().field("a.a.a.a.a.a.a.a"), Ok(Some(&Value::Null)));
    }

    #[test]
    fn a_nested_field_is_found_by_its_path() {
        let object = read(br#"{"a":{"b":{"c":1.5}},"d":[1],"":{"":2}}"#, "").unwrap();
        assert_eq!(object.number("a.b.c"), Ok(Some(1.5)));
        assert_eq!(object.number("."), Ok(Some(2.0)));
        for absent in ["a.x", "a.b.x", "x", "x.y"] {
            assert_eq!(object.number(absent), Ok(None), "{absent}");
        }
        for (path, error) in [
            ("a.b", "a.b is an object, not a number"),
            ("d", "d is an array, not a number"),
            ("d.e", "d is an array, not an object"),
            ("a.b.c.d", "a.b.c is a number, not an object"),
        ] {
            assert_eq!(object.number(path).unwrap_err(), CollectError::unexpected(error));
        }
    }
}
