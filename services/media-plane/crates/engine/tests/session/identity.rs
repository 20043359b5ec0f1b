//! The caller's certificate has to be the offer's.

use crate::support::{Call, CallConfig, DtlsVersion, opus};

/// Another fingerprint of the same form.
fn forge(offer: String) -> String {
    let lines = offer
        .lines()
        .map(|line| match line.strip_prefix("a=fingerprint:sha-256 ") {
            Some(digest) => format!(
                "a=fingerprint:sha-256 {}\r\n",
                ["00"; 32].join(":").replacen("00", &digest[..2], 1)
            ),
            None => format!("{line}\r\n"),
        });
    lines.collect()
}

#[test]
fn a_caller_with_another_certificate_than_the_offers_is_refused() {
    for dtls in [DtlsVersion::Dtls12, DtlsVersion::Dtls13] {
        let mut call = Call::new(CallConfig {
            dtls,
            offer: forge,
            ..CallConfig::default()
        });
        call.run_ms(5_000);
        assert_eq!(call.said.closed(), Some("error"));
        assert_eq!(call.said.security(), None);
        assert_eq!(call.session.stats().counters.wrong_certificate, 1);
        let frames = call.said.frames.len();
        if call.rtc.is_connected() {
            call.say(&opus(1));
        }
        assert_eq!(call.said.frames.len(), frames, "no media without identity");
    }
}
