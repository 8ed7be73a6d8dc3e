//! The capability `mackerel:collector/tls`: connections to one target over TLS, which the host encrypts with the trust
//! that the operator configured.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use wasmtime::Result;
use wasmtime::component::Resource;

use super::activity::Waiting;
use super::connection::Connection;
use super::destination::Destination;
use super::exchange::words_of_tls;
use super::guest::Guest;
use super::wire::mackerel::collector::tls::{Error, Host, HostConnection};
use crate::limits;
use crate::text::root_cause;

impl Host for Guest {
    async fn connect(&mut self) -> Result<Result<Resource<Connection>, Error>> {
        self.count_connection().await?;
        let Some(destination) = self.network.destination() else { return Ok(Err(Error::NoEndpoint)) };
        // Boxed, because it is large and would take stack of every sandbox.
        let connected = Box::pin(open(destination)).await;
        destination.activity.set(Waiting::Collector);
        Ok(match connected {
            Ok(stream) => Ok(self.table.push(Connection(stream))?),
            Err(error) if is_not_tls(&error) => Err(Error::NotTls),
            Err(error) => Err(Error::Connect(reason(&error))),
        })
    }
}

impl HostConnection for Guest {
    async fn read(&mut self, connection: Resource<Connection>) -> Result<Result<Vec<u8>, Error>> {
        self.wait(Waiting::Tcp);
        let Connection(stream) = self.table.get_mut(&connection)?;
        let mut data = Vec::with_capacity(limits::TLS_READ);
        let result = stream.read_buf(&mut data).await;
        self.wait(Waiting::Collector);
        Ok(match result {
            Ok(_) => Ok(data),
            // Many servers close a connection without TLS's own end. The protocol above knows if something is missing.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Vec::new()),
            Err(error) => Err(Error::Broken(root_cause(&error))),
        })
    }

    async fn write(&mut self, connection: Resource<Connection>, data: Vec<u8>) -> Result<Result<(), Error>> {
        self.wait(Waiting::Tcp);
        let Connection(stream) = self.table.get_mut(&connection)?;
        let result = async {
            stream.write_all(&data).await?;
            stream.flush().await
        };
        let result = result.await;
        self.wait(Waiting::Collector);
        Ok(result.map_err(|error| Error::Broken(root_cause(&error))))
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

impl Guest {
    fn wait(&self, waiting: Waiting) {
        if let Some(destination) = self.network.destination() {
            destination.activity.set(waiting);
        }
    }
}

/// Connects to a target, and checks its certificate.
async fn open(destination: &Destination) -> io::Result<TlsStream<TcpStream>> {
    let stream = destination.connect().await?;
    destination.activity.set(Waiting::Handshake);
    destination.shake_hands(stream).await
}

fn reason(error: &io::Error) -> String {
    let tls = error.get_ref().and_then(|cause| cause.downcast_ref());
    tls.map_or_else(|| root_cause(error), words_of_tls)
}

/// Returns true if the target sent something else than TLS.
fn is_not_tls(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    matches!(cause, Some(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)))
}
