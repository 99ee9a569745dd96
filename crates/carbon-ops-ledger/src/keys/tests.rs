//! Key files and trust files: permissions, races, passphrases, replacement.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::file::public_beside;
use super::*;
use crate::Error;

#[test]
fn a_key_file_is_for_its_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/keys/default.pem");
    let (made, origin) = create_secret(&path, &[9; 32]).unwrap();
    assert_eq!(origin, KeyOrigin::Created);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(mode(&dir.path().join("deep")), 0o700);
    assert_eq!(load_secret(&path).unwrap().public_key(), made.public_key());
    // A second maker gets the first one's key, whatever its own seed.
    let (same, origin) = create_secret(&path, &[10; 32]).unwrap();
    assert_eq!((same.public_key(), origin), (made.public_key(), KeyOrigin::Existing));
    for exposed in [0o640, 0o604, 0o610, 0o666] {
        fs::set_permissions(&path, PermissionsExt::from_mode(exposed)).unwrap();
        let message = load_secret(&path).unwrap_err().to_string();
        assert!(message.contains(&format!("mode {exposed:04o}")), "{message}");
    }
    fs::set_permissions(&path, PermissionsExt::from_mode(0o400)).unwrap();
    assert!(load_secret(&path).is_ok());
    // Nothing is left beside it.
    assert_eq!(path.parent().unwrap().read_dir().unwrap().count(), 1);
}

#[test]
fn what_is_no_key_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key.pem");
    assert!(matches!(load_secret(&path), Err(Error::Io { .. })));
    assert!(matches!(load_secret(dir.path()), Err(Error::KeyFile { .. })));
    for content in [String::new(), "hello".to_owned(), "x".repeat(5000)] {
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        assert!(matches!(load_secret(&path), Err(Error::KeyFile { .. })));
    }
}

#[test]
fn a_race_for_a_key_file_ends_with_one_key() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..20 {
        let path = dir.path().join(format!("{round}/default.pem"));
        let barrier = std::sync::Barrier::new(8);
        let results: Vec<(PublicKey, KeyOrigin)> = std::thread::scope(|scope| {
            let (path, barrier) = (&path, &barrier);
            let threads: Vec<_> = (1..=8_u8)
                .map(|seed| {
                    scope.spawn(move || {
                        barrier.wait();
                        let (key, origin) = create_secret(path, &[seed; 32]).unwrap();
                        (key.public_key(), origin)
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let created = results.iter().filter(|(_, origin)| *origin == KeyOrigin::Created).count();
        assert_eq!(created, 1);
        let stored = load_secret(&path).unwrap().public_key();
        assert!(results.iter().all(|(key, _)| *key == stored));
        assert_eq!(path.parent().unwrap().read_dir().unwrap().count(), 1);
    }
}

#[test]
fn a_key_file_under_a_passphrase_needs_it_and_tells_its_public_key_without() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys/k.pem");
    let passphrase = Passphrase::first_line(b"correct horse").unwrap();
    let protection = Protection { passphrase: &passphrase, entropy: [3; 32] };
    let (key, origin) = create_secret_under(&path, &[7; 32], Some(protection)).unwrap();
    assert_eq!(origin, KeyOrigin::Created);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert!(matches!(load_secret(&path), Err(Error::KeyEncrypted { .. })));
    assert_eq!(load_public(&path, None).unwrap(), key.public_key());
    let opened = load_secret_under(&path, Some(&passphrase)).unwrap();
    assert_eq!(opened.public_key(), key.public_key());
    let other = Passphrase::first_line(b"battery staple").unwrap();
    assert!(matches!(load_secret_under(&path, Some(&other)), Err(Error::Passphrase { .. })));
    fs::remove_file(public_beside(&path)).unwrap();
    assert!(matches!(load_public(&path, None), Err(Error::KeyEncrypted { .. })));
}

#[test]
fn a_key_file_is_replaced_by_its_successor_and_kept_or_gone() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let names = || {
        let names = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    };
    let key = |name: &str| load_secret(&at(name)).unwrap().public_key();
    let (first, _) = create_secret(&at("default.pem"), &[1; 32]).unwrap();
    let (second, _) = create_secret(&at("b.pem"), &[2; 32]).unwrap();
    replace_secret(&at("default.pem"), &at("b.pem"), Some(&at("a.pem"))).unwrap();
    assert_eq!(names(), ["a.pem", "default.pem"]);
    assert_eq!((key("a.pem"), key("default.pem")), (first.public_key(), second.public_key()));
    // One under a passphrase, and the old one gone.
    let passphrase = Passphrase::first_line(b"correct horse").unwrap();
    let protection = Protection { passphrase: &passphrase, entropy: [3; 32] };
    let (third, _) = create_secret_under(&at("c.pem"), &[3; 32], Some(protection)).unwrap();
    replace_secret(&at("default.pem"), &at("c.pem"), None).unwrap();
    assert_eq!(names(), ["a.pem", "default.pem", "default.pem.pub"]);
    assert_eq!(load_public(&at("default.pem"), None).unwrap(), third.public_key());
    // And back to one without.
    create_secret(&at("d.pem"), &[4; 32]).unwrap();
    replace_secret(&at("default.pem"), &at("d.pem"), Some(&at("e.pem"))).unwrap();
    assert_eq!(names(), ["a.pem", "default.pem", "e.pem", "e.pem.pub"]);
}

#[test]
fn a_trust_list_is_a_file_or_a_key() {
    let one = SecretKey::from_seed(&[1; 32]).public_key();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("trust");
    fs::write(&path, format!("# auditors\n{one} build server\n")).unwrap();
    let trust = Trust::from_iter([one]);
    assert_eq!(trust_from(path.to_str().unwrap()).unwrap(), trust);
    assert_eq!(trust_from(&one.to_hex()).unwrap(), trust);
    let shouted = trust_from(&one.to_hex().to_uppercase()).unwrap();
    let fingerprint = trust_from(&one.fingerprint()).unwrap();
    fs::write(&path, format!("{} told on the telephone\n", one.fingerprint())).unwrap();
    let listed = trust_from(path.to_str().unwrap()).unwrap();
    let other = SecretKey::from_seed(&[2; 32]).public_key();
    for trust in [trust, shouted, fingerprint, listed] {
        assert!(trust.contains(one) && !trust.contains(other));
    }
    let error = |text: &str| trust_from(text).unwrap_err().to_string();
    assert!(error("no such file").contains("no such file"));
    assert!(error(&one.fingerprint()[..49]).contains("43 characters"));
    assert!(error(&one.to_hex()[..63]).contains("64 hexadecimal digits"));
}

#[test]
fn a_trust_file_is_changed_line_by_line_and_keeps_the_others_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("home/trust");
    let key = |n: u8| SecretKey::from_seed(&[n; 32]).public_key();
    assert_eq!(trusted_in_file(&path).unwrap(), []);
    assert!(add_to_trust_file(&path, key(1), "build\nserver").unwrap());
    assert!(!add_to_trust_file(&path, key(1), "again").unwrap());
    let by_hand = format!("# ours\n\n{}\n{}   laptop", key(1), key(2));
    fs::write(&path, by_hand).unwrap();
    assert!(add_to_trust_file(&path, key(3), "").unwrap());
    assert!(remove_from_trust_file(&path, key(1)).unwrap());
    assert!(!remove_from_trust_file(&path, key(1)).unwrap());
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, format!("# ours\n\n{}   laptop\n{}\n", key(2), key(3)));
    let entries = trusted_in_file(&path).unwrap();
    assert_eq!(entries, [(key(2).into(), "laptop".to_owned()), (key(3).into(), String::new())]);
    // A fingerprint is trusted as a key is, and either name takes both out.
    let by_fingerprint: TrustedKey = key(3).fingerprint().parse().unwrap();
    assert!(add_to_trust_file(&path, by_fingerprint, "told on the telephone").unwrap());
    assert!(remove_from_trust_file(&path, key(3)).unwrap());
    assert_eq!(trusted_in_file(&path).unwrap(), entries[..1]);
    fs::write(&path, "nonsense\n").unwrap();
    assert!(add_to_trust_file(&path, key(4), "").is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), "nonsense\n");
}
