//! Roles: Mackerel's groups of hosts, as `SERVICE:ROLE`.

use std::fmt;
use std::str::FromStr;

use crate::text::Expected;

/// A service and one of its roles, by Mackerel's rules for both names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// The service.
    pub service: String,
    /// The role.
    pub role: String,
}

impl FromStr for Role {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Role, Expected> {
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let is_name =
            |name: &str| (2..=63).contains(&name.len()) && name.chars().all(legal) && !name.starts_with(['-', '_']);
        match text.split_once(':') {
            Some((service, role)) if is_name(service) && is_name(role) => {
                Ok(Role { service: service.to_owned(), role: role.to_owned() })
            }
            _ => Err(Expected("SERVICE:ROLE, such as shop:api, each of 2 to 63 characters a-z, A-Z, 0-9, - and _")),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.service, self.role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_has_two_names_by_mackerels_rules() {
        assert_eq!("My-Service:app_2".parse::<Role>().unwrap().to_string(), "My-Service:app_2");
        let long = format!("shop:{}", "a".repeat(64));
        for text in
            ["", "shop", "shop:", ":api", "shop:a", "-shop:api", "shop:_api", "shop:a pi", "a:b:c", "shop:'", &long]
        {
            assert!(text.parse::<Role>().is_err(), "{text}");
        }
    }
}
