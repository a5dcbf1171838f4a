//! A message's bytes. Small ones lie inside the message.

const INLINE_BYTES: usize = 22;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) enum Payload {
    Inline { length: u8, bytes: [u8; INLINE_BYTES] },
    Heap(Box<[u8]>),
}

impl Payload {
    #[inline]
    pub(crate) fn new(bytes: &[u8]) -> Payload {
        if bytes.len() <= INLINE_BYTES {
            let mut inline = [0; INLINE_BYTES];
            copy_short(&mut inline[..bytes.len()], bytes);
            Payload::Inline { length: bytes.len() as u8, bytes: inline }
        } else {
            Payload::Heap(bytes.into())
        }
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Payload::Inline { length, bytes } => &bytes[..usize::from(*length).min(INLINE_BYTES)],
            Payload::Heap(bytes) => bytes,
        }
    }
}

impl Default for Payload {
    #[inline]
    fn default() -> Payload {
        Payload::Inline { length: 0, bytes: [0; INLINE_BYTES] }
    }
}

/// Copies between slices of one length. Most are of 8 to 16 bytes, which two words cover: a call of `memcpy` costs more
/// than the copy.
#[inline]
pub(crate) fn copy_short(to: &mut [u8], from: &[u8]) {
    let length = from.len();
    if let (8..=16, Some(first), Some(last)) = (length, from.first_chunk::<8>(), from.last_chunk::<8>())
        && to.len() == length
    {
        to[..8].copy_from_slice(first);
        to[length - 8..].copy_from_slice(last);
    } else {
        to.copy_from_slice(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_at_any_length() {
        for length in 0..100u8 {
            let bytes: Vec<u8> = (0..length).collect();
            assert_eq!(Payload::new(&bytes).as_slice(), bytes);
        }
    }
}
