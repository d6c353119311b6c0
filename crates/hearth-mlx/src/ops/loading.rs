//! Arrays whose values are fetched when they are evaluated; the rules of [`super`] hold here too.
//!
//! MLX has this for safetensors files: it allocates an array's place and fills it on reading threads of its own, several
//! arrays at a time. Its reader can be replaced. So each array gets a reader that shows MLX a file of this one tensor,
//! with a header written here, and asks the caller for the bytes behind it. MLX never sees a stranger's header.

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    slice,
    sync::atomic::{AtomicUsize, Ordering},
};

use safetensors::tensor::TensorInfo;

use super::{Array, Error, Result, STREAM, c, check};

/// Fills the bytes of a tensor from this place on. Called on MLX's reading threads, possibly after [`lazy_array`]'s
/// caller has gone on to other things. It has no way to fail: who can should take a note of it for later.
pub type ReadAt = Box<dyn Fn(&mut [u8], usize) + Send + Sync>;

/// A file of one tensor, as MLX sees it.
struct Reader {
    header: Vec<u8>,
    /// Of header and data.
    length: usize,
    position: AtomicUsize,
    read: ReadAt,
}

const NAME: &CStr = c"tensor";

/// An array of this type and shape, filled by `read` when it is evaluated.
pub fn lazy_array(info: &TensorInfo, read: ReadAt) -> Result<Array> {
    let header = header(info)?;
    let length = header.len() + info.data_offsets.1 - info.data_offsets.0;
    let reader = Box::new(Reader { header, length, position: AtomicUsize::new(0), read });
    let vtable = c::mlx_io_vtable {
        is_open: Some(always),
        good: Some(always),
        tell: Some(tell),
        seek: Some(seek),
        read: Some(read_next),
        read_at_offset: Some(read_at),
        write: None,
        label: Some(label),
        free: Some(free),
    };
    // SAFETY: rule 2 of the ops module. MLX owns the reader from here on and gives it back to `free` once.
    STREAM.with(|_| unsafe {
        let file = c::mlx_io_reader_new(Box::into_raw(reader).cast(), vtable);
        let (mut arrays, mut metadata) = (c::mlx_map_string_to_array_new(), c::mlx_map_string_to_string_new());
        // The processor reads, also where others compute.
        let stream = c::mlx_default_cpu_stream_new();
        let status = c::mlx_load_safetensors_reader(&mut arrays, &mut metadata, file, stream);
        let found = check(status)
            .and_then(|()| super::array(|result, _| c::mlx_map_string_to_array_get(result, arrays, NAME.as_ptr())));
        c::mlx_stream_free(stream);
        c::mlx_map_string_to_array_free(arrays);
        c::mlx_map_string_to_string_free(metadata);
        c::mlx_io_reader_free(file);
        found
    })
}

/// The front of a safetensors file that holds only this tensor.
fn header(info: &TensorInfo) -> Result<Vec<u8>> {
    let (start, end) = info.data_offsets;
    let info = TensorInfo { data_offsets: (0, end - start), ..info.clone() };
    let text = serde_json::to_string(&std::collections::BTreeMap::from([("tensor", info)]))
        .map_err(|error| Error::internal(format!("a tensor's header cannot be written: {error}")))?;
    Ok([&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat())
}

/// SAFETY: for the functions below, which MLX calls with the pointer that [`lazy_array`] gave it, before it calls `free`.
unsafe fn reader<'a>(data: *mut c_void) -> &'a Reader {
    unsafe { &*data.cast::<Reader>() }
}

extern "C" fn always(_: *mut c_void) -> bool {
    true
}

unsafe extern "C" fn tell(data: *mut c_void) -> usize {
    // SAFETY: as said there.
    unsafe { reader(data) }.position.load(Ordering::Relaxed)
}

unsafe extern "C" fn seek(data: *mut c_void, offset: i64, whence: c_int) -> c_int {
    // SAFETY: as said there.
    let reader = unsafe { reader(data) };
    // In the order of C's SEEK_SET, SEEK_CUR and SEEK_END.
    let bases = [0, reader.position.load(Ordering::Relaxed), reader.length];
    let base = usize::try_from(whence).ok().and_then(|whence| bases.get(whence));
    let place = base.and_then(|&base| i64::try_from(base).ok()?.checked_add(offset)?.try_into().ok());
    match place {
        Some(place) => reader.position.store(place, Ordering::Relaxed),
        None => return -1,
    }
    0
}

/// Reads on in the header; MLX reads nothing else in this way.
unsafe extern "C" fn read_next(data: *mut c_void, bytes: *mut c_char, count: usize) -> usize {
    // SAFETY: as said there; MLX gives room for `count` bytes.
    let (reader, bytes) = unsafe { (reader(data), slice::from_raw_parts_mut(bytes.cast::<u8>(), count)) };
    let rest = reader.header.get(reader.position.load(Ordering::Relaxed)..).unwrap_or_default();
    let count = count.min(rest.len());
    bytes[..count].copy_from_slice(&rest[..count]);
    reader.position.fetch_add(count, Ordering::Relaxed);
    count
}

unsafe extern "C" fn read_at(data: *mut c_void, bytes: *mut c_char, count: usize, offset: usize) -> usize {
    // SAFETY: as said there; MLX gives room for `count` bytes, which are only written.
    let (reader, bytes) = unsafe { (reader(data), slice::from_raw_parts_mut(bytes.cast::<u8>(), count)) };
    match offset.checked_sub(reader.header.len()) {
        Some(place) => (reader.read)(bytes, place),
        None => return 0,
    }
    count
}

extern "C" fn label(_: *mut c_void) -> *const c_char {
    NAME.as_ptr()
}

unsafe extern "C" fn free(data: *mut c_void) {
    // SAFETY: the pointer came from a box in `lazy_array`, and MLX gives it back once.
    drop(unsafe { Box::from_raw(data.cast::<Reader>()) });
}
