//! Giving memory back that the allocator keeps for later.
#![cfg_attr(
    all(target_os = "linux", target_env = "gnu"),
    expect(unsafe_code, reason = "glibc offers this as a C function only")
)]

/// Asks the allocator for what it does not use. Without this a flood that is over still looks like one: glibc keeps
/// freed memory to itself where something that is in use lies behind it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn give_back() {
    // SAFETY: the function takes no pointer, is safe to call from any thread, and touches only memory that is free.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Other allocators have no such function, or need none.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back() {}
