//! Has the page built in anew when it has changed. A debug build reads it from its folder while it runs.

fn main() {
    let is_release = std::env::var_os("PROFILE").is_some_and(|profile| profile == "release");
    println!("cargo::rerun-if-changed={}", if is_release { "../../ui/dist" } else { "build.rs" });
}
