//! Measures what the interposition costs: `cargo run --release -p squall-hermetic --example overhead`.

use std::cell::Cell;
use std::hint::black_box;
use std::rc::Rc;
use std::time::Instant;

use squall_hermetic::{Escape, Host, enter, outside_node_code, set_node_code};

/// Answers as cheaply as a host can.
struct Cheap(Cell<u64>);

impl Host for Cheap {
    fn monotonic_ns(&self) -> u64 {
        self.0.set(self.0.get() + 1);
        self.0.get()
    }

    fn wall_ns(&self) -> u64 {
        self.0.get()
    }

    fn fill_entropy(&self, out: &mut [u8]) {
        out.fill(1);
    }

    fn on_escape(&self, _: Escape) {}
}

/// Prints the shortest time of a call of `body` over several rounds; the shortest is the least disturbed.
fn measure(what: &str, mut body: impl FnMut()) {
    const CALLS: u32 = 1_000_000;
    let mut best = f64::INFINITY;
    for _ in 0..7 {
        let start = outside_node_code(Instant::now);
        for _ in 0..CALLS {
            body();
        }
        let took = outside_node_code(|| start.elapsed());
        best = best.min(took.as_nanos() as f64 / f64::from(CALLS));
    }
    println!("{best:8.2} ns  {what}");
}

fn main() {
    squall_hermetic::self_test().expect("the interposition should work here");
    measure("an empty call", || {
        black_box(());
    });
    measure("`set_node_code` on and off", || {
        black_box(set_node_code(black_box(true)));
        black_box(set_node_code(black_box(false)));
    });
    measure("`Instant::now` on a thread without a host, passed to libc", || {
        black_box(Instant::now());
    });
    measure_real_clock();
    let guard = enter(Rc::new(Cheap(Cell::new(0))));
    measure("`Instant::now` with a host, outside node code, passed to libc", || {
        black_box(Instant::now());
    });
    set_node_code(true);
    measure("`Instant::now` in node code, answered by the host", || {
        black_box(Instant::now());
    });
    measure("a timed park in node code, named and returned from", || {
        std::thread::park_timeout(std::time::Duration::from_secs(1));
    });
    drop(guard);
}

/// Libc's own clock, called past the interposition.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)] // There is no safe way past the interposition.
fn measure_real_clock() {
    type Function = unsafe extern "C" fn(libc::clockid_t, *mut libc::timespec) -> i32;
    // SAFETY: the name is a C string, and the symbol has this type.
    let real: Function = unsafe { std::mem::transmute(libc::dlsym(libc::RTLD_NEXT, c"clock_gettime".as_ptr())) };
    measure("libc's own `clock_gettime`, called directly", || {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is valid for writing.
        black_box(unsafe { real(libc::CLOCK_MONOTONIC, &mut time) });
        black_box(time);
    });
}

#[cfg(not(target_os = "linux"))]
fn measure_real_clock() {}
