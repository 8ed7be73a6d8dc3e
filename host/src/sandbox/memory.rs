//! Memory: the limits of one sandbox and of all sandboxes together.
//!
//! All memories and tables of one sandbox are summed, with the memory that the host holds for it. wasmtime's own
//! `StoreLimits` count each memory separately, and a component has several.
//!
//! Sandboxes take memory as they need it from a pool that all of a run share:
//!
//! | part | size | for |
//! |---|---|---|
//! | common | three quarters | all sandboxes |
//! | rest | a quarter | the few that have a turn |
//!
//! The first [`SANDBOX_START`](limits::SANDBOX_START) that a sandbox starts with, and
//! [`SANDBOX_GROWTH`](limits::SANDBOX_GROWTH), count as [`SANDBOX_BASE`](limits::SANDBOX_BASE), because most of it is
//! never touched. A sandbox that has not started waits for its base. One that needs more when the common part is used
//! up waits for a turn, and keeps the turn until it ends. With a turn it does not wait again, but fails if the rest is
//! used up too: holders that wait for each other would wait until their timeouts. A sandbox that waits for its target
//! holds the data that has arrived, and nothing in advance.

use std::sync::Arc;

use bytesize::ByteSize;
use tokio::sync::Semaphore;
use wasmtime::{ResourceLimiterAsync, Result};
use wasmtime_wasi::async_trait;

use super::activity::{Activity, Waiting};
use super::exceeded::Exceeded;
use super::turns::{Turn, Turns};
use super::usage::Usage;
use crate::limits;

/// The unit that the pool is counted in: its semaphores hold 32 bits.
const UNIT: u64 = 1024;

/// The memory that all sandboxes of a run share. Clones share it.
#[derive(Debug, Clone)]
pub struct Pool {
    size: ByteSize,
    common: Part,
    rest: Part,
    turns: Turns,
}

/// A part of the pool.
#[derive(Debug, Clone)]
struct Part {
    units: u32,
    free: Arc<Semaphore>,
}

impl Pool {
    /// A free pool of `size`.
    pub fn new(size: ByteSize) -> Pool {
        let units = u32::try_from(size.as_u64() / UNIT).unwrap_or(u32::MAX);
        let rest = units / 4;
        Pool { size, common: Part::new(units - rest), rest: Part::new(rest), turns: Turns::new(limits::MEMORY_TURNS) }
    }
}

impl Part {
    fn new(units: u32) -> Part {
        Part { units, free: Arc::new(Semaphore::new(units as usize)) }
    }

    /// Takes `units` if they are free.
    fn take_now(&self, units: u32) -> bool {
        self.free.try_acquire_many(units).map(tokio::sync::SemaphorePermit::forget).is_ok()
    }

    fn free_units(&self) -> u32 {
        u32::try_from(self.free.available_permits()).unwrap_or(u32::MAX)
    }

    fn give_back(&self, units: u32) {
        self.free.add_permits(units as usize);
    }

    /// Waits for `units`, behind those that came before.
    async fn take(&self, units: u32) -> bool {
        self.free.acquire_many(units).await.map(tokio::sync::SemaphorePermit::forget).is_ok()
    }
}

/// The memory of one sandbox. Dropping it returns what it took.
#[derive(Debug)]
pub struct Memory {
    limit: ByteSize,
    pool: Pool,
    bytes: u64,
    /// The part of `bytes` that the base covers.
    covered: u64,
    /// The part of `bytes` that the host holds for the last response.
    response: u64,
    /// The units of the common part that it holds.
    taken: u32,
    /// The units of the rest that it holds.
    taken_from_rest: u32,
    turn: Option<Turn>,
    table_elements: usize,
    /// Gets the current amount.
    pub usage: Usage,
    /// Set while the sandbox waits for the pool.
    pub activity: Activity,
}

impl Memory {
    /// Allows `limit` bytes from `pool`, and the tables of `limits`. It takes nothing yet.
    pub fn new(limit: ByteSize, pool: Pool, activity: Activity) -> Memory {
        let usage = Usage::default();
        let (taken, taken_from_rest, turn) = (0, 0, None);
        let covered = limits::SANDBOX_START.as_u64() + limits::SANDBOX_GROWTH.as_u64();
        Memory {
            limit,
            pool,
            bytes: 0,
            covered,
            response: 0,
            taken,
            taken_from_rest,
            turn,
            table_elements: 0,
            usage,
            activity,
        }
    }

    /// Takes the base and `bytes`, so that a sandbox can start with them without waiting.
    ///
    /// # Errors
    /// As [`reserve`](Memory::reserve).
    pub async fn admit(&mut self, bytes: u64) -> Result<(), Exceeded> {
        self.reserve(usize::try_from(bytes).unwrap_or(usize::MAX)).await?;
        self.bytes = 0;
        Ok(())
    }

    /// Notes that the sandbox has started, with the memory that it has reserved by now.
    pub fn started(&mut self) {
        self.covered = self.bytes.min(limits::SANDBOX_START.as_u64()) + limits::SANDBOX_GROWTH.as_u64();
    }

    /// Reserves `more` bytes. Waits if it holds nothing yet, or until it gets a turn.
    ///
    /// # Errors
    /// If the limit of the sandbox or of the pool would be exceeded.
    pub async fn reserve(&mut self, more: usize) -> Result<(), Exceeded> {
        let bytes = self.bytes.saturating_add(more as u64);
        if bytes > self.limit.as_u64() {
            return Err(Exceeded::Memory(self.limit));
        }
        let wanted = self.price(bytes).saturating_sub(u64::from(self.taken) + u64::from(self.taken_from_rest));
        if wanted > 0 {
            let wanted = u32::try_from(wanted).map_err(|_| Exceeded::TotalMemory(self.pool.size))?;
            let waiting = self.activity.get();
            let is_taken = self.take_now(wanted) || {
                self.activity.set(Waiting::Memory);
                self.take(wanted).await
            };
            self.activity.set(waiting);
            if !is_taken {
                return Err(Exceeded::TotalMemory(self.pool.size));
            }
        }
        self.bytes = bytes;
        self.usage.record_memory(bytes);
        Ok(())
    }

    /// Takes `wanted` units if it can have them at once.
    fn take_now(&mut self, wanted: u32) -> bool {
        let Pool { common, rest, .. } = &self.pool;
        let from_rest = if self.turn.is_some() { wanted.saturating_sub(common.free_units()) } else { 0 };
        let from_common = wanted - from_rest;
        if !common.take_now(from_common) {
            return false;
        }
        if !rest.take_now(from_rest) {
            common.give_back(from_common);
            return false;
        }
        self.taken += from_common;
        self.taken_from_rest += from_rest;
        true
    }

    /// Waits for `wanted` units, unless others could wait for this sandbox too.
    async fn take(&mut self, wanted: u32) -> bool {
        let Pool { common, rest, .. } = &self.pool;
        if self.turn.is_some() || wanted > common.units + rest.units {
            return false;
        }
        // No other waits for a base, or for what only the common part has.
        let holds_base_at_most = u64::from(self.taken) <= self.price(0);
        if wanted <= common.units && (self.taken == 0 || holds_base_at_most && wanted > rest.units) {
            let is_taken = common.take(wanted).await;
            self.taken += if is_taken { wanted } else { 0 };
            return is_taken;
        }
        // The smallest first, because it ends soonest.
        self.turn = Some(self.pool.turns.take(self.bytes).await);
        self.take_now(wanted)
    }

    /// Reserves `more` bytes for a response, until [`begin_response`](Memory::begin_response) is called again.
    ///
    /// # Errors
    /// As [`reserve`](Memory::reserve).
    pub async fn reserve_for_response(&mut self, more: usize) -> Result<(), Exceeded> {
        self.reserve(more).await?;
        self.response += more as u64;
        Ok(())
    }

    /// Adds `data` to the body of a response that gets `most` bytes in the end, and waits for the memory that the next
    /// data needs. It grows with the body: a target that announces much and sends nothing holds nothing.
    ///
    /// # Errors
    /// As [`reserve`](Memory::reserve).
    pub async fn extend(&mut self, body: &mut Vec<u8>, data: &[u8], most: usize) -> Result<(), Exceeded> {
        self.grow(body, body.len() + data.len()).await?;
        body.extend_from_slice(data);
        // One read of the connection gets up to twice the bytes of the one before, and a buffer's size at most.
        let next = body.len().max(usize::min(3 * body.len(), 3 * limits::CONNECTION_MEMORY));
        self.grow(body, most.min(body.len() + next)).await
    }

    /// Gives a body this capacity, if it has less. The buffers of its connection grow with it.
    async fn grow(&mut self, body: &mut Vec<u8>, capacity: usize) -> Result<(), Exceeded> {
        let before = body.capacity();
        if capacity > before {
            let with_buffers = |capacity: usize| capacity + capacity.min(2 * limits::CONNECTION_MEMORY);
            self.reserve_for_response(with_buffers(capacity) - with_buffers(before)).await?;
            body.reserve_exact(capacity - body.len());
        }
        Ok(())
    }

    /// Ends the reservation for the last response. It lasts until the next request, because the host does not know when
    /// the guest has received its copy.
    pub fn begin_response(&mut self) {
        self.bytes -= std::mem::take(&mut self.response);
    }

    /// Returns all but `bytes`, when the sandbox has ended.
    pub fn keep(&mut self, bytes: u64) {
        self.turn = None;
        self.pool.rest.give_back(std::mem::take(&mut self.taken_from_rest));
        let kept = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).min(self.taken);
        self.pool.common.give_back(self.taken - kept);
        (self.taken, self.bytes) = (kept, bytes);
    }

    /// Returns the units that `bytes` take from the pool.
    fn price(&self, bytes: u64) -> u64 {
        (limits::SANDBOX_BASE.as_u64() + bytes.saturating_sub(self.covered)).div_ceil(UNIT)
    }

    /// The reserved bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.keep(0);
    }
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
        usize::try_from((limits::SANDBOX_START + limits::SANDBOX_GROWTH).as_u64()).unwrap()
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
    fn a_sandbox_that_has_not_started_waits_for_its_base() {
        // Three quarters are the common part: eight bases.
        let pool = Pool::new(ByteSize::b(limits::SANDBOX_BASE.as_u64() * 32 / 3));
        let mut started: Vec<Memory> = (0..8).map(|_| memory(ByteSize::mib(64), &pool)).collect();
        assert!(started.iter_mut().all(|memory| now(memory.admit(MIB as u64)) == Some(Ok(()))));
        assert!(started.iter_mut().all(|memory| now(memory.reserve(share())) == Some(Ok(()))), "covered by the base");
        let mut late = memory(ByteSize::mib(64), &pool);
        assert_eq!(now(late.admit(MIB as u64)), None);
        started.pop();
        assert_eq!(now(late.admit(MIB as u64)), Some(Ok(())));
    }

    #[test]
    fn growth_counts_however_small_the_start_was() {
        let pool = Pool::new(ByteSize::mib(16));
        let mut memory = memory(ByteSize::mib(64), &pool);
        assert_eq!(now(memory.reserve(200 * 1024)), Some(Ok(())));
        memory.started();
        assert_eq!(now(memory.reserve(64 * 1024)), Some(Ok(())));
        let base = pool.common.free_units();
        assert_eq!(now(memory.reserve(MIB)), Some(Ok(())));
        assert_eq!(base - pool.common.free_units(), 1024);
    }

    #[test]
    fn one_that_has_started_waits_for_a_turn_and_with_a_turn_for_nothing() {
        let pool = Pool::new(ByteSize::mib(16));
        let [mut hog, mut first, mut second, mut late, mut small] = [(); 5].map(|()| memory(ByteSize::mib(64), &pool));
        for memory in [&mut hog, &mut first, &mut second, &mut late, &mut small] {
            assert_eq!(now(memory.reserve(share())), Some(Ok(())));
        }
        assert_eq!(now(hog.reserve(11 * MIB)), Some(Ok(())), "the common part has 12 MiB, and five bases");
        assert_eq!(now(first.reserve(2 * MIB)), Some(Ok(())), "the rest has 4 MiB, for those with a turn");
        assert_eq!(now(second.reserve(MIB)), Some(Ok(())));
        assert_eq!(now(late.reserve(MIB)), None, "there are two turns");
        assert_eq!(now(first.reserve(3 * MIB)), Some(Err(Exceeded::TotalMemory(pool.size))), "it has a turn");
        assert_eq!(now(small.reserve(100)), None, "it has its whole share");
        drop(first);
        assert_eq!(now(late.reserve(MIB)), Some(Ok(())));
        drop(hog);
        assert_eq!(now(small.reserve(100)), Some(Ok(())), "without a turn");
        drop((second, late, small));
        assert_eq!((pool.common.free_units(), pool.rest.free_units()), (12 * 1024, 4 * 1024), "all is given back");
    }

    #[test]
    fn one_sandbox_can_have_the_whole_pool_and_no_more() {
        let pool = Pool::new(ByteSize::mib(16));
        let mut memory = memory(ByteSize::mib(64), &pool);
        assert_eq!(now(memory.reserve(15 * MIB)), Some(Ok(())));
        assert_eq!(now(memory.reserve(2 * MIB)), Some(Ok(())), "16 MiB, the base, and less than its share");
        assert_eq!(now(memory.reserve(MIB)), Some(Err(Exceeded::TotalMemory(pool.size))));
    }

    #[test]
    fn a_report_keeps_its_part_of_the_reservation() {
        let pool = Pool::new(ByteSize::mib(16));
        let mut memory = memory(ByteSize::mib(64), &pool);
        assert_eq!(now(memory.reserve(10 * MIB)), Some(Ok(())));
        memory.keep(MIB as u64);
        assert_eq!(pool.common.free_units(), 11 * 1024);
    }

    #[test]
    fn a_response_counts_until_the_next_one() {
        let mut memory = memory(ByteSize::mib(8), &Pool::new(ByteSize::mib(16)));
        for _ in 0..3 {
            memory.begin_response();
            assert_eq!(now(memory.reserve_for_response(5 * MIB)), Some(Ok(())));
        }
        assert_eq!(now(memory.reserve(4 * MIB)), Some(Err(Exceeded::Memory(ByteSize::mib(8)))));
    }
}
