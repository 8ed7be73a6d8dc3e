//! Signatures of collectors, as cosign makes and stores them: in a real registry and beside files, by keys of openssl.

use std::fs;
use std::path::Path;
use std::slice;

use scenarios::cosign::{ANNOTATION, payload, put_bundle, put_signatures, statement, tag};
use scenarios::http;
use scenarios::openssl::{KeyPair, base64, openssl};
use scenarios::registry::Registry;
use scenarios::signing::Signing;
use scenarios::third_party::{named, padded};
use serde_json::{Value, json};

fn get(registry: &Registry, path: &str) -> String {
    http::get(registry.address(), &format!("/v2/team/strange/{path}")).expect("an answer")
}

#[test]
fn pushed_signature_is_of_the_digest_and_is_shown() {
    let (Some(registry), Some(signing)) = (Registry::start(), Signing::new()) else { return };
    let reference = format!("oci://{}/team/strange:1", registry.address());
    let push = |key: &KeyPair| {
        let file = signing.path("strange.wasm");
        let command = format!("push {} {reference} --sign-key {}", file.display(), key.private.display());
        signing.agent.run(&command).exits(0).without_diagnostics().stdout
    };
    let pushed = push(&signing.ops);
    let digest = pushed.lines().find_map(|line| line.strip_prefix("digest    ")).expect("a digest");
    let layers = || {
        let manifest: Value =
            serde_json::from_str(&get(&registry, &format!("manifests/{}", tag(digest)))).expect("JSON");
        manifest["layers"].as_array().expect("a list").clone()
    };
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let [layer] = &layers()[..] else { panic!("{:?}", layers()) };
    let payload = get(&registry, &format!("blobs/{}", text(&layer["digest"])));
    assert!(signing.ops.verifies(payload.as_bytes(), &text(&layer["annotations"][ANNOTATION])));
    let payload: Value = serde_json::from_str(&payload).expect("JSON");
    assert_eq!(payload["critical"]["image"]["docker-manifest-digest"], digest);

    // The second signature by a key changes nothing; one by another key is added.
    assert_eq!(push(&signing.ops), pushed);
    assert_eq!(layers(), slice::from_ref(layer));
    let _ = push(&signing.eve);
    assert_eq!(layers().len(), 2);
    assert_eq!(layers()[0], *layer);
    for key in [&signing.eve, &signing.ops] {
        let _ = signing.install(&reference, Some(key)).exits(0).without_diagnostics();
    }

    let installed = signing.install(&reference, Some(&signing.ops)).exits(0).stdout;
    let lines = |text: &str, beginnings: &[&str]| -> String {
        let is_shown = |line: &&str| beginnings.iter().any(|beginning| line.starts_with(beginning));
        text.lines().filter(is_shown).flat_map(|line| [line, "\n"]).collect()
    };
    let head = lines(&installed, &["installed", "origin", "signed", "digest"]);
    let inspect = signing.agent.run("inspect strange").exits(0).without_diagnostics().stdout;
    let list = signing.agent.run("list").exits(0).without_diagnostics().stdout;
    let shown = [pushed.as_str(), &head, &lines(&inspect, &["signed"]), &lines(&list, &["strange"])].join("\n");
    insta::assert_snapshot!(signing.mask(&shown));

    let _ = signing.install(&reference, None).exits(0).without_diagnostics();
    let inspect = signing.agent.run("inspect strange").exits(0).without_diagnostics().stdout;
    assert_eq!(lines(&inspect, &["signed"]), "signed    no signature was required\n");
}

#[test]
fn signature_of_openssl_in_the_place_of_cosign_is_accepted() {
    let (Some(registry), Some(signing)) = (Registry::start(), Signing::new()) else { return };
    let reference = format!("oci://{}/team/strange:1", registry.address());
    let digest = signing.push("strange.wasm", &reference, None);
    let payload = format!("\n  {:#}\n", payload(&digest)).into_bytes();
    let by = |key: &KeyPair| (payload.clone(), key.sign(&payload));
    put_signatures(&registry, "team/strange", &digest, &[by(&signing.eve), by(&signing.ops)]);
    let pinned = format!("oci://{}/team/strange@{digest}", registry.address());
    for reference in [reference, pinned] {
        for key in [&signing.ops, &signing.eve] {
            let output = signing.install(&reference, Some(key)).exits(0).without_diagnostics();
            let by = key.public.file_name().and_then(|name| name.to_str()).expect("a name");
            let line = format!("\nsigned    by {by} (key sha256:{})\n", key.fingerprint());
            assert!(output.stdout.contains(&line), "{output}");
        }
    }
}

#[test]
fn component_without_a_valid_signature_is_refused_and_the_store_is_as_before() {
    let (Some(registry), Some(signing)) = (Registry::start(), Signing::new()) else { return };
    let reference = format!("oci://{}/team/strange:1", registry.address());
    let digest = signing.push("strange.wasm", &reference, None);
    let others = signing.push("other.wasm", &format!("oci://{}/team/strange:other", registry.address()), None);
    let sign = |payload: &Value| {
        let payload = payload.to_string().into_bytes();
        let signature = signing.ops.sign(&payload);
        (payload, signature)
    };
    let good = sign(&payload(&digest));
    let eves = payload(&digest).to_string().into_bytes();
    let eves = (eves.clone(), signing.eve.sign(&eves));
    let mut attestation = payload(&digest);
    attestation["critical"]["type"] = json!("atomic container signature");
    // An altered signature has another last byte.
    let altered_signature = {
        let mut bytes = openssl(&["base64", "-d", "-A"], good.1.as_bytes());
        *bytes.last_mut().expect("bytes") ^= 1;
        base64(&bytes)
    };
    let altered_payload = payload(&digest).to_string().replace("\"creator\":\"cosign\"", "\"creator\":\"eve\"");
    let cases = [
        ("no layers", Vec::new()),
        ("another key", vec![eves.clone()]),
        ("another digest", vec![eves, sign(&payload(&others))]),
        ("altered payload", vec![(altered_payload.into_bytes(), good.1.clone())]),
        ("altered signature", vec![(good.0.clone(), altered_signature)]),
        ("another type", vec![sign(&attestation)]),
        ("no JSON", vec![(b"words".to_vec(), signing.ops.sign(b"words"))]),
        ("no Base64", vec![(good.0.clone(), "no Base64".to_owned())]),
        ("too many", vec![good.clone(); 33]),
    ];
    let refusals = || {
        let mut lines = vec![format!("unsigned: {}", signing.install_is_refused(&reference, &signing.ops))];
        for (name, signatures) in &cases {
            put_signatures(&registry, "team/strange", &digest, signatures);
            lines.push(format!("{name}: {}", signing.install_is_refused(&reference, &signing.ops)));
        }
        lines.concat()
    };
    let without_store = refusals();
    assert!(!signing.path("store").exists());
    insta::assert_snapshot!(without_store);

    put_signatures(&registry, "team/strange", &digest, slice::from_ref(&good));
    let _ = signing.install(&reference, Some(&signing.ops)).exits(0).without_diagnostics();
    put_signatures(&registry, "team/strange", &digest, &[]);
    let with_store = refusals();
    let lines = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines(&with_store), lines(&without_store));
}

#[test]
fn bundle_of_cosign_3_is_accepted_if_it_is_a_signature_of_the_digest() {
    let (Some(registry), Some(signing)) = (Registry::start(), Signing::new()) else { return };
    let reference = format!("oci://{}/team/strange:1", registry.address());
    let digest = signing.push("strange.wasm", &reference, None);
    let put = |statement: &Value, key: &KeyPair| put_bundle(&registry, "team/strange", &digest, statement, key);
    let mut attestation = statement(&digest);
    attestation["predicateType"] = json!("https://spdx.dev/Document");
    let other = statement(&format!("sha256:{}", "0".repeat(64)));
    let good = statement(&digest);
    let lines =
        [(&good, &signing.eve), (&attestation, &signing.ops), (&other, &signing.ops)].map(|(statement, key)| {
            put(statement, key);
            signing.install_is_refused(&reference, &signing.ops)
        });
    insta::assert_snapshot!(lines.concat());
    put(&good, &signing.ops);
    // Beside a signature by another key in the older format.
    put_signatures(&registry, "team/strange", &digest, &[(b"words".to_vec(), signing.eve.sign(b"words"))]);
    let _ = signing.install(&reference, Some(&signing.ops)).exits(0).without_diagnostics();
}

#[test]
fn altered_manifest_is_refused_even_with_the_signature_of_the_old_one() {
    let (Some(registry), Some(signing)) = (Registry::start(), Signing::new()) else { return };
    let reference = format!("oci://{}/team/strange:1", registry.address());
    let digest = signing.push("strange.wasm", &reference, Some(&signing.ops));
    let mut manifest: Value = serde_json::from_str(&get(&registry, "manifests/1")).expect("JSON");
    manifest["annotations"]["org.opencontainers.image.version"] = json!("9.9.9");
    let altered = registry.put_manifest("team/strange", "1", &manifest);
    let unsigned = signing.install_is_refused(&reference, &signing.ops);
    let signatures: Value =
        serde_json::from_str(&get(&registry, &format!("manifests/{}", tag(&digest)))).expect("JSON");
    registry.put_manifest("team/strange", &tag(&altered), &signatures);
    let copied = signing.install_is_refused(&reference, &signing.ops);
    insta::assert_snapshot!(unsigned + &copied);
    // The signed one is still there under its digest.
    let pinned = format!("oci://{}/team/strange@{digest}", registry.address());
    let _ = signing.install(&pinned, Some(&signing.ops)).exits(0).without_diagnostics();
}

#[test]
fn key_of_another_kind_is_named_before_anything_is_sent() {
    let Some(signing) = Signing::new() else { return };
    let folder = signing.folder.path();
    let p384 = KeyPair::of_curve(folder, "p384", "P-384");
    let rsa = openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], b"");
    let rsa_public = openssl(&["pkey", "-pubout"], &rsa);
    let plain = fs::read(&signing.ops.private).expect("our own file");
    let encrypted = openssl(&["pkcs8", "-topk8", "-passout", "pass:secret"], &plain);
    let of_cosign =
        "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nZQ==\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n";
    let files = [
        signing.file("rsa.key", &rsa),
        signing.file("encrypted.key", &encrypted),
        signing.file("cosign.key", of_cosign.as_bytes()),
        signing.file("words.key", b"words"),
        signing.file("empty.key", b""),
        signing.path("missing.key"),
        p384.private,
        signing.ops.public.clone(),
    ];
    let command = |path: &Path| format!("--sign-key {}", path.display());
    let strange = signing.path("strange.wasm").display().to_string();
    // Nothing listens at the port of this address.
    let push =
        files.iter().map(|path| signing.refused(&format!("push {strange} 127.0.0.1:1/strange:1 {}", command(path))));
    let push: String = push.collect();
    let files =
        [signing.file("rsa.pub", &rsa_public), p384.public, signing.ops.private.clone(), signing.path("missing.pub")];
    let install = files
        .iter()
        .map(|path| signing.refused(&format!("install 127.0.0.1:1/strange:1 --verify-key {}", path.display())));
    let install: String = install.collect();
    insta::assert_snapshot!(push + &install);
}

#[test]
fn key_in_the_older_form_of_openssl_signs() {
    let (Some(registry), Some(signing)) = (Registry::start(), Signing::new()) else { return };
    let plain = fs::read(&signing.ops.private).expect("our own file");
    let sec1 = signing.file("sec1.key", &openssl(&["ec"], &plain));
    assert!(fs::read_to_string(&sec1).expect("our own file").contains("BEGIN EC PRIVATE KEY"));
    let reference = format!("oci://{}/team/strange:1", registry.address());
    let older = KeyPair { private: sec1, ..signing.ops.clone() };
    let _ = signing.push("strange.wasm", &reference, Some(&older));
    let _ = signing.install(&reference, Some(&signing.ops)).exits(0).without_diagnostics();
}

#[test]
fn signature_of_a_file_stands_beside_it() {
    let Some(signing) = Signing::new() else { return };
    let file = signing.path("strange.wasm");
    let source = file.display().to_string();
    let good = signing.ops.sign(&named("strange"));
    let mut lines = vec![signing.install_is_refused(&source, &signing.ops)];
    for signature in [signing.eve.sign(&named("strange")), signing.ops.sign(b"other"), "no Base64".to_owned()] {
        signing.file("strange.wasm.sig", signature.as_bytes());
        lines.push(signing.install_is_refused(&source, &signing.ops));
    }
    assert!(!signing.path("store").exists());
    // cosign ends the text with a line feed.
    signing.file("strange.wasm.sig", format!("{good}\n").as_bytes());
    let output = signing.install(&source, Some(&signing.ops)).exits(0).without_diagnostics().stdout;
    let signed = output.lines().find(|line| line.starts_with("signed")).expect("a line").to_owned();
    signing.file("strange.wasm", &padded(named("strange"), 7));
    lines.push(signing.install_is_refused(&source, &signing.ops));
    lines.push(signing.mask(&signed));
    insta::assert_snapshot!(lines.concat());
}
