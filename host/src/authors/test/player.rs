//! The player: a server that replays the responses of a recording, and nothing else.
//!
//! HTTP requests are matched by method, path and body; other protocols by the bytes that are sent. Connections come in
//! any order, and each recorded response is used once.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::loopback::{self, Loopback, Protocol};
use super::played::Played;
use super::recording::{self, Recording};
use super::transcript::{Conversation, Exchange, Turn};
use crate::address::Address;
use crate::mutex::lock;
use crate::sandbox::http::is_connection_header;
use crate::text::foreign;

/// The player.
pub struct Player {
    loopback: Loopback,
    play: Arc<Mutex<Play>>,
}

/// The progress of a replay, and its findings.
#[derive(Debug, Default)]
struct Play {
    exchanges: Vec<Exchange>,
    conversations: Vec<Conversation>,
    /// Exchanges that were replayed.
    used: BTreeSet<usize>,
    /// Conversations that were begun.
    claimed: BTreeSet<usize>,
    /// Conversations that the collector left before their end.
    left: BTreeSet<usize>,
    wrong: BTreeSet<String>,
}

impl Player {
    /// Starts a server with the recorded responses.
    ///
    /// # Errors
    /// If there is no free port.
    pub async fn start(recording: &Recording) -> Result<Player, loopback::Error> {
        let play = Play {
            exchanges: recording.exchanges.clone(),
            conversations: recording.conversations.clone(),
            ..Play::default()
        };
        let play = Arc::new(Mutex::new(play));
        let shared = Arc::clone(&play);
        let loopback = Loopback::start(move |client, _| serve(client, Arc::clone(&shared)));
        Ok(Player { loopback: loopback.await?, play })
    }

    /// Returns its address for the sandbox.
    pub fn address(&self) -> Address {
        self.loopback.as_target()
    }

    /// Ends it, and returns the findings.
    pub async fn finish(self) -> Played {
        self.loopback.finish().await;
        let play = lock(&self.play);
        let mut unused = Vec::new();
        for (index, exchange) in play.exchanges.iter().enumerate().filter(|(index, _)| !play.used.contains(index)) {
            unused.push(format!(
                "{} was not requested ({})",
                request_line(exchange),
                recording::name(index + 1, "http")
            ));
        }
        for index in 0..play.conversations.len() {
            let name = recording::name(index + 1, "tcp");
            if !play.claimed.contains(&index) {
                unused.push(format!("a recorded connection was not opened ({name})"));
            } else if play.left.contains(&index) {
                unused.push(format!("the collector closed a recorded connection early ({name})"));
            }
        }
        Played { wrong: play.wrong.iter().cloned().collect(), unused }
    }
}

async fn serve(mut client: TcpStream, play: Arc<Mutex<Play>>) {
    // Whose protocol lets the target speak first speaks no other one on that port.
    let first = lock(&play).begun_by_target();
    if let Some((index, conversation)) = first {
        return converse(client, Vec::new(), index, conversation, &play).await;
    }
    let mut begin = Vec::new();
    match loopback::listen(&mut client, &mut begin).await {
        None => {}
        Some(Protocol::Http) => {
            loopback::serve_http(client, begin, async |request| {
                let (head, body) = request.into_parts();
                let question = loopback::whole(body).await.ok()?;
                let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
                lock(&play).answer(head.method.as_str(), path, &question)
            })
            .await;
        }
        Some(Protocol::Tls) => {
            let wrong = "the collector uses TLS, which cannot be replayed";
            lock(&play).wrong.insert(wrong.to_owned());
            loopback::leave(client).await;
        }
        Some(Protocol::Other) => {
            loop {
                let choice = lock(&play).choose(&begin);
                match choice {
                    Match::This(index, conversation) => {
                        return converse(client, begin, index, conversation, &play).await;
                    }
                    Match::Incomplete => match client.read_buf(&mut begin).await {
                        Ok(1..) => {}
                        _ => break lock(&play).unknown(&begin),
                    },
                    Match::None => break lock(&play).unknown(&begin),
                }
            }
            loopback::leave(client).await;
        }
    }
}

/// The recorded conversation of a connection.
enum Match {
    /// This one.
    This(usize, Conversation),
    /// More bytes are needed.
    Incomplete,
    /// None of them.
    None,
}

impl Play {
    fn answer(&mut self, method: &str, path: &str, question: &[u8]) -> Option<Response<Full<Bytes>>> {
        let alike = |exchange: &&Exchange| exchange.method == method && exchange.path == path;
        let same = |exchange: &Exchange| alike(&exchange) && exchange.question == question;
        let free = |index: &usize| !self.used.contains(index);
        let found = (0..self.exchanges.len()).filter(free).find(|index| same(&self.exchanges[*index]));
        if let Some(index) = found {
            self.used.insert(index);
            return Some(response(&self.exchanges[index]));
        }
        let request = format!("{method} {}", foreign(path));
        let times = self.exchanges.iter().filter(|exchange| same(exchange)).count();
        let wrong = match self.exchanges.iter().find(alike) {
            Some(_) if times > 0 => format!("the collector sent {request} more often than recorded ({times})"),
            Some(exchange) => format!(
                "the collector sent {request} with the body {}, recorded with {}",
                quoted(question),
                quoted(&exchange.question)
            ),
            None => format!("the collector sent {request}, which is not recorded; recorded: {}", self.summary()),
        };
        self.wrong.insert(wrong);
        None
    }

    /// Returns the conversation of a connection on which these bytes were sent.
    fn choose(&mut self, sent: &[u8]) -> Match {
        let mut unclear = false;
        for (index, conversation) in self.conversations.iter().enumerate() {
            if self.claimed.contains(&index) {
                continue;
            }
            match conversation.turns.first() {
                Some(Turn::Sent(first)) if sent.starts_with(first) => {
                    let conversation = conversation.clone();
                    self.claimed.insert(index);
                    return Match::This(index, conversation);
                }
                Some(Turn::Sent(first)) => unclear |= first.starts_with(sent),
                _ => {}
            }
        }
        if unclear { Match::Incomplete } else { Match::None }
    }

    /// Returns the next conversation that the target begins, or that is empty.
    fn begun_by_target(&mut self) -> Option<(usize, Conversation)> {
        let begins = |conversation: &Conversation| !matches!(conversation.turns.first(), Some(Turn::Sent(_)));
        let all = self.conversations.iter().enumerate();
        let (index, conversation) = all
            .filter(|(index, conversation)| !self.claimed.contains(index) && begins(conversation))
            .map(|(index, conversation)| (index, conversation.clone()))
            .next()?;
        self.claimed.insert(index);
        Some((index, conversation))
    }

    /// Adds a finding for a connection that is not recorded.
    fn unknown(&mut self, sent: &[u8]) {
        let first = self.conversations.iter().enumerate().find(|(_, conversation)| match conversation.turns.first() {
            Some(Turn::Sent(first)) => sent.starts_with(first),
            _ => false,
        });
        let rest = match first {
            Some((index, _)) => {
                format!("{} begins with these bytes and was replayed already", recording::name(index + 1, "tcp"))
            }
            None => format!("recorded: {}", self.summary()),
        };
        let wrong =
            format!("the collector opened a connection and sent {}, which is not recorded; {rest}", quoted(sent));
        self.wrong.insert(wrong);
    }

    /// Lists the recorded exchanges and conversations.
    fn summary(&self) -> String {
        let mut all: Vec<String> = self.exchanges.iter().map(request_line).collect();
        all.extend(self.conversations.iter().filter_map(|conversation| match conversation.turns.first()? {
            Turn::Sent(first) => Some(format!("a connection that sends {}", quoted(first))),
            Turn::Received(_) => Some("a connection that the target begins".to_owned()),
        }));
        all.dedup();
        if all.is_empty() { "nothing".to_owned() } else { foreign(&all.join(", ")).to_string() }
    }
}

/// Replays the target's side of a conversation while the collector sends its recorded side.
async fn converse(mut client: TcpStream, begin: Vec<u8>, index: usize, conversation: Conversation, play: &Mutex<Play>) {
    let mut heard = begin;
    let differs = |expected: &[u8], heard: &[u8]| {
        let name = recording::name(index + 1, "tcp");
        let wrong = match expected {
            [] => format!("the collector sent {} where the recorded connection ends ({name})", quoted(heard)),
            _ => format!("the collector sent {} where {} is recorded ({name})", quoted(heard), quoted(expected)),
        };
        lock(play).wrong.insert(wrong);
    };
    for turn in &conversation.turns {
        match turn {
            Turn::Sent(expected) => {
                while heard.len() < expected.len() && expected.starts_with(&heard) {
                    if !matches!(client.read_buf(&mut heard).await, Ok(1..)) {
                        lock(play).left.insert(index);
                        return;
                    }
                }
                if !heard.starts_with(expected) {
                    differs(expected, &heard);
                    return loopback::leave(client).await;
                }
                heard.drain(..expected.len());
            }
            Turn::Received(answer) => {
                // If the collector has closed the connection, it shows at the next read.
                let _ = client.write_all(answer).await;
            }
        }
    }
    if conversation.closed {
        let _ = client.shutdown().await;
    }
    // Wait until the collector closes it: dropping the connection earlier would lose data on its way.
    while heard.is_empty() {
        if !matches!(client.read_buf(&mut heard).await, Ok(1..)) {
            return;
        }
    }
    differs(&[], &heard);
    loopback::leave(client).await;
}

/// Makes the HTTP response of an exchange.
pub fn response(exchange: &Exchange) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(exchange.answer.clone())));
    *response.status_mut() = StatusCode::from_u16(exchange.status).unwrap_or_default();
    for (name, value) in &exchange.headers {
        let header = HeaderName::try_from(name.as_str()).ok().zip(HeaderValue::from_bytes(value).ok());
        response.headers_mut().extend(header.into_iter().filter(|(name, _)| !is_connection_header(name)));
    }
    response
}

/// Returns method and path of an exchange.
fn request_line(exchange: &Exchange) -> String {
    format!("{} {}", exchange.method, foreign(&exchange.path))
}

/// Quotes bytes for a message.
fn quoted(bytes: &[u8]) -> String {
    format!("'{}'", foreign(&super::text::escape(bytes, &super::text::Secrets::default())))
}
