//! Access to the target and its container.

use std::net::TcpStream;

use crate::error::message;
use crate::{CollectError, Target};

impl Target {
    /// Opens a TCP connection to the target, the only address that an instance can reach.
    ///
    /// Reads and writes have no timeout of their own: when the operator's `--timeout` passes, the host ends the call. A
    /// connection counts as a request, of which one call may make 100.
    ///
    /// # Errors
    /// [`CollectError::Other`] if the connection fails, or if the target has no address because it is a container.
    pub fn connect(&self) -> Result<TcpStream, CollectError> {
        let endpoint = self.endpoint.as_ref().ok_or("cannot connect: the target is a container and has no address")?;
        TcpStream::connect((endpoint.host.as_str(), endpoint.port))
            .map_err(|error| CollectError::Other(format!("connection failed: {}", message(&error))))
    }

    /// Returns the value of one of the container's labels. `None` if it has no such label, or if there is no container.
    pub fn label(&self, key: &str) -> Option<&str> {
        let labels = &self.container.as_ref()?.labels;
        labels.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}
