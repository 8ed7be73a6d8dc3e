//! A connection to `PostgreSQL`: the start, the login, and simple queries.

use std::io::{self, Read, Write};

use bytes::BytesMut;
use fallible_iterator::FallibleIterator as _;
use mackerel_collector::CollectError;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::backend::{DataRowBody, ErrorResponseBody, Message};
use postgres_protocol::message::frontend;

/// The largest response to one query, in bytes. The collector's largest has some hundred.
const LIMIT: usize = 1 << 20;

/// The user, password and database.
pub(crate) struct Login<'a> {
    pub(crate) user: &'a str,
    pub(crate) password: Option<&'a str>,
    pub(crate) database: &'a str,
}

/// A row of a result: values as text, `None` for `NULL`.
pub(crate) type Row = Vec<Option<String>>;

/// An open connection.
pub(crate) struct Connection<S> {
    stream: S,
    received: BytesMut,
}

/// A failure of a query. The connection stays usable after a refusal.
#[derive(Debug)]
pub(crate) enum QueryError {
    /// The server refused the query. The text is its message.
    Refused(String),
    /// The connection is broken.
    Broken(CollectError),
}

impl From<io::Error> for QueryError {
    fn from(error: io::Error) -> QueryError {
        QueryError::Broken(error.into())
    }
}

impl<S: Read + Write> Connection<S> {
    /// Starts a session.
    pub(crate) fn open(stream: S, login: &Login) -> Result<Connection<S>, CollectError> {
        let mut connection = Connection { stream, received: BytesMut::new() };
        let parameters = [
            ("user", login.user),
            ("database", login.database),
            ("application_name", "mackerel-plugin-wasm"),
            ("client_encoding", "UTF8"),
        ];
        connection.send(|buffer| frontend::startup_message(parameters, buffer))?;
        connection.log_in(login)?;
        loop {
            match connection.receive()? {
                Message::ReadyForQuery(_) => return Ok(connection),
                Message::ErrorResponse(body) => return Err(refused(&body).into()),
                _ => {}
            }
        }
    }

    fn log_in(&mut self, login: &Login) -> Result<(), CollectError> {
        let mut scram = None;
        loop {
            let required = || login.password.ok_or("password required (--password-file)");
            match self.receive()? {
                Message::AuthenticationOk => return Ok(()),
                Message::AuthenticationMd5Password(body) => {
                    let hash = md5_hash(login.user.as_bytes(), required()?.as_bytes(), body.salt());
                    self.send(|buffer| frontend::password_message(hash.as_bytes(), buffer))?;
                }
                Message::AuthenticationSasl(body) => {
                    if !body.mechanisms().any(|mechanism| Ok(mechanism == SCRAM_SHA_256))? {
                        return Err("unsupported authentication: SASL without SCRAM-SHA-256".into());
                    }
                    let started = ScramSha256::new(required()?.as_bytes(), ChannelBinding::unsupported());
                    self.send(|buffer| frontend::sasl_initial_response(SCRAM_SHA_256, started.message(), buffer))?;
                    scram = Some(started);
                }
                Message::AuthenticationSaslContinue(body) => {
                    let scram = scram.as_mut().ok_or("invalid response: SASL continues before it began")?;
                    scram.update(body.data()).map_err(|_| "invalid response: SASL")?;
                    self.send(|buffer| frontend::sasl_response(scram.message(), buffer))?;
                }
                // The proof that the server knows the password too.
                Message::AuthenticationSaslFinal(body) => {
                    let scram = scram.as_mut().ok_or("invalid response: SASL ends before it began")?;
                    scram.finish(body.data()).map_err(|_| "the server does not know the password")?;
                }
                // A false server could read the password.
                Message::AuthenticationCleartextPassword => {
                    return Err("unsupported authentication: the password in clear text; use scram-sha-256".into());
                }
                Message::ErrorResponse(body) => return Err(refused(&body).into()),
                Message::NoticeResponse(_) => {}
                _ => return Err("unsupported authentication: use scram-sha-256, md5 or trust in pg_hba.conf".into()),
            }
        }
    }

    /// Returns the rows of a query.
    pub(crate) fn query(&mut self, query: &str) -> Result<Vec<Row>, QueryError> {
        self.send(|buffer| frontend::query(query, buffer))?;
        let (mut rows, mut failure) = (Vec::new(), None);
        loop {
            match self.receive()? {
                Message::DataRow(body) => rows.push(row(&body)?),
                Message::ErrorResponse(body) => failure = Some(refused(&body)),
                Message::ReadyForQuery(_) => return failure.map_or(Ok(rows), |text| Err(QueryError::Refused(text))),
                _ => {}
            }
        }
    }

    fn send(&mut self, write: impl FnOnce(&mut BytesMut) -> io::Result<()>) -> io::Result<()> {
        let mut buffer = BytesMut::new();
        write(&mut buffer)?;
        self.stream.write_all(&buffer)
    }

    /// Waits for a message.
    fn receive(&mut self) -> io::Result<Message> {
        loop {
            // Detects other servers: text, such as a response by HTTP, would announce an enormous length.
            if let Some(length) =
                self.received.get(1..5).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes)
                && length as usize > LIMIT
            {
                return Err(io::Error::other("not a message of PostgreSQL"));
            }
            if let Some(message) = Message::parse(&mut self.received)? {
                return Ok(message);
            }
            let mut part = [0; 4096];
            let length = self.stream.read(&mut part)?;
            if length == 0 {
                return Err(io::Error::other("connection closed before its end"));
            }
            self.received.extend_from_slice(&part[..length]);
        }
    }
}

fn row(body: &DataRowBody) -> io::Result<Row> {
    let text = |range| String::from_utf8_lossy(body.buffer().get(range).unwrap_or_default()).into_owned();
    body.ranges().map(|range| Ok(range.map(text))).collect()
}

/// Returns the server's message.
fn refused(body: &ErrorResponseBody) -> String {
    let mut fields = body.fields();
    while let Ok(Some(field)) = fields.next() {
        if field.type_() == b'M' {
            return String::from_utf8_lossy(field.value_bytes()).into_owned();
        }
    }
    "an error without a message".to_owned()
}
