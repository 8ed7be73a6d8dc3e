//! Reading a JSON object by its fields.
//!
//! ```
//! use mackerel_collector::json;
//!
//! let answer = json::read(br#"{"jobs": {"waiting": 3}, "state": "busy"}"#, "a queue's JSON object")?;
//! assert_eq!(answer.number("jobs.waiting")?, Some(3.0));
//! assert_eq!(answer.number("jobs.done")?, None);
//! let error = answer.number("state").unwrap_err();
//! assert_eq!(error, mackerel_collector::CollectError::unexpected("state is a string, not a number"));
//! # Ok::<(), mackerel_collector::CollectError>(())
//! ```

use serde_json::Map;

pub use serde_json::Value;

use crate::CollectError;

/// How much of what is no JSON is shown, in characters.
const SHOWN: usize = 40;

/// A JSON object.
#[derive(Debug, Clone, PartialEq)]
pub struct Object(Map<String, Value>);

/// Reads a JSON object. `expected` says in an error what it should have been.
///
/// # Errors
/// What it is instead.
pub fn read(body: &[u8], expected: &str) -> Result<Object, CollectError> {
    let why = match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => return Ok(Object(fields)),
        Ok(other) => format!("{} instead of {expected}", kind(&other)),
        Err(error) if body.is_empty() || error.is_eof() => "JSON that ends too early".to_owned(),
        Err(error) => {
            let begin: String = String::from_utf8_lossy(body).chars().take(SHOWN).collect();
            format!("no readable JSON ({error}): {begin}")
        }
    };
    Err(CollectError::Unexpected(why))
}

impl Object {
    /// The field of this name, or of these names joined by dots, one in the other; `None` where there is none.
    ///
    /// # Errors
    /// Where what should hold the next is no object.
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

    /// The number in a field; `None` where there is no such field.
    ///
    /// # Errors
    /// What stands there instead. `null` is no number.
    pub fn number(&self, path: &str) -> Result<Option<f64>, CollectError> {
        let number = |value: &Value| value.as_f64().ok_or_else(|| mismatch(path, value, "a number"));
        self.field(path)?.map(number).transpose()
    }

    /// The text in a field; `None` where there is no such field.
    ///
    /// # Errors
    /// What stands there instead.
    pub fn text(&self, path: &str) -> Result<Option<&str>, CollectError> {
        let text = |value| Value::as_str(value).ok_or_else(|| mismatch(path, value, "a string"));
        self.field(path)?.map(text).transpose()
    }
}

fn mismatch(path: &str, value: &Value, expected: &str) -> CollectError {
    CollectError::Unexpected(format!("{path} is {}, not {expected}", kind(value)))
}

/// What a JSON value is, in words.
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
    fn a_field_within_fields_is_found_by_its_path() {
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
