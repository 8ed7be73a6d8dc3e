//! Memory: the limits of one sandbox and of all sandboxes together.
//!
//! All memories and tables of one sandbox are summed, with the memory that the host holds for it. wasmtime's own `StoreLimits` count
//! each memory separately, and a component has several. Beyond a small share of its own, a sandbox reserves memory from a pool that
//! all sandboxes of a run share.

use std::sync::Arc;

use bytesize::ByteSize;
use futures_util::FutureExt;
use tokio::sync::Semaphore;
use wasmtime::{ResourceLimiterAsync, Result};
use wasmtime_wasi::async_trait;

use super::activity::{Activity, Waiting};
use super::exceeded::Exceeded;
use super::usage::Usage;
use crate::limits;

/// The unit that the pool is counted in: its semaphore holds 32 bits.
const UNIT: u64 = 1024;

/// The memory that all sandboxes of a run share. Clones share it.
#[derive(Debug, Clone)]
pub struct Pool {
    size: ByteSize,
    free: Arc<Semaphore>,
}

impl Pool {
    /// A free pool of `size`.
    pub fn new(size: ByteSize) -> Pool {
        Pool { size, free: Arc::new(Semaphore::new(usize::try_from(units(size.as_u64())).unwrap_or_default())) }
    }
}

/// The memory of one sandbox. Dropping it returns the reservation.
#[derive(Debug)]
pub struct Memory {
    limit: ByteSize,
    pool: Pool,
    bytes: u64,
    /// The reservation from the pool, in units.
    reserved: u32,
    table_elements: usize,
    /// Gets the current amount.
    pub usage: Usage,
    /// Set while the sandbox waits for the pool.
    pub activity: Activity,
}

impl Memory {
    /// Allows `limit` bytes, most of them from `pool`, and the tables of `limits`.
    pub fn new(limit: ByteSize, pool: Pool, activity: Activity) -> Memory {
        Memory { limit, pool, bytes: 0, reserved: 0, table_elements: 0, usage: Usage::default(), activity }
    }

    /// Reserves `more` bytes. A sandbox that holds no pool memory waits for some; one that already holds some fails at once, because
    /// two waiting holders would deadlock.
    ///
    /// # Errors
    /// If the limit of the sandbox or of the pool would be exceeded.
    pub async fn reserve(&mut self, more: usize) -> Result<(), Exceeded> {
        let bytes = self.bytes.saturating_add(more as u64);
        if bytes > self.limit.as_u64() {
            return Err(Exceeded::Memory(self.limit));
        }
        let wanted = units(bytes.saturating_sub(limits::SANDBOX_SHARE.as_u64())).saturating_sub(self.reserved.into());
        if wanted > 0 {
            let exceeded = Exceeded::TotalMemory(self.pool.size);
            let possible = self.reserved == 0 && wanted <= units(self.pool.size.as_u64());
            let wanted = u32::try_from(wanted).map_err(|_| exceeded)?;
            let permit = match self.pool.free.try_acquire_many(wanted) {
                Ok(permit) => permit,
                Err(_) if possible => {
                    let waiting = self.activity.get();
                    self.activity.set(Waiting::Memory);
                    let permit = self.pool.free.acquire_many(wanted).await;
                    self.activity.set(waiting);
                    permit.map_err(|_| exceeded)?
                }
                Err(_) => return Err(exceeded),
            };
            permit.forget();
            self.reserved += wanted;
        }
        self.bytes = bytes;
        self.usage.record_memory(bytes);
        Ok(())
    }

    /// Reserves `more` bytes without waiting.
    ///
    /// # Errors
    /// As [`reserve`](Memory::reserve); if it would wait, the pool counts as exhausted.
    pub fn reserve_now(&mut self, more: usize) -> Result<(), Exceeded> {
        let exceeded = Exceeded::TotalMemory(self.pool.size);
        self.reserve(more).now_or_never().unwrap_or(Err(exceeded))
    }

    /// The reserved bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reduces the reservation to `bytes`. Pool memory stays reserved until the sandbox ends.
    pub fn shrink_to(&mut self, bytes: u64) {
        self.bytes = self.bytes.min(bytes);
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.pool.free.add_permits(self.reserved as usize);
    }
}

fn units(bytes: u64) -> u64 {
    bytes.div_ceil(UNIT)
}

#[async_trait]
impl ResourceLimiterAsync for Memory {
    async fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        self.reserve(desired.saturating_sub(current)).await?;
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
        Memory::new(limit, pool.clone(), Activity::new(Waiting::Collector))
    }

    /// Polls a future once; `None` if it has to wait.
    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        }
    }

    #[test]
    fn memories_are_summed_and_the_limit_is_enforced() {
        let limit = ByteSize::kib(100);
        let mut memory = memory(limit, &Pool::new(ByteSize::mib(1)));
        assert!(now(memory.memory_growing(0, 60 * 1024, None)).unwrap().unwrap());
        assert!(now(memory.memory_growing(0, 40 * 1024, None)).unwrap().unwrap());
        let error = now(memory.memory_growing(40 * 1024, 41 * 1024, None)).unwrap().unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Exceeded::Memory(limit)));
    }

    #[test]
    fn tables_are_summed_and_the_limit_is_enforced() {
        let mut memory = memory(ByteSize::kib(100), &Pool::new(ByteSize::mib(1)));
        assert!(now(memory.table_growing(0, limits::SANDBOX_TABLE_ELEMENTS, None)).unwrap().unwrap());
        let error = now(memory.table_growing(0, 1, None)).unwrap().unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Exceeded::TableElements));
    }

    #[test]
    fn only_a_sandbox_without_pool_memory_waits_for_some() {
        let pool = Pool::new(ByteSize::mib(4));
        let [mut hog, mut late, mut small] = [(); 3].map(|()| memory(ByteSize::mib(64), &pool));
        assert_eq!(now(hog.reserve(share() + 3 * MIB)), Some(Ok(())));
        assert_eq!(now(hog.reserve(2 * MIB)), Some(Err(Exceeded::TotalMemory(pool.size))));
        assert_eq!(now(late.reserve(share() + 2 * MIB)), None, "the pool has 1 MiB left");
        assert_eq!(now(small.reserve(share())), Some(Ok(())), "each sandbox has its own share");
        drop(hog);
        assert_eq!(now(late.reserve(share() + 2 * MIB)), Some(Ok(())));
        assert_eq!(
            now(small.reserve(5 * MIB)),
            Some(Err(Exceeded::TotalMemory(pool.size))),
            "more than the whole pool"
        );
    }
}
