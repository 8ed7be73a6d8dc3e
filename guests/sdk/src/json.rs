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

use serde_json::Map;

pub use serde_json::Value;

use crate::CollectError;

/// The length of the excerpt of invalid JSON in an error, in characters.
const EXCERPT: usize = 40;

/// A JSON object.
#[derive(Debug, Clone, PartialEq)]
pub struct Object(Map<String, Value>);

/// Parses a JSON object. `expected` describes the object in error messages.
///
/// # Errors
/// [`CollectError::Unexpected`] if the body is not JSON, is truncated, or is another JSON value.
pub fn read(body: &[u8], expected: &str) -> Result<Object, CollectError> {
    let text = match serde_json::from_slice(body) {
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
