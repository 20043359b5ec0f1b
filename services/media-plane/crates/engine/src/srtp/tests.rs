//! Both directions together, in every profile.

use super::*;
use crate::rtp::HeaderWriter;

const PROFILES: [Profile; 3] = [Profile::AeadAes128Gcm, Profile::AeadAes256Gcm, Profile::Aes128CmSha1_80];

fn pair(profile: Profile) -> (Sender, Receiver) {
    let material: Vec<u8> = (0..2 * (profile.key_len() + profile.salt_len()) as u8).collect();
    let (sender, _) = from_dtls(profile, &material, Side::Client).unwrap();
    let (_, receiver) = from_dtls(profile, &material, Side::Server).unwrap();
    (sender, receiver)
}

fn packet(sequence: u16) -> (Vec<u8>, usize) {
    let mut buffer = vec![0; 256];
    let header = HeaderWriter {
        payload_type: 111,
        sequence,
        ssrc: 7,
        level: Some((1, 30)),
        ..Default::default()
    };
    let length = header.write(&mut buffer);
    buffer[length..length + 5].copy_from_slice(b"voice");
    (buffer, length + 5)
}

fn sealed(sender: &mut Sender, sequence: u16) -> Vec<u8> {
    let (mut buffer, length) = packet(sequence);
    let length = sender.seal_rtp(&mut buffer, length).unwrap();
    buffer.truncate(length);
    buffer
}

#[test]
fn what_is_sealed_opens() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        let mut datagram = sealed(&mut sender, 1);
        let opened = receiver.open_rtp(&mut datagram).unwrap();
        let payload = opened.header.payload(&datagram[..opened.length]).unwrap();
        assert_eq!(&datagram[payload], b"voice", "{profile:?}");
        assert_eq!(opened.index, 1);
    }
}
