//! What an instance is run against.

use std::net::TcpStream;

use crate::error::words;
use crate::{CollectError, Target};

impl Target {
    /// A TCP connection to the target, which is the only address that an instance reaches. Reading and writing wait for as long as the
    /// operator's `--timeout` allows; the host then ends the call.
    ///
    /// # Errors
    /// Why there is no connection, or that the target has no address, for it is a whole container.
    pub fn connect(&self) -> Result<TcpStream, CollectError> {
        let endpoint =
            self.endpoint.as_ref().ok_or("the collector asked for a connection where there is no address")?;
        TcpStream::connect((endpoint.host.as_str(), endpoint.port))
            .map_err(|error| CollectError::Other(format!("no connection: {}", words(&error))))
    }

    /// The value of one of the container's labels.
    pub fn label(&self, key: &str) -> Option<&str> {
        let labels = &self.container.as_ref()?.labels;
        labels.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}
