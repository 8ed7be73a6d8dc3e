//! The task of Amazon ECS in which this program runs, by its task metadata endpoint (version 4, or 3 of older agents).
//!
//! One request gives all containers of the task. A second one identifies the container of this program, unless the
//! endpoint's path has its id, as on Fargate. A third one gives the stats of all containers, and is sent only if a
//! collector reads them. Nothing is sent again after a failure: the same server gives the task its AWS credentials,
//! and limits requests.
//!
//! `/taskWithTags` is never used, because each request makes the agent call the ECS API.

mod client;
mod container;
mod instance;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};

use self::client::{Client, RequestError};
pub use self::container::{HealthCheck, Kind, Network, TaskContainer, parse_task};
use self::container::{Own, TaskResponse};
pub use self::instance::{FAMILY_LABEL, Instance, NAME_LABEL, TASK_LABEL};
use crate::engine::{Lenient, Sample, Unreadable};
use crate::env;
use crate::stop::Stop;
use crate::text::{Foreign, foreign};

/// The environment variables with the endpoint's URL, the newest first. ECS sets them in every container.
const VARIABLES: [&str; 2] = [VARIABLE, "ECS_CONTAINER_METADATA_URI"];

/// The variable of version 4.
pub const VARIABLE: &str = "ECS_CONTAINER_METADATA_URI_V4";

/// Returns the name and the value of the variable with the endpoint's URL; `None` outside of ECS.
pub fn variable() -> Option<(&'static str, String)> {
    VARIABLES.into_iter().find_map(|name| Some((name, env::variable(name)?)))
}

/// A task whose containers are unknown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no URL.
    #[error("no ECS task: {VARIABLE} is not set; ECS sets it in the containers of a task")]
    NoTask,
    /// The URL is wrong.
    #[error("{variable}: '{url}' is not the URL of a task metadata endpoint: expected http://HOST:PORT/PATH")]
    Url {
        /// The variable.
        variable: &'static str,
        /// Its value.
        url: Foreign,
    },
    /// The request failed.
    #[error("task metadata endpoint at {url}: {source}")]
    Request {
        /// The URL.
        url: Foreign,
        /// The fault.
        source: RequestError,
    },
    /// The run ended first.
    #[error("no response from the task metadata endpoint at {url} when {stop}")]
    Stopped {
        /// The URL.
        url: Foreign,
        /// The reason for which the run ended.
        stop: String,
    },
}

impl From<Error> for crate::error::Error {
    fn from(error: Error) -> crate::error::Error {
        crate::error::Error::failed(error)
    }
}

/// Returns a value that is not a URL of an endpoint, without a user name and a password.
fn without_credentials(url: &str) -> Foreign {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => foreign(&format!("{scheme}://…@{rest}")),
        (None, Some((_, rest))) => foreign(&format!("…@{rest}")),
        (_, None) => foreign(url),
    }
}

/// A task of ECS. Clones share the response about stats.
#[derive(Clone)]
pub struct Task {
    client: Arc<Client>,
    /// The family and revision of the task definition.
    definition: String,
    /// The memory limit of the whole task in bytes.
    pub memory_limit: Option<u64>,
    /// The reason for which the container of this program is unknown.
    pub own_unknown: Option<Foreign>,
    samples: Arc<OnceLock<Shared<BoxFuture<'static, Samples>>>>,
}

/// The stats of the containers by id, each `None` if there is no sample of it; or the reason for which there are none.
pub type Samples = Arc<Result<BTreeMap<String, Lenient<Sample>>, String>>;

/// The containers of a task.
pub struct TaskListing {
    /// The containers, those of ECS and of this program included.
    pub containers: Vec<TaskContainer>,
    /// The entries without a usable id.
    pub unreadable: Unreadable,
}

impl Task {
    /// Lists the containers of the task in which this program runs.
    ///
    /// # Errors
    /// If there is no task, or the endpoint does not return it before the run has to stop.
    pub async fn list(stop: &mut Stop) -> Result<(Task, TaskListing), Error> {
        let (variable, url) = variable().ok_or(Error::NoTask)?;
        let client = Client::new(&url).ok_or_else(|| Error::Url { variable, url: without_credentials(&url) })?;
        let read = async {
            let task: TaskResponse = client.get("/task").await?;
            let (mut containers, unreadable) = task.containers();
            // On Fargate the last part of the path is the container's id.
            let mut own_unknown = None;
            let place = |id: &str| containers.iter().position(|one| !id.is_empty() && one.container.id == id);
            let mut own = place(client.endpoint_id());
            if own.is_none() {
                match client.get::<Own>("").await {
                    Ok(Own { docker_id }) => {
                        own = place(&docker_id.0.unwrap_or_default());
                        own_unknown = own.is_none().then(|| foreign("it is not in the task"));
                    }
                    Err(error) => own_unknown = Some(foreign(&error.to_string())),
                }
            }
            if let Some(own) = own {
                containers[own].is_own = true;
            }
            Ok((task, TaskListing { containers, unreadable }, own_unknown))
        };
        let (task, listing, own_unknown) = tokio::select! {
            read = read => read.map_err(|source| Error::Request { url: foreign(&url), source })?,
            stop = stop.wait() => return Err(Error::Stopped { url: foreign(&url), stop }),
        };
        let (definition, memory_limit) = (task.definition(), task.memory_limit());
        let task = Task {
            client: Arc::new(client),
            definition,
            memory_limit,
            own_unknown,
            samples: Arc::new(OnceLock::new()),
        };
        Ok((task, listing))
    }

    /// The family and revision of the task definition, such as `shop:3`.
    pub fn definition(&self) -> &str {
        &self.definition
    }

    /// The endpoint's URL.
    pub fn url(&self) -> &str {
        self.client.url()
    }

    /// Requests the stats of all containers. Every caller gets the response to one request.
    pub async fn samples(&self) -> Samples {
        let request = || {
            let client = Arc::clone(&self.client);
            // A task of its own: the request goes on if the target that caused it times out.
            let response = tokio::spawn(async move { client.get("/task/stats").await });
            async move {
                let samples = match response.await {
                    Ok(Ok(samples)) => Ok(samples),
                    Ok(Err(error)) => Err(format!("task metadata endpoint: {error}")),
                    Err(error) => Err(error.to_string()),
                };
                Arc::new(samples)
            }
            .boxed()
            .shared()
        };
        self.samples.get_or_init(request).clone().await
    }
}
