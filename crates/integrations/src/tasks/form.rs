//! Values in addresses and forms: `application/x-www-form-urlencoded`, with AWS's ways to write lists.

use reqwest::Url;
use serde_json::Value;

/// A value as a text; lists and objects have none.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null => Some(String::new()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// Adds `QueryParameters` to an address; a list is its name, repeated.
pub(super) fn add_query(url: &mut Url, given: Option<&Value>) -> Result<(), String> {
    let given = match given {
        None => return Ok(()),
        Some(Value::Object(given)) if given.is_empty() => return Ok(()),
        Some(Value::Object(given)) => given,
        Some(_) => return Err("`QueryParameters` must be an object of texts".into()),
    };
    let mut pairs = url.query_pairs_mut();
    for (name, value) in given {
        let values = match value {
            Value::Array(values) => values.iter().collect(),
            value => vec![value],
        };
        for value in values {
            let text = scalar(value)
                .ok_or_else(|| format!("query parameter `{name}` must be a text or a list of texts"))?;
            pairs.append_pair(name, &text);
        }
    }
    Ok(())
}

/// An object as a form. `arrays` says how lists are written: `INDICES` (`a[0]=1`), `REPEAT` (`a=1&a=2`),
/// `COMMAS` (`a=1,2`), `BRACKETS` (`a[]=1`) or `NONE` (lists are refused).
pub(super) fn encode(body: &Value, arrays: &str) -> Result<String, String> {
    let Value::Object(fields) = body else {
        return Err("a URL-encoded `RequestBody` must be an object".into());
    };
    // Only for its encoder; the address itself goes nowhere.
    let mut url = Url::parse("http://form.invalid/").map_err(|error| error.to_string())?;
    for (name, value) in fields {
        add(&mut url, name, value, arrays, 0)?;
    }
    Ok(url.query().unwrap_or_default().to_string())
}

fn add(url: &mut Url, name: &str, value: &Value, arrays: &str, depth: usize) -> Result<(), String> {
    if depth > 16 {
        return Err("a URL-encoded `RequestBody` is nested too deep".into());
    }
    let pair = |url: &mut Url, name: &str, value: &str| {
        url.query_pairs_mut().append_pair(name, value);
    };
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                add(url, &format!("{name}[{field}]"), value, arrays, depth + 1)?;
            }
        }
        Value::Array(values) => match arrays {
            "INDICES" => {
                for (index, value) in values.iter().enumerate() {
                    add(url, &format!("{name}[{index}]"), value, arrays, depth + 1)?;
                }
            }
            "REPEAT" => {
                for value in values {
                    add(url, name, value, arrays, depth + 1)?;
                }
            }
            "BRACKETS" => {
                for value in values {
                    add(url, &format!("{name}[]"), value, arrays, depth + 1)?;
                }
            }
            "COMMAS" => {
                let texts: Option<Vec<_>> = values.iter().map(scalar).collect();
                let texts = texts.ok_or_else(|| format!("`{name}` holds more than texts and numbers"))?;
                pair(url, name, &texts.join(","));
            }
            "NONE" => return Err(format!("`{name}` is a list, and `ArrayFormat` is NONE")),
            other => {
                return Err(format!(
                    "`ArrayFormat` cannot be `{other}`: there is INDICES, REPEAT, COMMAS, BRACKETS and NONE"
                ));
            }
        },
        scalar_value => pair(url, name, &scalar(scalar_value).unwrap_or_default()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_are_written_as_asked() {
        let body = json!({"a": [1, 2], "b": {"c": "x y"}});
        let cases = [
            ("INDICES", Ok("a%5B0%5D=1&a%5B1%5D=2&b%5Bc%5D=x+y")),
            ("REPEAT", Ok("a=1&a=2&b%5Bc%5D=x+y")),
            ("COMMAS", Ok("a=1%2C2&b%5Bc%5D=x+y")),
            ("BRACKETS", Ok("a%5B%5D=1&a%5B%5D=2&b%5Bc%5D=x+y")),
            ("NONE", Err("`a` is a list, and `ArrayFormat` is NONE")),
        ];
        for (arrays, expected) in cases {
            assert_eq!(encode(&body, arrays), expected.map(String::from).map_err(String::from), "{arrays}");
        }
    }
}
