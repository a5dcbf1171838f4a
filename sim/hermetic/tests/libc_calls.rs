//! What C code sees that calls libc itself, by name or through `dlsym`.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
// Calling libc is what is tested.
#![allow(unsafe_code)]

mod support;

use std::ffi::{c_long, c_void};

use squall_hermetic::{Escape, outside_node_code};
use support::{EPOCH_NS, as_node};

/// Reads a clock by its id.
fn read_clock(id: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writing.
    assert_eq!(unsafe { libc::clock_gettime(id, &mut time) }, 0);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[test]
fn each_clock_has_its_answer() {
    const NOW: u64 = 1_000_000_009;
    let ((), escapes) = as_node(9, || {
        for id in [libc::CLOCK_MONOTONIC, libc::CLOCK_MONOTONIC_RAW, libc::CLOCK_MONOTONIC_COARSE, libc::CLOCK_BOOTTIME]
        {
            assert_eq!(read_clock(id), NOW);
        }
        for id in [libc::CLOCK_REALTIME, libc::CLOCK_REALTIME_COARSE, libc::CLOCK_TAI] {
            assert_eq!(read_clock(id), EPOCH_NS + NOW);
        }
        // SAFETY: all places are valid for writing.
        unsafe {
            let mut seconds = 0;
            assert_eq!(libc::time(&mut seconds) as u64, (EPOCH_NS + NOW) / 1_000_000_000);
            assert_eq!(seconds, libc::time(std::ptr::null_mut()));
            let mut time = libc::timeval { tv_sec: 0, tv_usec: 0 };
            assert_eq!(libc::gettimeofday(&mut time, std::ptr::null_mut()), 0);
            let microseconds = time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
            assert_eq!(microseconds, (EPOCH_NS + NOW) / 1_000);
            let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            let id = c_long::from(libc::CLOCK_MONOTONIC);
            assert_eq!(libc::syscall(libc::SYS_clock_gettime, id, &raw mut time), 0);
            assert_eq!(time.tv_nsec, 9);
        }
    });
    assert_eq!(escapes, []);
}

#[test]
fn clocks_of_processor_time_are_real_and_named() {
    let (spent, escapes) =
        as_node(9, || (read_clock(libc::CLOCK_THREAD_CPUTIME_ID), read_clock(libc::CLOCK_PROCESS_CPUTIME_ID)));
    assert!(spent.0 > 0 && spent.0 < 1_000_000_000);
    assert!(spent.1 > 0);
    assert_eq!(escapes, [Escape::CpuClock, Escape::CpuClock]);
}

#[test]
fn unknown_clocks_are_refused_as_ever() {
    as_node(9, || {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is valid for writing.
        assert_eq!(unsafe { libc::clock_gettime(77, &mut time) }, -1);
        assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::EINVAL));
    });
}

#[test]
fn entropy_comes_from_the_host_by_every_way() {
    fn draw() -> Vec<[u8; 24]> {
        let mut draws = vec![[0; 24]; 4];
        let at = |draws: &mut Vec<[u8; 24]>, index: usize| draws[index].as_mut_ptr().cast::<c_void>();
        // SAFETY: each place is valid for writing 24 bytes, and the symbol has this type.
        unsafe {
            assert_eq!(libc::getrandom(at(&mut draws, 0), 24, 0), 24);
            assert_eq!(libc::getentropy(at(&mut draws, 1), 24), 0);
            assert_eq!(libc::syscall(libc::SYS_getrandom, at(&mut draws, 2), 24_usize, 0), 24);
            let found = libc::dlsym(libc::RTLD_DEFAULT, c"getrandom".as_ptr());
            type Function = unsafe extern "C" fn(*mut c_void, usize, u32) -> isize;
            let found: Function = std::mem::transmute(found);
            assert_eq!(found(at(&mut draws, 3), 24, 0), 24);
        }
        draws
    }
    let (first, escapes) = as_node(5, draw);
    assert_eq!(escapes, []);
    assert_eq!(first, as_node(5, draw).0);
    // Outside node code all are real: none equals any other.
    let real = [draw(), draw()].concat();
    for (index, one) in real.iter().enumerate() {
        assert!(!first.contains(one) && !real[..index].contains(one));
    }
}

#[test]
fn too_much_entropy_at_once_is_refused_as_ever() {
    let refused = || {
        let mut bytes = [0_u8; 257];
        // SAFETY: the place is valid for writing so many bytes.
        let result = unsafe { libc::getentropy(bytes.as_mut_ptr().cast(), bytes.len()) };
        (result, std::io::Error::last_os_error().raw_os_error(), bytes)
    };
    assert_eq!(refused(), (-1, Some(libc::EIO), [0; 257]));
    assert_eq!(as_node(1, refused).0, (-1, Some(libc::EIO), [0; 257]));
}

#[test]
fn other_system_calls_pass_all_their_arguments() {
    as_node(1, || {
        // Six arguments: a page, written to and given back.
        // SAFETY: a fresh private page, used within its length.
        unsafe {
            let page = libc::syscall(
                libc::SYS_mmap,
                0_usize,
                4096_usize,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1_i64,
                0_usize,
            );
            assert_ne!(page, -1);
            (page as *mut u8).write(1);
            assert_eq!(libc::syscall(libc::SYS_munmap, page, 4096_usize), 0);
        }
    });
}

#[test]
fn sleeps_of_libc_return_at_once() {
    let real = std::time::Instant::now();
    let ((), escapes) = as_node(1, || {
        // SAFETY: the times are valid.
        unsafe {
            assert_eq!(libc::sleep(100), 0);
            assert_eq!(libc::usleep(200_000_000), 0);
            let time = libc::timespec { tv_sec: 300, tv_nsec: 0 };
            assert_eq!(libc::nanosleep(&time, std::ptr::null_mut()), 0);
            // Until 300 s, at 1 s and 1 ns.
            let flags = libc::TIMER_ABSTIME;
            let null = std::ptr::null_mut();
            assert_eq!(libc::clock_nanosleep(libc::CLOCK_MONOTONIC, flags, &time, null), 0);
            // A time that is over, and none at all: no sleep.
            let time = libc::timespec { tv_sec: 1, tv_nsec: 0 };
            assert_eq!(libc::clock_nanosleep(libc::CLOCK_MONOTONIC, flags, &time, null), 0);
            assert_eq!(libc::usleep(0), 0);
            // One that is refused.
            let time = libc::timespec { tv_sec: 0, tv_nsec: -1 };
            assert_eq!(libc::nanosleep(&time, null), -1);
        }
    });
    assert!(real.elapsed().as_secs() < 50);
    let expected = [100, 200, 300].map(|seconds| Escape::BlockingSleep { ns: seconds * 1_000_000_000 });
    assert_eq!(escapes[..3], expected);
    assert_eq!(escapes[3..], [Escape::BlockingSleep { ns: 298_999_999_999 }]);
}

#[test]
fn polls_return_at_once_and_are_named() {
    let real = std::time::Instant::now();
    let ((), escapes) = as_node(1, || {
        let mut ends = [0; 2];
        // SAFETY: all places are valid, and the descriptors are this test's own.
        unsafe {
            assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
            let mut waited = libc::pollfd { fd: ends[0], events: libc::POLLIN, revents: 0 };
            assert_eq!(libc::poll(&mut waited, 1, 100_000), 0);
            assert_eq!(libc::poll(&mut waited, 1, 0), 0);
            let limit = libc::timespec { tv_sec: 200, tv_nsec: 0 };
            assert_eq!(libc::ppoll(&mut waited, 1, &limit, std::ptr::null()), 0);
            let epoll = libc::epoll_create1(0);
            let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
            assert_eq!(libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, ends[0], &mut event), 0);
            assert_eq!(libc::epoll_wait(epoll, &mut event, 1, 300_000), 0);
            assert_eq!(libc::epoll_pwait(epoll, &mut event, 1, 400_000, std::ptr::null()), 0);
            // What is ready is no wait, with or without a limit.
            assert_eq!(libc::write(ends[1], [1_u8].as_ptr().cast(), 1), 1);
            assert_eq!(libc::poll(&mut waited, 1, 100_000), 1);
            assert_eq!(libc::poll(&mut waited, 1, -1), 1);
            assert_eq!(libc::ppoll(&mut waited, 1, std::ptr::null(), std::ptr::null()), 1);
            assert_eq!(libc::epoll_wait(epoll, &mut event, 1, -1), 1);
            for descriptor in [ends[0], ends[1], epoll] {
                libc::close(descriptor);
            }
        }
    });
    assert!(real.elapsed().as_secs() < 50);
    let expected =
        [100, 200, 300, 400].map(|seconds| Escape::BlockingWait { timeout_ns: Some(seconds * 1_000_000_000) });
    assert_eq!(escapes, expected);
}
#[test]
fn a_directory_is_changed_for_one_run_alone() {
    let here = std::env::current_dir().unwrap();
    let mask = || {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        status.lines().find(|line| line.starts_with("Umask")).unwrap().to_string()
    };
    let before = mask();
    let (seen, escapes) = as_node(1, move || {
        std::env::set_current_dir("/").unwrap();
        // SAFETY: both take numbers, and this one is open.
        unsafe {
            let descriptor = libc::open(c"/proc".as_ptr(), libc::O_RDONLY);
            assert_eq!(libc::fchdir(descriptor), 0);
            libc::umask(0o077);
        }
        (std::env::current_dir().unwrap(), outside_node_code(mask))
    });
    assert_eq!(seen, (std::path::PathBuf::from("/proc"), "Umask:\t0077".to_string()));
    assert_eq!((std::env::current_dir().unwrap(), mask()), (here, before));
    let changes = escapes.iter().filter(|escape| matches!(escape, Escape::DirectoryChanged { .. }));
    let said: Vec<String> = changes.map(ToString::to_string).collect();
    assert_eq!(said.len(), 2, "{escapes:?}");
    assert_eq!(said[0], "the working directory was changed to /");
}

/// From here on the system refuses this thread a directory of its own, as containers do.
fn refuse_unshare() {
    let code = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf, k };
    let filter = [
        // The number of the system call, which stands first.
        code(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        code(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_unshare as u32),
        code(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        code(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the filter outlives the call, which copies it.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program), 0);
    }
}

#[test]
fn a_directory_that_others_would_share_is_not_changed() {
    let here = std::env::current_dir().unwrap();
    let (refused, escapes) = as_node(1, || {
        outside_node_code(refuse_unshare);
        let by_path = std::env::set_current_dir("/").unwrap_err().kind();
        // SAFETY: it takes a number, and is refused whichever.
        (by_path, unsafe { libc::fchdir(0) })
    });
    assert_eq!(refused, (std::io::ErrorKind::PermissionDenied, -1));
    assert_eq!(escapes.len(), 2, "{escapes:?}");
    assert_eq!(std::env::current_dir().unwrap(), here);
}

/// By whatever call: nothing is taken from it.
#[test]
fn the_standard_input_is_named_however_it_is_read() {
    let ((), escapes) = as_node(1, || {
        let (none, mut byte) = (std::ptr::null_mut(), 0u8);
        let place = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
        // SAFETY: there is a place for a byte, no offsets are given, and nothing is written to the standard output.
        unsafe {
            assert_eq!(libc::read(0, (&raw mut byte).cast(), 1), 0);
            assert_eq!(libc::readv(0, &place, 1), 0);
            assert_eq!(libc::splice(0, none, 1, none, 1, 0), 0);
            assert_eq!(libc::sendfile(1, 0, none, 1), 0);
            assert_eq!(libc::sendfile64(1, 0, none, 1), 0);
            assert_eq!(libc::copy_file_range(0, none, 1, none, 1, 0), 0);
        }
    });
    assert_eq!(escapes, vec![Escape::StandardInput; 6]);
}
