//! Hostile and damaged files, and what is said about each.

use super::*;
use crate::testing::{Folder, raw_safetensors, safetensors};

fn open(bytes: impl AsRef<[u8]>) -> Result<SafetensorsFile, String> {
    let folder = Folder::new().with("model.safetensors", bytes);
    SafetensorsFile::open(folder.path(), "model.safetensors").map_err(|error| error.message)
}

/// The error for a header, with eight bytes of data behind it.
fn refusal(header: &str) -> String {
    open(raw_safetensors(header, &[0; 8])).expect_err("a hostile header")
}

#[test]
fn a_sound_file_is_read_back() {
    let file =
        open(safetensors(&[("a", "U8", &[2, 2], vec![1, 2, 3, 4]), ("b", "F32", &[], vec![0, 0, 128, 63])])).unwrap();
    let found = ["a", "b"].map(|name| file.info(name).map(|info| (info.shape.as_slice(), info.data_offsets)).unwrap());
    assert_eq!(found, [([2, 2].as_slice(), (0, 4)), (&[], (4, 8))]);
    let mut names: Vec<_> = file.names().collect();
    names.sort_unstable();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn a_hostile_header_is_refused_with_the_tensor_named() {
    let mistyped = "model.safetensors has a damaged header, download it again: a: invalid";
    let cases = [
        // The shape whose size overflows to the bytes that it is given: MLX loads it, and reads outside.
        (
            r#"{"a":{"dtype":"F32","shape":[65536,65536,65536,65536],"data_offsets":[0,0]}}"#,
            "model.safetensors: a of shape [65536, 65536, 65536, 65536] and type F32 does not take the 0 bytes it is given",
        ),
        (
            r#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#,
            "model.safetensors: a of shape [4611686018427387904, 4] and type F32 does not take the 0 bytes it is given",
        ),
        (r#"{"a":{"dtype":"U8","shape":[-4,-2],"data_offsets":[0,8]}}"#, mistyped),
        (r#"{"a":{"dtype":"U8","shape":[8.0],"data_offsets":[0,8]}}"#, mistyped),
        (r#"{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,-8]}}"#, mistyped),
        (
            r#"{"a":{"dtype":"U8","shape":[8],"data_offsets":[0]}}"#,
            "model.safetensors has a damaged header, download it again: a: invalid length 1",
        ),
        (r#"{"a":{"dtype":"U8","shape":"8","data_offsets":[0,8]}}"#, mistyped),
        (
            r#"{"a":{"dtype":"U9","shape":[8],"data_offsets":[0,8]}}"#,
            "model.safetensors has a damaged header, download it again: a: unknown variant `U9`",
        ),
        (
            r#"{"a":{"shape":[8],"data_offsets":[0,8]}}"#,
            "model.safetensors has a damaged header, download it again: a: missing field `dtype`",
        ),
        (r#"{"a":null}"#, mistyped),
        (
            r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,8]}}"#,
            "model.safetensors: a of shape [4] and type U8 does not take the 8 bytes it is given",
        ),
        (
            r#"{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}"#,
            "model.safetensors has a damaged header: The slice is slicing for subbytes dtypes",
        ),
        (
            r#"{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}"#,
            "model.safetensors: the extent of b overlaps another or leaves a gap",
        ),
        (
            r#"{"a":{"dtype":"U8","shape":[6],"data_offsets":[0,6]},"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}"#,
            "model.safetensors: the extent of b overlaps another or leaves a gap",
        ),
        (
            r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}"#,
            "model.safetensors: the extent of a overlaps another or leaves a gap",
        ),
        (
            r#"{"a":{"dtype":"U8","shape":[8],"data_offsets":[8,0]}}"#,
            "model.safetensors: the extent of a overlaps another or leaves a gap",
        ),
        (
            r#"{"a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}}"#,
            "model.safetensors is truncated: its tensors take 9 bytes, the file holds 8; download it again",
        ),
        (
            r#"{"a":{"dtype":"U8","shape":[1000000000000],"data_offsets":[0,1000000000000]}}"#,
            "model.safetensors is truncated: its tensors take 1000000000000 bytes, the file holds 8; download it again",
        ),
        (
            r#"{"a":{"dtype":"U8","shape":[7],"data_offsets":[0,7]}}"#,
            "model.safetensors is damaged: 1 bytes at its end belong to no tensor",
        ),
        (
            r#"{"a":{"dtype":"U8","shape":[2147483648,0],"data_offsets":[0,0]},"b":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}"#,
            "model.safetensors: a has shape [2147483648, 0], more than MLX can index",
        ),
        ("{}", "model.safetensors is damaged: 8 bytes at its end belong to no tensor"),
        ("[]", "model.safetensors has a damaged header, download it again"),
        ("", "model.safetensors has a damaged header, download it again"),
        ("{\"a\":", "model.safetensors has a damaged header, download it again"),
    ];
    for (header, expected) in cases {
        let message = refusal(header);
        assert!(message.starts_with(expected), "{header}\n  said: {message}\n  not:  {expected}");
    }
}

#[test]
fn a_name_told_twice_cannot_hide_an_overlap() {
    let twice =
        r#"{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}"#;
    assert_eq!(refusal(twice), "model.safetensors: the extent of a overlaps another or leaves a gap");
    let apart =
        r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}"#;
    assert_eq!(refusal(apart), "model.safetensors: a stands twice in its header");
}

#[test]
fn the_length_in_front_is_not_believed() {
    let cases: &[(&[u8], &str)] = &[
        (b"", "model.safetensors is truncated: 0 bytes are no safetensors file"),
        (&[1, 0, 0], "model.safetensors is truncated: 3 bytes are no safetensors file"),
        (
            &[0xff; 64],
            "model.safetensors is no safetensors file: a header of 18446744073709551615 bytes is not believed",
        ),
        (b"PK\x03\x04 archive", "model.safetensors is no safetensors file: a header of"),
        (
            &[9, 0, 0, 0, 0, 0, 0, 0, b'{'],
            "model.safetensors is truncated: its header should have 9 bytes, the file has 9",
        ),
        (&[2, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe], "model.safetensors has a damaged header"),
    ];
    for (bytes, expected) in cases {
        let message = open(bytes).expect_err("no safetensors file");
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn a_name_cannot_break_out_of_the_sentence() {
    let header = format!(r#"{{"\n\u001b[31m{}":{{"dtype":"U8","shape":[1],"data_offsets":[4,8]}}}}"#, "x".repeat(500));
    let message = refusal(&header);
    assert!(message.len() < 300 && !message.contains(['\n', '\u{1b}']), "{message}");
    let message = refusal(&header.replace("U8", &format!("\\n{}", "x".repeat(500))));
    assert!(message.len() < 300 && !message.contains('\n'), "{message}");
}

#[test]
fn a_header_of_countless_tensors_is_not_read_to_its_end() {
    let entries: Vec<_> =
        (0..=200_000).map(|i| format!(r#""{i}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#)).collect();
    let message = refusal(&format!("{{{}}}", entries.join(",")));
    assert!(message.contains("more than 200000 tensors are not believed"), "{message}");
}

#[test]
fn deep_json_is_refused() {
    assert!(refusal(&"{\"a\":".repeat(100_000)).starts_with("model.safetensors has a damaged header"));
}

#[test]
fn what_is_no_file_is_not_opened() {
    let folder = Folder::new();
    let refusal = || SafetensorsFile::open(folder.path(), "model.safetensors").unwrap_err().message;
    assert!(refusal().starts_with("model.safetensors cannot be read: No such file"));
    fs::create_dir(folder.path().join("model.safetensors")).unwrap();
    assert_eq!(refusal(), "model.safetensors is not a file");
}

#[test]
fn links_are_followed() {
    let folder = Folder::new().with("blob", safetensors(&[("a", "U8", &[1], vec![1])]));
    std::os::unix::fs::symlink("blob", folder.path().join("model.safetensors")).unwrap();
    assert!(SafetensorsFile::open(folder.path(), "model.safetensors").unwrap().info("a").is_some());
}
