//! Copying a few bytes.

/// Copies `from` to the start of `to`. Up to 32 bytes are covered by two words, which may overlap: a call of `memcpy` costs
/// more than such a copy.
///
/// # Panics
/// If `to` is shorter than `from`.
#[inline]
pub fn copy_short(to: &mut [u8], from: &[u8]) {
    #[inline]
    fn ends<const N: usize>(to: &mut [u8], from: &[u8]) {
        if let (Some(first), Some(last)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) {
            let behind = to.len() - N;
            to[..N].copy_from_slice(first);
            to[behind..].copy_from_slice(last);
        }
    }
    let length = from.len();
    let to = &mut to[..length];
    match length {
        0 => {}
        1 => to[0] = from[0],
        2..4 => ends::<2>(to, from),
        4..8 => ends::<4>(to, from),
        8..16 => ends::<8>(to, from),
        16..=32 => ends::<16>(to, from),
        _ => to.copy_from_slice(from),
    }
}

#[cfg(test)]
mod tests {
    use super::copy_short;

    #[test]
    fn bytes_of_any_length_are_copied_and_no_others() {
        for length in 0..100usize {
            let from: Vec<u8> = (1..=length as u8).collect();
            let mut to = vec![0xff; length + 9];
            copy_short(&mut to, &from);
            assert_eq!(&to[..length], from);
            assert!(to[length..].iter().all(|byte| *byte == 0xff), "{length}");
        }
    }
}
