//! Has the page built into a release anew when it has changed.

fn main() {
    let is_release = std::env::var_os("PROFILE").is_some_and(|profile| profile == "release");
    println!("cargo::rerun-if-changed={}", if is_release { "../../ui/dist" } else { "build.rs" });
}
