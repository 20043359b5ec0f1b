//! The wire formats, each with its behaviour and with properties that hold for any bytes.

mod device;
mod envelope;
mod framing;
mod opus;
mod red;
mod rtcp;
mod rtp;
mod stun;
mod ufrag;

/// Bytes from hexadecimal digits; everything else is skipped.
fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(u8::is_ascii_hexdigit).collect();
    let nibble = |digit: u8| char::from(digit).to_digit(16).unwrap() as u8;
    digits
        .chunks(2)
        .map(|pair| nibble(pair[0]) << 4 | nibble(pair[1]))
        .collect()
}
