// SPDX-License-Identifier: GPL-2.0-only

//! Sorting on a kernel stack.
//!
//! What `core` has calls itself, and each time takes more than two KiB of the stack
//! for its buffer: of two thousand tasks a list is enough to run out of it. This
//! takes none to speak of, and is never quadratic, whatever the job or the image
//! gives it to sort.

/// Sorts by a key. Equal ones may change places.
///
/// Takes in the order of n log n comparisons, and no memory.
#[doc(alias = "heapsort")]
pub(crate) fn by_key<T, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    let is_less = |items: &[T], a: usize, b: usize| match (items.get(a), items.get(b)) {
        (Some(a), Some(b)) => key(a) < key(b),
        _ => false,
    };
    // Has the largest of what is below `at` come up, where each below it is in order.
    let sift = |items: &mut [T], mut at: usize, end: usize| loop {
        let mut child = 2 * at + 1;
        if child >= end {
            return;
        }
        if child + 1 < end && is_less(items, child, child + 1) {
            child += 1;
        }
        if !is_less(items, at, child) {
            return;
        }
        items.swap(at, child);
        at = child;
    };
    let len = items.len();
    for at in (0..len / 2).rev() {
        sift(items, at, len);
    }
    for end in (1..len).rev() {
        items.swap(0, end);
        sift(items, 0, end);
    }
}
