//! What a segment of HTTP/2 asks for, so that a failure can name it: the `:method` and `:path` of the HEADERS frames in it.
//!
//! Nothing here decides anything, and nothing is remembered from segment to segment: frames are walked as RFC 9113 lays them out, as far as the segment goes, and
//! fields as RFC 7541 does (HPACK). What a field refers to in the table that two ends of a connection build is passed over. Implementations don't put `:path` there, as it
//! is mostly another one; a path that is known by that table alone isn't named.

/// What a connection begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame's length, type, flags and stream.
const FRAME_HEADER_BYTES: usize = 9;

/// What a frame may have unless the ends agree on more.
const FRAME_BYTES_MAX: usize = 16_384;

/// The last type of frame of RFC 9113, CONTINUATION.
const TYPE_MAX: u8 = 9;

const HEADERS: u8 = 1;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// A HEADERS frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Headers {
    /// Of which stream.
    pub stream: u32,
    /// What it asks for, as "POST /bank.Bank/Pay", if it says so.
    pub request: Option<String>,
}

/// The HEADERS frames of a segment; none if it isn't HTTP/2, or begins in the midst of a frame.
pub(crate) fn headers_of(segment: &[u8]) -> Vec<Headers> {
    let mut rest = segment.strip_prefix(PREFACE).unwrap_or(segment);
    let mut found = Vec::new();
    while let Some((header, behind)) = rest.split_at_checked(FRAME_HEADER_BYTES) {
        let length = usize::from(header[0]) << 16 | usize::from(header[1]) << 8 | usize::from(header[2]);
        let (kind, flags) = (header[3], header[4]);
        let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
        // DATA, HEADERS, PRIORITY, RST_STREAM, PUSH_PROMISE and CONTINUATION are a stream's, SETTINGS, PING and GOAWAY the connection's.
        let is_of_stream = match kind {
            0..=3 | 5 | 9 => stream != 0,
            4 | 6 | 7 => stream == 0,
            _ => true,
        };
        if length > FRAME_BYTES_MAX || kind > TYPE_MAX || stream >> 31 != 0 || !is_of_stream {
            return Vec::new();
        }
        let (content, behind) = behind.split_at(length.min(behind.len()));
        if kind == HEADERS {
            found.push(Headers { stream, request: block_of(content, flags).and_then(request_of) });
        }
        rest = behind;
    }
    found
}

/// The fields in a HEADERS frame, without padding and priority.
fn block_of(content: &[u8], flags: u8) -> Option<&[u8]> {
    let (padding, content) = match flags & PADDED {
        0 => (0, content),
        _ => content.split_first().map(|(padding, content)| (usize::from(*padding), content))?,
    };
    let content = content.get(if flags & PRIORITY == 0 { 0 } else { 5 }..)?;
    content.get(..content.len().checked_sub(padding)?)
}

/// The method and path among fields, as far as they are said in it.
fn request_of(block: &[u8]) -> Option<String> {
    let mut bytes = block;
    let (mut method, mut path) = (None, None);
    while let Some(first) = bytes.first() {
        // Indexed field; literal with incremental indexing; a new size of the table; literal without indexing, or never indexed (RFC 7541, 6).
        let index_bits = match first {
            0x80.. => 7,
            0x40.. => 6,
            0x20.. => 5,
            _ => 4,
        };
        let Some(index) = integer(&mut bytes, index_bits) else { break };
        let value = match index_bits {
            7 => match index {
                2 => Some("GET".to_string()),
                3 => Some("POST".to_string()),
                4 => Some("/".to_string()),
                5 => Some("/index.html".to_string()),
                _ => None,
            },
            5 => continue,
            _ => {
                if index == 0 && string(&mut bytes).is_none() {
                    break;
                }
                let Some(value) = string(&mut bytes) else { break };
                // As RFC 9110 has both. What else it is would make a line of a report unreadable.
                String::from_utf8(value).ok().filter(|value| value.bytes().all(|byte| byte.is_ascii_graphic()))
            }
        };
        // The names' places in the static table (RFC 7541, appendix A).
        match index {
            2 | 3 => method = method.or(value),
            4 | 5 => path = path.or(value),
            _ => {}
        }
    }
    let path = path?;
    Some(method.map_or(path.clone(), |method| format!("{method} {path}")))
}

/// An integer whose first bits share a byte with something else (RFC 7541, 5.1).
fn integer(bytes: &mut &[u8], prefix_bits: u32) -> Option<usize> {
    let (first, mut rest) = bytes.split_first()?;
    let mask = (1_usize << prefix_bits) - 1;
    let mut value = usize::from(*first) & mask;
    if value == mask {
        let mut shift = 0;
        loop {
            let (next, behind) = rest.split_first()?;
            rest = behind;
            value += usize::from(next & 0x7F) << shift;
            shift += 7;
            if next & 0x80 == 0 {
                break;
            }
            if shift > 21 {
                return None;
            }
        }
    }
    *bytes = rest;
    Some(value)
}

/// A string, which may be in Huffman's code (RFC 7541, 5.2).
fn string(bytes: &mut &[u8]) -> Option<Vec<u8>> {
    let is_coded = bytes.first()? & 0x80 != 0;
    let length = integer(bytes, 7)?;
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    if is_coded { decoded(text) } else { Some(text.to_vec()) }
}

/// A string out of Huffman's code (RFC 7541, appendix B). The code is canonical: of symbols with equally long codes a later one has the next code, so the
/// lengths say all.
fn decoded(coded: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let (mut code, mut bits) = (0_u32, 0_u8);
    for bit in coded.iter().flat_map(|byte| (0..8).rev().map(move |place| byte >> place & 1)) {
        (code, bits) = (code << 1 | u32::from(bit), bits + 1);
        if bits > LENGTH_MAX {
            return None;
        }
        if let Some(place) = code.checked_sub(CODES.first[usize::from(bits)])
            && place < CODES.count[usize::from(bits)]
        {
            let symbol = CODES.symbols[CODES.before[usize::from(bits)] + place as usize];
            text.push(u8::try_from(symbol).ok()?);
            (code, bits) = (0, 0);
        }
    }
    // It is filled up with the first bits of the last code, which are ones.
    (bits < 8 && code == (1 << bits) - 1).then_some(text)
}

/// The code by lengths in bits: the first code of that length, how many there are, how many symbols have shorter ones; and the symbols, those with short
/// codes first.
struct Codes {
    first: [u32; LENGTH_MAX as usize + 1],
    count: [u32; LENGTH_MAX as usize + 1],
    before: [usize; LENGTH_MAX as usize + 1],
    symbols: [u16; CODE_LENGTHS.len()],
}

static CODES: Codes = {
    let lengths = LENGTH_MAX as usize + 1;
    let mut codes = Codes {
        first: [0; LENGTH_MAX as usize + 1],
        count: [0; LENGTH_MAX as usize + 1],
        before: [0; LENGTH_MAX as usize + 1],
        symbols: [0; CODE_LENGTHS.len()],
    };
    let (mut length, mut known) = (1, 0);
    while length < lengths {
        codes.first[length] = (codes.first[length - 1] + codes.count[length - 1]) << 1;
        codes.before[length] = known;
        let mut symbol = 0;
        while symbol < CODE_LENGTHS.len() {
            if CODE_LENGTHS[symbol] as usize == length {
                codes.symbols[known] = symbol as u16;
                codes.count[length] += 1;
                known += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    codes
};

/// How many bits the longest code has.
const LENGTH_MAX: u8 = 30;

/// How many bits each byte's code has, and last that of the end, which isn't said.
#[rustfmt::skip]
const CODE_LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28,
    28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6,
    6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23,
    23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19,
    22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27,
    27, 27, 27, 26, 30,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: String = hex.split_whitespace().collect();
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex")).collect()
    }

    fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
        let mut frame = (content.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(content);
        frame
    }

    /// A literal without indexing under a name of the static table.
    fn literal(index: u8, value: &str) -> Vec<u8> {
        [&[index, value.len() as u8], value.as_bytes()].concat()
    }

    /// The examples of RFC 7541, C.4 and C.6.
    #[test]
    fn huffman_codes_are_those_of_the_rfc() {
        for (coded, text) in [
            ("f1e3 c2e5 f23a 6ba0 ab90 f4ff", "www.example.com"),
            ("a8eb 1064 9cbf", "no-cache"),
            ("25a8 49e9 5ba9 7d7f", "custom-key"),
            ("25a8 49e9 5bb8 e8b4 bf", "custom-value"),
            ("aec3 771a 4b", "private"),
            ("9d29 ad17 1863 c78f 0b97 c8e9 ae82 ae43 d3", "https://www.example.com"),
            ("d07a be94 1054 d444 a820 0595 040b 8166 e082 a62d 1bff", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ] {
            assert_eq!(decoded(&bytes(coded)).as_deref(), Some(text.as_bytes()), "{text}");
        }
        // A padding that isn't the end's first bits, and one of a whole byte.
        assert_eq!(decoded(&bytes("a8eb 1064 9cbe")), None);
        assert_eq!(decoded(&bytes("a8eb 1064 9cbf ff")), None);
    }

    #[test]
    fn each_code_is_its_own() {
        let sum: u64 = CODE_LENGTHS.iter().map(|length| 1_u64 << (LENGTH_MAX - length)).sum();
        assert_eq!(sum, 1 << LENGTH_MAX, "the codes fill the tree");
    }

    /// RFC 7541, C.4.1: the path is of the static table.
    #[test]
    fn a_request_is_named_by_method_and_path() {
        let block = bytes("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff");
        let segment = frame(HEADERS, 5, 1, &block);
        let named = |request: &str| vec![Headers { stream: 1, request: Some(request.into()) }];
        assert_eq!(headers_of(&segment), named("GET /"));

        let block = [vec![0x83, 0x86], literal(4, "/bank.Bank/Pay")].concat();
        let segment =
            [PREFACE, &frame(4, 0, 0, &[]), &frame(HEADERS, 4, 1, &block), &frame(0, 1, 1, b"hello")].concat();
        assert_eq!(headers_of(&segment), named("POST /bank.Bank/Pay"));
        // C.2.2, under a method that isn't in the table.
        let put = [literal(2, "PUT"), bytes("040c 2f73 616d 706c 652f 7061 7468"), vec![0x86]].concat();
        let padded = [&[3, 0, 0, 0, 0, 9], &*put, &[0, 0, 0]].concat();
        assert_eq!(headers_of(&frame(HEADERS, PADDED | PRIORITY | 4, 1, &padded)), named("PUT /sample/path"));
    }

    /// What would break a report's line is no method and no path.
    #[test]
    fn what_cannot_be_shown_has_no_name() {
        for path in ["/a\nb", "/a\u{1b}[1m", "/a b", "/ä"] {
            let block = [vec![0x83, 0x86], literal(4, path)].concat();
            assert_eq!(headers_of(&frame(HEADERS, 4, 1, &block))[0].request, None, "{path:?}");
        }
    }

    #[test]
    fn an_answer_and_trailers_have_no_request() {
        let segment = [frame(HEADERS, 4, 3, &[0x88]), frame(0, 0, 3, b"x"), frame(HEADERS, 5, 3, &[0xbf])].concat();
        let silent = Headers { stream: 3, request: None };
        assert_eq!(headers_of(&segment), [silent.clone(), silent]);
    }

    #[test]
    fn what_is_no_http_2_has_no_name() {
        for segment in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"", b"\0\0", b"{\"order\": 12345678901234567890}", &[0xFF; 64]]
        {
            assert_eq!(headers_of(segment), []);
        }
        // A stream's frame of no stream.
        assert_eq!(headers_of(&frame(HEADERS, 4, 0, &[0x84])), []);
    }

    /// Whatever a segment ends with or holds, it is looked at without a panic.
    #[test]
    fn a_cut_segment_is_as_good_as_it_goes() {
        let block = [vec![0x83, 0x86], literal(4, "/bank.Bank/Pay"), vec![0x40, 0x01]].concat();
        let segment = [frame(HEADERS, 4, 1, &block), frame(HEADERS, 4, 3, &block)].concat();
        for length in 0..segment.len() {
            let found = headers_of(&segment[..length]);
            assert!(found.len() <= 2, "{found:?}");
        }
        for place in 0..segment.len() {
            for value in [0, 0x1F, 0x20, 0x3F, 0x7F, 0x80, 0xFF] {
                let mut changed = segment.clone();
                changed[place] = value;
                headers_of(&changed);
            }
        }
        assert_eq!(headers_of(&segment)[1].request.as_deref(), Some("POST /bank.Bank/Pay"));
    }
}
