//! A message's bytes. Small ones lie inside the message.

use squall_trace::short::copy_short;

const INLINE_BYTES: usize = 22;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) enum Payload {
    Inline { length: u8, bytes: [u8; INLINE_BYTES] },
    Heap(Box<[u8]>),
}

impl Payload {
    /// Takes a copy of `bytes`. Short ones are written where they stay: made elsewhere and moved, they would be read back
    /// by wider loads than they were stored by, which a processor can't forward and waits for.
    #[inline]
    pub(crate) fn set(&mut self, bytes: &[u8]) {
        if bytes.len() > INLINE_BYTES {
            *self = Payload::Heap(bytes.into());
            return;
        }
        if matches!(self, Payload::Heap(_)) {
            *self = Payload::default();
        }
        if let Payload::Inline { length, bytes: inline } = self {
            *length = bytes.len() as u8;
            copy_short(inline, bytes);
        }
    }

    /// Flips one bit: see [`squall_trace::SiteKind::Corruption`].
    ///
    /// # Panics
    /// If it has no such bit.
    pub(crate) fn flip(&mut self, bit: u64) {
        let bytes: &mut [u8] = match self {
            Payload::Inline { length, bytes } => &mut bytes[..usize::from(*length).min(INLINE_BYTES)],
            Payload::Heap(bytes) => bytes,
        };
        bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_at_any_length() {
        let mut payload = Payload::default();
        for length in (0..100u8).chain((0..100).rev()) {
            let bytes: Vec<u8> = (0..length).collect();
            payload.set(&bytes);
            assert_eq!(payload.as_slice(), bytes);
            for bit in 0..u64::from(length) * 8 {
                payload.flip(bit);
                let flipped = payload.as_slice().iter().zip(&bytes).map(|(one, other)| (one ^ other).count_ones());
                assert_eq!(flipped.sum::<u32>(), 1);
                assert_eq!(payload.as_slice()[bit as usize / 8] ^ bytes[bit as usize / 8], 1 << (bit % 8));
                payload.flip(bit);
            }
        }
    }
}
