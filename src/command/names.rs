//! Names of files in JSON, which is text, while names are bytes.

use std::path::Path;

use serde_json::{Value, json};

/// Writes the name `path` into `object`, as its `key`. Where a name is not UTF-8, U+FFFD stands for what is not, and the key
/// with `_hex` has all of its bytes, as the help says.
pub fn put(object: &mut Value, key: &str, path: &Path) {
    object[key] = json!(path.to_string_lossy());
    if path.to_str().is_none() {
        let bytes = path.as_os_str().as_encoded_bytes();
        object[format!("{key}_hex")] = json!(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn names_that_are_no_text_keep_their_bytes() {
        let of = |bytes: &[u8]| {
            let mut object = json!({});
            put(&mut object, "image", Path::new(OsStr::from_bytes(bytes)));
            object
        };
        assert_eq!(of("größe.png".as_bytes()), json!({ "image": "größe.png" }));
        assert_eq!(of(b"a\xff/b.png"), json!({ "image": "a\u{fffd}/b.png", "image_hex": "61ff2f622e706e67" }));
    }
}
