//! Error statuses of HTTP: what the response says about the reason, and the option that helps.

use std::fmt;

use hyper::header::{HeaderMap, LOCATION, WWW_AUTHENTICATE};
use hyper::{StatusCode, Uri};
use url::{Position, Url};

use super::http_settings::HttpSettings;
use crate::text::{Foreign, foreign};

/// The bytes of a body that are kept: the first line of a page stands after its head.
const KEPT: usize = 2048;

/// The characters of the body that are shown.
const SHOWN: usize = 120;

/// A response with an error status.
#[derive(Debug, Clone)]
pub struct ErrorStatus {
    status: u16,
    /// Notes about its header fields.
    notes: Vec<String>,
    /// The beginning of the body.
    body: Vec<u8>,
    /// The advice if the body says that the port uses TLS.
    tls_hint: Option<&'static str>,
    /// The advice if the body says that the name of the host is wrong.
    host_hint: Option<&'static str>,
}

impl ErrorStatus {
    /// Notes the header fields of a response to a request for `url`.
    pub fn new(status: StatusCode, headers: &HeaderMap, url: &Url, settings: &HttpSettings) -> ErrorStatus {
        let hints = settings.hints;
        let mut notes: Vec<String> = location(headers, url, settings).into_iter().collect();
        if status == StatusCode::UNAUTHORIZED {
            notes.push(challenge(headers, settings));
        }
        if status == StatusCode::NOT_FOUND && hints.has_path {
            notes.push("check --path".to_owned());
        }
        let host_hint = (!settings.has_host()).then_some("try --http-header 'Host: NAME'");
        if status == StatusCode::MISDIRECTED_REQUEST {
            notes.extend(host_hint.map(str::to_owned));
        }
        let tls_hint = (status == StatusCode::BAD_REQUEST && url.scheme() == "http" && hints.has_scheme)
            .then_some("try --scheme https");
        let host_hint = host_hint.filter(|_| status.is_client_error() && status != StatusCode::MISDIRECTED_REQUEST);
        ErrorStatus { status: status.as_u16(), notes, body: Vec::new(), tls_hint, host_hint }
    }

    /// Keeps a part of the body.
    pub fn add_body(&mut self, bytes: &[u8]) {
        let rest = KEPT - self.body.len();
        self.body.extend_from_slice(&bytes[..rest.min(bytes.len())]);
    }

    /// Returns the status alone.
    #[must_use]
    pub fn without_details(&self) -> ErrorStatus {
        ErrorStatus { status: self.status, notes: Vec::new(), body: Vec::new(), tls_hint: None, host_hint: None }
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns what follows the status: the first line of the body, and the notes.
    pub fn details(&self) -> String {
        let excerpt = excerpt(&self.body, self.status);
        let mut details = excerpt.map(|excerpt| format!(": {excerpt}")).unwrap_or_default();
        let body = String::from_utf8_lossy(&self.body).to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| body.contains(word));
        let tls = self.tls_hint.filter(|_| says(&["https", "requires tls", "ssl-enabled"]));
        let host = self.host_hint.filter(|_| says(&["host header", "blocked host", "allowed_hosts"]));
        for note in self.notes.iter().map(String::as_str).chain(tls).chain(host) {
            details.push_str("; ");
            details.push_str(note);
        }
        details
    }
}

impl fmt::Display for ErrorStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the target returned {}{}", line(self.status), self.details())
    }
}

/// Returns a status with its words: "HTTP 404 Not Found".
pub fn line(status: u16) -> String {
    format!("HTTP {}", words(status))
}

fn words(status: u16) -> String {
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    reason.map_or_else(|| status.to_string(), |reason| format!("{status} {reason}"))
}

/// Parts of the addresses of pages on which people log in.
const LOGIN: [&str; 6] = ["login", "signin", "sign_in", "sign-in", "oauth", "sso"];

/// Notes the place that a response points to, and the option that leads there.
fn location(headers: &HeaderMap, url: &Url, settings: &HttpSettings) -> Option<String> {
    let location = String::from_utf8_lossy(headers.get(LOCATION)?.as_bytes()).into_owned();
    let note = format!("Location: {}", foreign(&location));
    let Ok(there) = url.join(&location) else { return Some(note) };
    let is_same_host =
        there.host_str() == url.host_str() && there.port_or_known_default() == url.port_or_known_default();
    let path = &there[Position::BeforePath..Position::AfterQuery];
    let begin = if is_same_host { Position::BeforePath } else { Position::BeforeHost };
    let place = there[begin..Position::AfterPath].to_lowercase();
    let is_login = LOGIN.iter().any(|part| place.contains(part));
    let hint = if is_login && settings.authorization_from.is_none() {
        "log in with --http-user, --http-bearer-token-file or --http-header-file".to_owned()
    } else if !is_same_host {
        return Some(note);
    } else if there.scheme() == "https" && url.scheme() == "http" && settings.hints.has_scheme {
        "try --scheme https".to_owned()
    } else if there.scheme() == url.scheme()
        && settings.hints.has_path
        && path != &url[Position::BeforePath..Position::AfterQuery]
        // A request for another path would have to be typed: it is quoted for a shell.
        && let Ok(quoted) = shlex::try_quote(path)
    {
        format!("try --path {}", foreign(&quoted))
    } else {
        return Some(note);
    };
    Some(format!("{note}: {hint}"))
}

/// Notes the credentials that a response asks for, and the option that gives them.
fn challenge(headers: &HeaderMap, settings: &HttpSettings) -> String {
    let challenges: Vec<String> = headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .map(|value| foreign(&String::from_utf8_lossy(value.as_bytes())).to_string())
        .collect();
    let has = |scheme: &str| {
        let is_scheme = |word: &str| word.trim_end_matches(',').eq_ignore_ascii_case(scheme);
        challenges.iter().any(|challenge| challenge.split_whitespace().any(is_scheme))
    };
    let hint = if let Some(option) = settings.authorization_from {
        format!("the credentials of {option} were rejected")
    } else if has("basic") {
        "use --http-user and --http-password-file".to_owned()
    } else if has("bearer") {
        "use --http-bearer-token-file".to_owned()
    } else if challenges.is_empty() {
        "use --http-user, --http-bearer-token-file or --http-header-file".to_owned()
    } else {
        "this scheme is not supported; try --http-header-file".to_owned()
    };
    if challenges.is_empty() { hint } else { format!("WWW-Authenticate: {}: {hint}", challenges.join(", ")) }
}

/// Returns the URL of a request, which a `Location` is compared with.
///
/// # Errors
/// If its parts are not those of a URL.
pub fn url(by_tls: bool, authority: &str, path: &Uri) -> Result<Url, url::ParseError> {
    Url::parse(&format!("{}://{authority}{path}", if by_tls { "https" } else { "http" }))
}

/// Returns the first line of a body that says more than its status, without the tags of HTML.
fn excerpt(body: &[u8], status: u16) -> Option<Foreign> {
    let text = String::from_utf8_lossy(body);
    if text.contains('\0') || text.chars().filter(|c| *c == char::REPLACEMENT_CHARACTER).count() > 3 {
        return None;
    }
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    let lines: Vec<String> = match text.chars().next()? {
        '<' => lines_of_html(text),
        '{' | '[' => vec![text.to_owned()],
        _ => text.lines().map(str::to_owned).collect(),
    };
    let words = words(status);
    let (number, reason) = words.split_once(' ').unwrap_or((&words, ""));
    let is_news =
        |line: &String| ![words.as_str(), number, reason, ""].iter().any(|known| line.eq_ignore_ascii_case(known));
    let mut lines = lines.into_iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let line = lines.find(is_news)?;
    let line = line.trim_end_matches('.');
    Some(match line.char_indices().nth(SHOWN) {
        Some((end, _)) => foreign(&format!("{}…", &line[..end])),
        None => foreign(line),
    })
}

/// Tags within a line.
const INLINE: [&str; 10] = ["a", "abbr", "b", "code", "em", "i", "small", "span", "strong", "tt"];

/// Returns the lines of HTML or XML without its tags.
fn lines_of_html(text: &str) -> Vec<String> {
    let mut shown = String::new();
    let mut hidden_until: Option<&str> = None;
    for piece in text.split('<') {
        // The last tag can be cut.
        let Some((tag, content)) = piece.split_once('>') else { continue };
        let name = tag.split(|c: char| c.is_whitespace()).next().unwrap_or_default().to_ascii_lowercase();
        match hidden_until {
            Some(end) if name == end => hidden_until = None,
            None if name == "style" => hidden_until = Some("/style"),
            None if name == "script" => hidden_until = Some("/script"),
            Some(_) | None => {}
        }
        if !INLINE.contains(&name.trim_start_matches('/')) {
            shown.push('\n');
        }
        if hidden_until.is_none() {
            shown.push_str(content);
        }
    }
    shown.lines().map(unescaped).collect()
}

fn unescaped(text: &str) -> String {
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&nbsp;", " "), ("&amp;", "&")];
    entities.iter().fold(text.to_owned(), |text, (entity, character)| text.replace(entity, character))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::http_settings::Hints;

    fn details(status: u16, fields: &[(&'static str, &'static str)], body: &str, settings: &HttpSettings) -> String {
        let headers = fields.iter().map(|(name, value)| {
            (hyper::header::HeaderName::from_static(name), hyper::header::HeaderValue::from_static(value))
        });
        let url = url(false, "127.0.0.1:8080", &Uri::from_static("/stats?all=1")).unwrap();
        let status = StatusCode::from_u16(status).unwrap();
        let mut status = ErrorStatus::new(status, &headers.collect(), &url, settings);
        status.add_body(body.as_bytes());
        status.details()
    }

    #[test]
    fn the_first_line_of_a_body_that_says_more_than_the_status_is_shown() {
        for (body, expected) in [
            ("", ""),
            ("Not Found", ""),
            ("404", ""),
            ("404 Not Found\r\n\r\n no such  route.\n more", ": no such route"),
            ("{\n  \"error\": \"x\"\n}", ": { \"error\": \"x\" }"),
            (
                "<html><head><title>Not Found</title></head><body><p>No <a href=\"/\">page</a> here</p></body>",
                ": No page here",
            ),
            ("<!DOCTYPE html><style>a{}</style><script>var a = '<p>';</script><h1>Oops &lt;1&gt;</h1>", ": Oops <1>"),
            ("<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code></Error>", ": NoSuchKey"),
            ("\u{feff}\u{1b}[31mred", ": \\u{1b}[31mred"),
            ("\u{0}\u{1}binary", ""),
        ] {
            assert_eq!(details(404, &[], body, &HttpSettings::default()), expected, "{body:?}");
        }
        let long = details(500, &[], &"x".repeat(10_000), &HttpSettings::default());
        assert_eq!(long, format!(": {}…", "x".repeat(SHOWN)));
    }

    #[test]
    fn a_location_names_the_option_that_leads_there() {
        let hints = Hints { has_scheme: true, has_path: true };
        let settings = HttpSettings { hints, ..HttpSettings::default() };
        for (location, expected) in [
            ("/stats/", "; Location: /stats/: try --path /stats/"),
            ("other#here", "; Location: other#here: try --path /other"),
            ("http://127.0.0.1:8080/a b", "; Location: http://127.0.0.1:8080/a b: try --path '/a%20b'"),
            ("/stats?all=1", "; Location: /stats?all=1"),
            ("https://127.0.0.1:8080/stats", "; Location: https://127.0.0.1:8080/stats: try --scheme https"),
            ("https://127.0.0.1/stats", "; Location: https://127.0.0.1/stats"),
            ("http://127.0.0.1:8080@evil.example/", "; Location: http://127.0.0.1:8080@evil.example/"),
            ("//evil.example/", "; Location: //evil.example/"),
            ("http://[", "; Location: http://["),
            (
                "https://sso.example/start",
                "; Location: https://sso.example/start: log in with --http-user, --http-bearer-token-file or \
                 --http-header-file",
            ),
        ] {
            assert_eq!(details(302, &[("location", location)], "", &settings), expected);
        }
        let without_options = details(302, &[("location", "/stats/")], "", &HttpSettings::default());
        assert_eq!(without_options, "; Location: /stats/");
    }

    #[test]
    fn rejected_credentials_name_their_option() {
        let settings = HttpSettings { authorization_from: Some("--http-user"), ..HttpSettings::default() };
        let fields = [("www-authenticate", "Negotiate"), ("www-authenticate", "basic realm=\"a\"")];
        assert_eq!(
            details(401, &fields, "", &settings),
            "; WWW-Authenticate: Negotiate, basic realm=\"a\": the credentials of --http-user were rejected"
        );
        assert_eq!(
            details(401, &fields, "", &HttpSettings::default()),
            "; WWW-Authenticate: Negotiate, basic realm=\"a\": use --http-user and --http-password-file"
        );
    }
}
