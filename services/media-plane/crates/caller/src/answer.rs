//! What str0m must be spared in the answers of other servers.

/// The answer with extensions of its candidates left out (RFC 8839, section 5.1): str0m passes over a candidate that
/// has one it does not know, such as Pion's `generation` after `ufrag`.
#[must_use]
pub fn plain_candidates(sdp: &str) -> String {
    const FIELDS: usize = 8;
    let plain = |line: &str| match line.starts_with("a=candidate:") {
        true => line.split(' ').take(FIELDS).collect::<Vec<_>>().join(" "),
        false => line.to_owned(),
    };
    sdp.lines().map(|line| plain(line.trim_end()) + "\r\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_of_candidates_are_left_out() {
        let sdp = "a=mid:0\r\na=candidate:1 1 udp 2130706431 127.0.0.1 5000 typ host ufrag x generation 0\r\n";
        let plain = "a=mid:0\r\na=candidate:1 1 udp 2130706431 127.0.0.1 5000 typ host\r\n";
        assert_eq!(plain_candidates(sdp), plain);
        assert_eq!(plain_candidates(plain), plain);
    }
}
