//! The allocator: that of the system, except for blocks of 8 KiB, which have pages of their own.
//!
//! Each connection has two buffers of exactly 8 KiB, hyper's for the heads of requests and of answers. An idle client uses some
//! hundred bytes of each. The allocator of the system places blocks of all sizes next to each other and splits freed ones, until
//! every page of the buffers is resident: 160 MiB for ten thousand idle clients. With pages of their own, pages that were never
//! written take no memory: 80 MiB.
//!
//! A general-purpose allocator does not help: 9,000 idle readers take 481 MiB with mimalloc 0.1.52, and 148 MiB with this
//! (`scripts/bench idle`).
//!
//! Invariant: a block is either in use or in the list of free blocks. `GlobalAlloc` requires that a block is freed with the size and
//! alignment that it was allocated with, so the size says which allocator a block is from.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::{self, NonNull};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const BLOCK_BYTES: usize = 8 * 1024;
/// Alignment that every block has: that of the smallest pages there are.
const BLOCK_ALIGNMENT: usize = 4096;
/// Free blocks that are kept, 8 MiB, so that new connections need no system call. The rest is returned to the system.
const MAX_FREE_BLOCKS: usize = 1024;

/// Between two looks at the unused memory of the system's allocator, and the amount from which on it is returned.
const TRIM_INTERVAL: Duration = Duration::from_secs(10);
const MAX_UNUSED_BYTES: usize = 16 << 20;

/// The allocator.
pub(crate) struct Allocator;

/// A free block: its first bytes.
struct FreeBlock {
    next: Option<NonNull<FreeBlock>>,
}

struct FreeBlocks {
    first: Option<NonNull<FreeBlock>>,
    count: usize,
}

// SAFETY: free blocks are reachable through the list alone, so its owner may use them on any thread.
#[expect(unsafe_code, reason = "free blocks belong to no thread")]
unsafe impl Send for FreeBlocks {}

static FREE: Mutex<FreeBlocks> = Mutex::new(FreeBlocks { first: None, count: 0 });

fn is_block(size: usize, alignment: usize) -> bool {
    size == BLOCK_BYTES && alignment <= BLOCK_ALIGNMENT
}

/// A block whose bytes may be anything; null when the system has no memory.
#[expect(unsafe_code, reason = "memory from mmap(2)")]
fn take_block() -> *mut u8 {
    let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(block) = free.first {
        // SAFETY: a block in the list is mapped, has no other owner, and begins with the value that `give_back` wrote.
        free.first = unsafe { block.read() }.next;
        free.count -= 1;
        return block.as_ptr().cast();
    }
    drop(free);
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping at an address that the system chooses touches no existing memory.
    let block = unsafe { libc::mmap(ptr::null_mut(), BLOCK_BYTES, access, kind, -1, 0) };
    if block == libc::MAP_FAILED { ptr::null_mut() } else { block.cast() }
}

/// Takes a block back.
///
/// # Safety
/// It is from [`take_block`], and is no longer used.
#[expect(unsafe_code, reason = "memory from mmap(2)")]
unsafe fn give_back(block: *mut u8) {
    let Some(block) = NonNull::new(block.cast::<FreeBlock>()) else { return };
    let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    if free.count >= MAX_FREE_BLOCKS {
        drop(free);
        // SAFETY: the caller guarantees that it is unused, and the mapping has this length.
        if unsafe { libc::munmap(block.as_ptr().cast(), BLOCK_BYTES) } == 0 {
            return;
        }
        // munmap(2) fails when the system has no memory to record the gap.
        free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    }
    // SAFETY: it is unused, large enough for the value, and aligned for it.
    unsafe { block.write(FreeBlock { next: free.first }) };
    free.first = Some(block);
    free.count += 1;
}

// SAFETY: blocks have their size, are aligned, and have one owner until they are given back; all other calls go to the system's
// allocator. Nothing here allocates or panics.
#[expect(unsafe_code, reason = "an allocator")]
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_block(layout.size(), layout.align()) {
            return take_block();
        }
        // SAFETY: the contract of the caller is that of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if is_block(layout.size(), layout.align()) {
            // SAFETY: the caller guarantees that it is from `alloc` with this layout, and unused.
            return unsafe { give_back(block) };
        }
        // SAFETY: the same.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !is_block(layout.size(), layout.align()) {
            // SAFETY: the contract of the caller is that of the system's allocator.
            return unsafe { System.alloc_zeroed(layout) };
        }
        let block = take_block();
        if !block.is_null() {
            // SAFETY: the block has this size.
            unsafe { block.write_bytes(0, BLOCK_BYTES) };
        }
        block
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let alignment = layout.align();
        if !is_block(layout.size(), alignment) && !is_block(new_size, alignment) {
            // SAFETY: the contract of the caller is that of the system's allocator.
            return unsafe { System.realloc(block, layout, new_size) };
        }
        // SAFETY: the caller guarantees that the size is valid with this alignment, and that `block` has `layout`. Both blocks
        // are at least as large as the copy, and do not overlap.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(new_size, alignment));
            if !moved.is_null() {
                ptr::copy_nonoverlapping(block, moved, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

/// Returns unused memory to the system while it is polled. By itself, the system's allocator returns only the end of a heap, so
/// the memory of a burst of requests would stay.
pub(crate) async fn keep_trimmed() {
    let mut looks = tokio::time::interval(TRIM_INTERVAL);
    loop {
        looks.tick().await;
        // Fails only when the runtime ends.
        let _ = tokio::task::spawn_blocking(trim).await;
    }
}

#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "mallinfo(3) and malloc_trim(3)")]
fn trim() {
    // SAFETY: both may be called at any time from any thread.
    unsafe {
        if libc::mallinfo2().fordblks > MAX_UNUSED_BYTES {
            libc::malloc_trim(0);
        }
    }
}

/// Other C libraries have no such call.
#[cfg(not(target_env = "gnu"))]
fn trim() {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn blocks_have_pages_of_their_own_and_are_reused() {
        let count = MAX_FREE_BLOCKS + 100;
        for round in 0..3 {
            let blocks: Vec<Vec<u8>> = (0..count).map(|n| vec![(n + round) as u8; BLOCK_BYTES]).collect();
            let places: BTreeSet<_> = blocks.iter().map(|block| block.as_ptr() as usize).collect();
            assert_eq!(places.len(), count);
            assert!(places.iter().all(|place| place % BLOCK_ALIGNMENT == 0));
            assert!(blocks.iter().enumerate().all(|(n, block)| block.iter().all(|byte| *byte == (n + round) as u8)));
            drop(blocks);
            // Other tests of this process may hold some.
            assert!(FREE.lock().unwrap().count <= MAX_FREE_BLOCKS);
        }
        let zeroed: Vec<_> = (0..count).map(|_| vec![0_u8; BLOCK_BYTES]).collect();
        assert!(zeroed.iter().flatten().all(|byte| *byte == 0));
    }

    #[test]
    fn what_grows_into_a_block_and_out_of_it_keeps_its_bytes() {
        let mut bytes: Vec<u8> = Vec::with_capacity(100);
        for size in [100, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES] {
            bytes.reserve_exact(size - bytes.len());
            assert_eq!(bytes.capacity(), size);
            while bytes.len() < size {
                bytes.push((bytes.len() * 7) as u8);
            }
        }
        for size in [2 * BLOCK_BYTES, BLOCK_BYTES, 100] {
            bytes.truncate(size);
            bytes.shrink_to_fit();
            assert!(bytes.iter().enumerate().all(|(index, byte)| *byte == (index * 7) as u8));
        }
    }

    #[test]
    fn many_threads_share_the_blocks() {
        let work = |seed: usize| {
            for round in 0..2_000 {
                let blocks = [0, 1, 2].map(|n| vec![(seed + round + n) as u8; BLOCK_BYTES]);
                assert!(blocks.iter().enumerate().all(|(n, block)| block[BLOCK_BYTES - 1] == (seed + round + n) as u8));
            }
        };
        std::thread::scope(|scope| {
            for seed in 0..8 {
                scope.spawn(move || work(seed));
            }
        });
    }
}
