//! Tests of redaction: secrets in every encoding, and texts that must not change.

use base64::Engine;
use base64::prelude::{
    BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD,
};
use proptest::prelude::*;

use super::secrets::{CREDENTIALS, PIECE, TOKENS};
use super::*;

fn redactor(secrets: &[&str]) -> Redactor {
    let redactor = Redactor::default();
    for secret in secrets {
        redactor.register(&SecretString::from(*secret));
    }
    redactor
}

#[test]
fn secrets_are_found_in_their_encodings() {
    let redactor = redactor(&["p@ss wörd/1+2", "acc0unt-7", "id"]);
    for (text, expected) in [
        ("not p@ss wörd/1+2!", "not [redacted]!"),
        ("acc0unt-7acc0unt-7", "[redacted]"),
        ("p%40ss%20w%C3%B6rd%2F1%2B2", "[redacted]"),
        ("p%40ss+w%c3%b6rd%2f1%2b2&x=1", "[redacted]&x=1"),
        ("p@ss+w%C3%B6rd/1%2B2", "[redacted]"),
        ("p%2540ss%2520w%25C3%25B6rd%252F1%252B2.", "[redacted]."),
        (r"p\u0040ss w%C3%B6rd\/1\u002b2", "[redacted]"),
        ("%61cc0unt%2D7", "[redacted]"),
        (
            "inval%69d id invalid_client",
            "inval%69d [redacted] invalid_client",
        ),
        ("client_id=id&idea", "client_id=[redacted]&idea"),
        ("%69%64", "[redacted]"),
        ("%3Aid%26", "%3A[redacted]%26"),
        ("acc0unt-", "acc0unt-"),
        ("ACC0UNT-7", "ACC0UNT-7"),
        ("100% of 5%4", "100% of 5%4"),
        ("", ""),
    ] {
        assert_eq!(redactor.redact(text), expected, "{text}");
    }
}

#[test]
fn secrets_are_found_inside_base64() {
    let redactor = redactor(&["acc0unt-7", "id"]);
    let standard = |text: &str| BASE64_STANDARD.encode(text);
    for (text, expected) in [
        (
            format!("Basic {}", standard("acc0unt-7:x")),
            "Basic [redacted]",
        ),
        (format!("({})", standard("?acc0unt-7")), "([redacted])"),
        (standard("??acc0unt-7"), "[redacted]"),
        (format!("a{}", standard("acc0unt-7")), "[redacted]"),
        (BASE64_STANDARD.encode("x:acc0unt%2D7"), "[redacted]"),
        (standard("x:acc0unt-7").replace('=', "%3D"), "[redacted]"),
        (format!("x {}", standard("id:other")), "x [redacted]"),
        (standard("idea"), "aWRlYQ=="),
        (standard("nothing of it"), "bm90aGluZyBvZiBpdA=="),
    ] {
        assert_eq!(redactor.redact(&text), expected, "{text}");
    }
}

#[test]
fn blank_secrets_are_ignored_and_the_oldest_tokens_are_forgotten() {
    let redactor = redactor(&["", " ", "\n", "a setting"]);
    assert_eq!(redactor.redact("a b"), "a b");
    let secret = |number: usize| format!("number-{number:05}");
    for number in 0..=TOKENS {
        redactor.register_token(&SecretString::from(secret(number)));
        redactor.register_token(&SecretString::from(secret(number)));
    }
    let redacted = |number| redactor.redact(&secret(number)).into_owned();
    assert_eq!(redacted(0), secret(0));
    assert_eq!(redacted(1), REDACTED);
    assert_eq!(redacted(TOKENS), REDACTED);
    assert_eq!(redactor.redact("of a setting"), "of [redacted]");
    assert_eq!(
        format!("{redactor:?}"),
        format!("Redactor({} secrets)", TOKENS + 1)
    );
}

#[test]
fn settings_are_never_forgotten_and_credentials_after_many_others() {
    let secret = |number: usize| SecretString::from(format!("number-{number:05}"));
    let redactor = redactor(&["a setting"]);
    let in_force = SecretString::from("in force");
    let credentials: Vec<SecretString> = (0..=CREDENTIALS).map(secret).collect();
    for some in credentials.chunks(100) {
        // What is in force is registered again and again.
        redactor.register_credentials(some.iter().chain([&in_force]));
    }
    let text = "a setting, in force, number-00000, number-00003, number-04096";
    assert_eq!(
        redactor.redact(text),
        "[redacted], [redacted], number-00000, [redacted], [redacted]"
    );
}

#[test]
fn a_secret_is_found_among_many_that_begin_alike() {
    let redactor = Redactor::default();
    for number in 0..500 {
        redactor.register_token(&SecretString::from(format!("eyJhbGci-{number}-x y")));
    }
    redactor.register(&SecretString::from("+"));
    for (text, expected) in [
        ("eyJhbGci-17-x y.", "[redacted]."),
        ("eyJhbGci-17-x+y", "[redacted]"),
        ("eyJhbGci-500-x y", "eyJhbGci-500-x y"),
        ("they + eyJ", "they [redacted] eyJ"),
        ("e", "e"),
    ] {
        assert_eq!(redactor.redact(text), expected, "{text}");
    }
}

#[test]
fn the_end_of_a_long_secret_is_not_searched_alone() {
    for length in [PIECE + 1, PIECE + 7, 2 * PIECE + 1] {
        let secret = format!("{:x>length$}", "secret");
        let redactor = redactor(&[&secret]);
        for word in ["t", "et", "secret", "x"] {
            assert_eq!(redactor.redact(word), word, "{length}");
        }
        assert_eq!(redactor.redact(&format!("({secret})")), "([redacted])");
        let end = &secret[secret.len() - PIECE..];
        assert_eq!(redactor.redact(end), REDACTED, "{length}");
    }
}

#[test]
fn a_secret_across_the_end_of_the_shown_text_is_removed_whole() {
    let long = "0123456789abcdefghijklmnopqrstuvwxyz".repeat(40);
    let redactor = redactor(&[&long]);
    for length in [0, SHOWN - 1, SHOWN - 500, SHOWN] {
        let padding = ".".repeat(length);
        let text = format!("{padding}{long}{}", "!".repeat(2 * SCANNED));
        let redacted = redactor.redact(&text);
        assert!(!redacted.contains("0123"), "{length}");
        assert!(redacted.len() <= SHOWN + REDACTED.len(), "{length}");
    }
}

/// Each byte literal or percent-encoded, with digits of either case.
fn partly_encoded(secret: &str, choices: &[u8]) -> String {
    let choices = choices.iter().cycle();
    let mut text = Vec::new();
    for (byte, choice) in secret.bytes().zip(choices) {
        match choice % 3 {
            0 if byte == b' ' => text.push(b'+'),
            0 if byte.is_ascii() && byte != b'%' && byte != b'\\' => text.push(byte),
            1 => text.extend(format!("%{byte:02x}").bytes()),
            _ => text.extend(format!("%{byte:02X}").bytes()),
        }
    }
    String::from_utf8(text).unwrap()
}

proptest! {
    #[test]
    fn no_encoding_survives(
        secret in "[ -~]{6}[!-~é]{3,40}[0-9a-z]",
        before in "[a-z:/?=& ]{0,9}",
        after in "[a-z:/?=& ]{0,9}",
        choices in prop::collection::vec(0_u8..3, 1..9),
    ) {
        let redactor = redactor(&[&secret]);
        let inner = format!("{before}{}{after}", secret.trim());
        let mut texts = vec![
            inner.clone(),
            format!("{before}{}{after}", partly_encoded(secret.trim(), &choices)),
            serde_json::to_string(&inner).unwrap(),
        ];
        for engine in [BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD] {
            texts.push(format!("{before} {} {after}", engine.encode(&inner)));
        }
        for text in texts {
            let redacted = redactor.redact(&text);
            prop_assert!(redacted.contains(REDACTED), "{text}");
            prop_assert!(!redacted.contains(secret.trim()), "{text}");
        }
    }

    #[test]
    fn other_texts_stay_as_they_are(text in any::<String>()) {
        let redactor = redactor(&["a secret that is not in it", "\u{1}\u{2}"]);
        if !text.contains("\u{1}\u{2}") {
            prop_assert_eq!(redactor.redact(&text), text.as_str());
        }
    }

    #[test]
    fn no_text_panics(text in any::<String>(), secret in any::<String>(), bytes in "[%0-9a-fé\\\\u+]{0,40}") {
        let redactor = redactor(&[&secret, &text, "%", "é"]);
        let _ = redactor.redact(&text);
        let _ = redactor.redact(&bytes);
    }
}
