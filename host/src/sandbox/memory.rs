//! What a sandbox may take of the machine's memory.
//!
//! All memories and tables of one sandbox are summed up, and with them what the host holds on its behalf: wasmtime's own
//! `StoreLimits` count each by itself, and a component has several. Beyond a small share of its own, what a sandbox takes comes from
//! a pool that all sandboxes of a run have together.

use std::sync::Arc;

use bytesize::ByteSize;
use futures_util::FutureExt;
use tokio::sync::Semaphore;
use wasmtime::{ResourceLimiterAsync, Result};
use wasmtime_wasi::async_trait;

use super::activity::Activity;
use super::exceeded::Exceeded;
use super::usage::Usage;
use crate::limits;

/// The unit that the pool is counted in: its semaphore holds 32 bits.
const UNIT: u64 = 1024;

/// The memory that all sandboxes of a run have together. Clones share it.
#[derive(Debug, Clone)]
pub struct Pool {
    size: ByteSize,
    free: Arc<Semaphore>,
}

impl Pool {
    /// A pool of `size`, all of it free.
    pub fn new(size: ByteSize) -> Pool {
        Pool { size, free: Arc::new(Semaphore::new(usize::try_from(units(size.as_u64())).unwrap_or_default())) }
    }
}

/// Counts one sandbox's memory, and gives it back with the sandbox.
#[derive(Debug)]
pub struct Memory {
    limit: ByteSize,
    pool: Pool,
    bytes: u64,
    /// What the pool gave, in units.
    taken: u32,
    table_elements: usize,
    /// Told how much it is.
    pub usage: Usage,
    /// Told when the pool is being waited for.
    pub activity: Activity,
}

impl Memory {
    /// Allows `limit` bytes, of which `pool` has to give most, and the tables that `limits` has.
    pub fn new(limit: ByteSize, pool: Pool, activity: Activity) -> Memory {
        Memory { limit, pool, bytes: 0, taken: 0, table_elements: 0, usage: Usage::default(), activity }
    }

    /// Takes so many bytes more. Who has nothing of the pool yet waits for others to give it back; who has does not, for two that
    /// wait for each other would wait for ever.
    ///
    /// # Errors
    /// Where the sandbox's own limit does not allow it, or the pool's.
    pub async fn take(&mut self, more: usize) -> Result<(), Exceeded> {
        let bytes = self.bytes.saturating_add(more as u64);
        if bytes > self.limit.as_u64() {
            return Err(Exceeded::Memory(self.limit));
        }
        let wanted = units(bytes.saturating_sub(limits::SANDBOX_SHARE.as_u64())).saturating_sub(self.taken.into());
        if wanted > 0 {
            let exceeded = Exceeded::TotalMemory(self.pool.size);
            let possible = self.taken == 0 && wanted <= units(self.pool.size.as_u64());
            let wanted = u32::try_from(wanted).map_err(|_| exceeded)?;
            let permit = match self.pool.free.try_acquire_many(wanted) {
                Ok(permit) => permit,
                Err(_) if possible => {
                    let doing = self.activity.get();
                    self.activity.set("no memory was free (--total-memory)");
                    let permit = self.pool.free.acquire_many(wanted).await;
                    self.activity.set(doing);
                    permit.map_err(|_| exceeded)?
                }
                Err(_) => return Err(exceeded),
            };
            permit.forget();
            self.taken += wanted;
        }
        self.bytes = bytes;
        self.usage.has(bytes);
        Ok(())
    }

    /// Takes so many bytes more without waiting for others.
    ///
    /// # Errors
    /// As [`take`](Memory::take); where it would wait, it is as if the pool had no more.
    pub fn take_now(&mut self, more: usize) -> Result<(), Exceeded> {
        let exceeded = Exceeded::TotalMemory(self.pool.size);
        self.take(more).now_or_never().unwrap_or(Err(exceeded))
    }

    /// How many bytes the sandbox has.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives all but so many bytes back. What came from the pool stays the sandbox's until its end.
    pub fn give_back_to(&mut self, bytes: u64) {
        self.bytes = self.bytes.min(bytes);
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.pool.free.add_permits(self.taken as usize);
    }
}

fn units(bytes: u64) -> u64 {
    bytes.div_ceil(UNIT)
}

#[async_trait]
impl ResourceLimiterAsync for Memory {
    async fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        self.take(desired.saturating_sub(current)).await?;
        Ok(true)
    }

    async fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        let elements = self.table_elements.saturating_add(desired.saturating_sub(current));
        if elements > limits::SANDBOX_TABLE_ELEMENTS {
            return Err(Exceeded::TableElements.into());
        }
        self.table_elements = elements;
        Ok(true)
    }

    fn instances(&self) -> usize {
        limits::SANDBOX_INSTANCES
    }

    fn tables(&self) -> usize {
        limits::SANDBOX_INSTANCES
    }

    fn memories(&self) -> usize {
        limits::SANDBOX_INSTANCES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    const MIB: usize = 1 << 20;

    fn share() -> usize {
        usize::try_from(limits::SANDBOX_SHARE.as_u64()).unwrap()
    }

    fn memory(limit: ByteSize, pool: &Pool) -> Memory {
        Memory::new(limit, pool.clone(), Activity::new("nothing"))
    }

    /// What one look at a future gives: none where it has to wait.
    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        }
    }

    #[test]
    fn memories_are_summed_and_the_one_too_many_is_refused() {
        let limit = ByteSize::kib(100);
        let mut memory = memory(limit, &Pool::new(ByteSize::mib(1)));
        assert!(now(memory.memory_growing(0, 60 * 1024, None)).unwrap().unwrap());
        assert!(now(memory.memory_growing(0, 40 * 1024, None)).unwrap().unwrap());
        let error = now(memory.memory_growing(40 * 1024, 41 * 1024, None)).unwrap().unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Exceeded::Memory(limit)));
    }

    #[test]
    fn tables_are_summed_and_the_one_too_many_is_refused() {
        let mut memory = memory(ByteSize::kib(100), &Pool::new(ByteSize::mib(1)));
        assert!(now(memory.table_growing(0, limits::SANDBOX_TABLE_ELEMENTS, None)).unwrap().unwrap());
        let error = now(memory.table_growing(0, 1, None)).unwrap().unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Exceeded::TableElements));
    }

    #[test]
    fn who_has_nothing_of_the_pool_waits_and_who_has_is_refused() {
        let pool = Pool::new(ByteSize::mib(4));
        let [mut hog, mut late, mut small] = [(); 3].map(|()| memory(ByteSize::mib(64), &pool));
        assert_eq!(now(hog.take(share() + 3 * MIB)), Some(Ok(())));
        assert_eq!(now(hog.take(2 * MIB)), Some(Err(Exceeded::TotalMemory(pool.size))));
        assert_eq!(now(late.take(share() + 2 * MIB)), None, "the pool has 1 MiB left");
        assert_eq!(now(small.take(share())), Some(Ok(())), "a share is there for everyone");
        drop(hog);
        assert_eq!(now(late.take(share() + 2 * MIB)), Some(Ok(())));
        assert_eq!(now(small.take(5 * MIB)), Some(Err(Exceeded::TotalMemory(pool.size))), "there never is so much");
    }
}
