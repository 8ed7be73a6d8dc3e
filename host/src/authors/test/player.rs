//! Plays a recording back: a server that says what the target said, and nothing else.
//!
//! Requests of HTTP are known by method, path and body; other protocols by the bytes that are sent. Connections come in any order, and
//! each thing that was recorded is said once.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::loopback::{self, Loopback, Protocol};
use super::played::Played;
use super::recording::{self, Conversation, Exchange, Recording, Turn};
use crate::address::Address;
use crate::sandbox::http::is_connection_header;
use crate::text::foreign;

/// The player.
pub struct Player {
    loopback: Loopback,
    play: Arc<Mutex<Play>>,
}

/// What is still to be said, and what is wrong.
#[derive(Debug, Default)]
struct Play {
    exchanges: Vec<Exchange>,
    conversations: Vec<Conversation>,
    /// What was said already, or has been begun.
    asked: BTreeSet<usize>,
    claimed: BTreeSet<usize>,
    /// Conversations that were left before their end.
    left: BTreeSet<usize>,
    wrong: BTreeSet<String>,
}

impl Player {
    /// Starts to play.
    ///
    /// # Errors
    /// Where the system gives no port.
    pub async fn start(recording: &Recording) -> Result<Player, String> {
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

    /// Its address, which the sandbox is led to.
    pub fn address(&self) -> Address {
        self.loopback.as_target()
    }

    /// Ends it.
    pub async fn finish(self) -> Played {
        self.loopback.finish().await;
        let play = lock(&self.play);
        let mut unused = Vec::new();
        for (index, exchange) in play.exchanges.iter().enumerate().filter(|(index, _)| !play.asked.contains(index)) {
            unused.push(format!("{} was not asked for ({})", asked(exchange), recording::name(index + 1, "http")));
        }
        for index in 0..play.conversations.len() {
            let name = recording::name(index + 1, "tcp");
            if !play.claimed.contains(&index) {
                unused.push(format!("a recorded connection was not opened ({name})"));
            } else if play.left.contains(&index) {
                unused.push(format!("the collector left a recorded connection before its end ({name})"));
            }
        }
        Played { wrong: play.wrong.iter().cloned().collect(), unused }
    }
}

fn lock(play: &Mutex<Play>) -> MutexGuard<'_, Play> {
    play.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(mut client: TcpStream, play: Arc<Mutex<Play>>) {
    // Whose protocol lets the target speak first speaks no other one on that port.
    let first = lock(&play).speaks_first();
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
            let wrong = "the collector speaks TLS, and what is encrypted cannot be played back";
            lock(&play).wrong.insert(wrong.to_owned());
            loopback::leave(client).await;
        }
        Some(Protocol::Other) => {
            loop {
                let choice = lock(&play).choose(&begin);
                match choice {
                    Choice::This(index, conversation) => {
                        return converse(client, begin, index, conversation, &play).await;
                    }
                    Choice::Unclear => match client.read_buf(&mut begin).await {
                        Ok(1..) => {}
                        _ => break lock(&play).unknown(&begin),
                    },
                    Choice::None => break lock(&play).unknown(&begin),
                }
            }
            loopback::leave(client).await;
        }
    }
}

/// Which conversation a connection is.
enum Choice {
    /// This one.
    This(usize, Conversation),
    /// More has to come.
    Unclear,
    /// None that there is.
    None,
}

impl Play {
    fn answer(&mut self, method: &str, path: &str, question: &[u8]) -> Option<Response<Full<Bytes>>> {
        let alike = |exchange: &&Exchange| exchange.method == method && exchange.path == path;
        let same = |exchange: &Exchange| alike(&exchange) && exchange.question == question;
        let free = |index: &usize| !self.asked.contains(index);
        let found = (0..self.exchanges.len()).filter(free).find(|index| same(&self.exchanges[*index]));
        if let Some(index) = found {
            self.asked.insert(index);
            return Some(response(&self.exchanges[index]));
        }
        let request = format!("{method} {}", foreign(path));
        let times = self.exchanges.iter().filter(|exchange| same(exchange)).count();
        let wrong = match self.exchanges.iter().find(alike) {
            Some(_) if times > 0 => format!("the collector asked for {request} more often than is recorded ({times})"),
            Some(exchange) => format!(
                "the collector asked for {request} with the body {}, which is recorded with {}",
                quoted(question),
                quoted(&exchange.question)
            ),
            None => format!("the collector asked for {request}, which is not recorded; {}", self.what_there_is()),
        };
        self.wrong.insert(wrong);
        None
    }

    /// The conversation that a connection is, over which so much was sent.
    fn choose(&mut self, sent: &[u8]) -> Choice {
        let mut unclear = false;
        for (index, conversation) in self.conversations.iter().enumerate() {
            if self.claimed.contains(&index) {
                continue;
            }
            match conversation.turns.first() {
                Some(Turn::Sent(first)) if sent.starts_with(first) => {
                    let conversation = conversation.clone();
                    self.claimed.insert(index);
                    return Choice::This(index, conversation);
                }
                Some(Turn::Sent(first)) => unclear |= first.starts_with(sent),
                _ => {}
            }
        }
        if unclear { Choice::Unclear } else { Choice::None }
    }

    /// The next conversation that the target begins, or in which nothing is said.
    fn speaks_first(&mut self) -> Option<(usize, Conversation)> {
        let begins = |conversation: &Conversation| !matches!(conversation.turns.first(), Some(Turn::Sent(_)));
        let all = self.conversations.iter().enumerate();
        let (index, conversation) = all
            .filter(|(index, conversation)| !self.claimed.contains(index) && begins(conversation))
            .map(|(index, conversation)| (index, conversation.clone()))
            .next()?;
        self.claimed.insert(index);
        Some((index, conversation))
    }

    /// A connection that is none of those recorded.
    fn unknown(&mut self, sent: &[u8]) {
        let first = self.conversations.iter().enumerate().find(|(_, conversation)| match conversation.turns.first() {
            Some(Turn::Sent(first)) => sent.starts_with(first),
            _ => false,
        });
        let there_is = match first {
            Some((index, _)) => format!("{} begins so, and was used already", recording::name(index + 1, "tcp")),
            None => self.what_there_is(),
        };
        let wrong =
            format!("the collector opened a connection and sent {}, which is not recorded; {there_is}", quoted(sent));
        self.wrong.insert(wrong);
    }

    fn what_there_is(&self) -> String {
        let mut there_is: Vec<String> = self.exchanges.iter().map(asked).collect();
        there_is.extend(self.conversations.iter().filter_map(|conversation| match conversation.turns.first()? {
            Turn::Sent(first) => Some(format!("a connection that sends {}", quoted(first))),
            Turn::Received(_) => Some("a connection that the target begins".to_owned()),
        }));
        there_is.dedup();
        match there_is.as_slice() {
            [] => "nothing is".to_owned(),
            all => format!("there is {}", foreign(&all.join(", "))),
        }
    }
}

/// Says the target's part of a conversation, for as long as the collector says its own.
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
                // Who does not want to hear it closes the connection, and that shows when it should speak.
                let _ = client.write_all(answer).await;
            }
        }
    }
    if conversation.closed {
        let _ = client.shutdown().await;
    }
    // Until the collector closes it: one that is dropped before would lose what is still on its way.
    while heard.is_empty() {
        if !matches!(client.read_buf(&mut heard).await, Ok(1..)) {
            return;
        }
    }
    differs(&[], &heard);
    loopback::leave(client).await;
}

/// The answer as it goes onto the wire.
pub fn response(exchange: &Exchange) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(exchange.answer.clone())));
    *response.status_mut() = StatusCode::from_u16(exchange.status).unwrap_or_default();
    for (name, value) in &exchange.headers {
        let header = HeaderName::try_from(name.as_str()).ok().zip(HeaderValue::from_bytes(value).ok());
        response.headers_mut().extend(header.into_iter().filter(|(name, _)| !is_connection_header(name)));
    }
    response
}

/// What an exchange asks for.
fn asked(exchange: &Exchange) -> String {
    format!("{} {}", exchange.method, foreign(&exchange.path))
}

/// Bytes in a message.
fn quoted(bytes: &[u8]) -> String {
    format!("'{}'", foreign(&super::text::escape(bytes, &super::text::Secrets::default())))
}
