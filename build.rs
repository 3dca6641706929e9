//! Sets the revision and the compiler version that `starlink_exporter_build_info` shows, as environment variables of the build.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=REVISION");
    println!("cargo::rerun-if-changed=.git/HEAD");
    println!("cargo::rerun-if-changed=.git/refs/heads");
    let revision = std::env::var("REVISION")
        .ok()
        .filter(|revision| !revision.is_empty());
    let revision = revision.or_else(|| output("git", &["rev-parse", "--short=12", "HEAD"]));
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let version = output(&rustc, &["--version"]);
    let version = version.and_then(|line| line.split(' ').nth(1).map(str::to_owned));
    println!("cargo::rustc-env=BUILD_REVISION={}", or_unknown(revision));
    println!(
        "cargo::rustc-env=BUILD_RUST_VERSION={}",
        or_unknown(version)
    );
}

fn or_unknown(value: Option<String>) -> String {
    value.unwrap_or_else(|| "unknown".to_owned())
}

/// The output of a command without surrounding white space; `None` if the command fails or prints nothing.
fn output(command: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(command).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (output.status.success() && !text.is_empty()).then(|| text.to_owned())
}
