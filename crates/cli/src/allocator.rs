//! The program's memory: the system's allocator, but for blocks of 8 KiB, which have pages of their own.
//!
//! A connection has two buffers of exactly 8 KiB for as long as it lasts: hyper's, for the heads of requests and of answers. A client
//! that does nothing more uses some hundred bytes of each. The system's allocator puts blocks of all sizes side by side and cuts freed
//! ones up, until every page of the buffers is resident: ten thousand idle clients take 160 MiB for them. With pages of their own, those
//! that nobody wrote to take nothing: 80 MiB.
//!
//! A general allocator does not do it: with mimalloc 0.1.52 9,000 readers that take nothing cost 481 MiB, with this 148 (`scripts/bench idle`).
//!
//! Invariant: a block is either somebody's or in the list of free ones, and what is given back is of the size and alignment
//! that it was asked for with, as `GlobalAlloc` demands; so the size tells whose block it is.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::{self, NonNull};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const BLOCK_BYTES: usize = 8 * 1024;
/// Alignment that every block has: that of the smallest pages there are.
const BLOCK_ALIGNMENT: usize = 4096;
/// Free blocks that are kept, 8 MiB: connections come and go without asking the system. Everything above goes back to it.
const MOST_FREE: usize = 1024;

/// Between two looks at what the system's allocator has and nobody uses, and how much of that is given back.
const TRIM_INTERVAL: Duration = Duration::from_secs(10);
const MOST_UNUSED_BYTES: usize = 16 << 20;

/// The allocator.
pub struct Allocator;

/// A free block: its first bytes.
struct FreeBlock {
    next: Option<NonNull<FreeBlock>>,
}

struct FreeBlocks {
    first: Option<NonNull<FreeBlock>>,
    count: usize,
}

// SAFETY: whoever has the list has the blocks in it, from whichever thread.
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
        // SAFETY: what is in the list is a mapped block that nobody else has, and begins with what `give_back` wrote there.
        free.first = unsafe { block.read() }.next;
        free.count -= 1;
        return block.as_ptr().cast();
    }
    drop(free);
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping, wherever the system likes, touches no memory that is there.
    let block = unsafe { libc::mmap(ptr::null_mut(), BLOCK_BYTES, access, kind, -1, 0) };
    if block == libc::MAP_FAILED { ptr::null_mut() } else { block.cast() }
}

/// Takes a block back.
///
/// # Safety
/// It is from [`take_block`], and nobody uses it any more.
#[expect(unsafe_code, reason = "memory from mmap(2)")]
unsafe fn give_back(block: *mut u8) {
    let Some(block) = NonNull::new(block.cast::<FreeBlock>()) else { return };
    let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    if free.count >= MOST_FREE {
        drop(free);
        // SAFETY: the caller says that nobody uses it, and the mapping is of this length.
        if unsafe { libc::munmap(block.as_ptr().cast(), BLOCK_BYTES) } == 0 {
            return;
        }
        // The system has no memory to remember the gap in.
        free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    }
    // SAFETY: nobody uses it; it is larger than what is written, and aligned for it.
    unsafe { block.write(FreeBlock { next: free.first }) };
    free.first = Some(block);
    free.count += 1;
}

// SAFETY: blocks are of their size, aligned, and nobody else's until they are given back; everything else is the system's. Nothing here
// allocates or panics.
#[expect(unsafe_code, reason = "an allocator")]
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_block(layout.size(), layout.align()) {
            return take_block();
        }
        // SAFETY: what the caller promises is what the system asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if is_block(layout.size(), layout.align()) {
            // SAFETY: the caller promises that it is from `alloc` with this layout, and done with.
            return unsafe { give_back(block) };
        }
        // SAFETY: the same.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !is_block(layout.size(), layout.align()) {
            // SAFETY: what the caller promises is what the system asks for.
            return unsafe { System.alloc_zeroed(layout) };
        }
        let block = take_block();
        if !block.is_null() {
            // SAFETY: it is a block of this size.
            unsafe { block.write_bytes(0, BLOCK_BYTES) };
        }
        block
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let alignment = layout.align();
        if !is_block(layout.size(), alignment) && !is_block(new_size, alignment) {
            // SAFETY: what the caller promises is what the system asks for.
            return unsafe { System.realloc(block, layout, new_size) };
        }
        // SAFETY: the caller promises that the size is valid with this alignment, and that `block` has `layout`. Both are
        // at least as large as what is copied, and different ones.
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

/// Gives memory that nobody uses back to the system, for as long as it is polled: a crowd that came at once would leave what all of
/// its requests took together, because the system's allocator returns by itself only what is at the end of a heap.
pub async fn keep_trimmed() {
    let mut looks = tokio::time::interval(TRIM_INTERVAL);
    loop {
        looks.tick().await;
        // It fails only when the runtime ends.
        let _ = tokio::task::spawn_blocking(trim).await;
    }
}

#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "mallinfo(3) and malloc_trim(3)")]
fn trim() {
    // SAFETY: both may be called at any time from any thread.
    unsafe {
        if libc::mallinfo2().fordblks > MOST_UNUSED_BYTES {
            libc::malloc_trim(0);
        }
    }
}

/// Other C libraries have nothing like it.
#[cfg(not(target_env = "gnu"))]
fn trim() {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn blocks_are_on_pages_of_their_own_and_are_used_again() {
        let count = MOST_FREE + 100;
        for round in 0..3 {
            let blocks: Vec<Vec<u8>> = (0..count).map(|n| vec![(n + round) as u8; BLOCK_BYTES]).collect();
            let places: BTreeSet<_> = blocks.iter().map(|block| block.as_ptr() as usize).collect();
            assert_eq!(places.len(), count);
            assert!(places.iter().all(|place| place % BLOCK_ALIGNMENT == 0));
            assert!(blocks.iter().enumerate().all(|(n, block)| block.iter().all(|byte| *byte == (n + round) as u8)));
            drop(blocks);
            // Other tests of this process hold some at most.
            assert!(FREE.lock().unwrap().count <= MOST_FREE);
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
