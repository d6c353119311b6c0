//! A checkpoint's tensors, handed out one by one to the code that builds a model.
//!
//! Every tensor is asked for with the shape that the configuration implies, and its checked header entry must have
//! exactly that shape before MLX hears of it. MLX then reads it, several tensors at once and straight into their
//! place, but through [`ops::lazy_array`]: from the file that was checked, and within the tensor's extent.
//!
//! MLX does not always report a failed read (0.32.2: small tensors keep what lay in their memory before), so failures
//! are noted here. [`Weights::finish`] waits for everything and looks at the note: nothing is lazy afterwards. What no one
//! asks for is never read.

use std::{
    cell::RefCell,
    collections::HashMap,
    fmt::Display,
    os::unix::fs::FileExt,
    path::Path,
    rc::Rc,
    sync::{Arc, OnceLock},
};

use hearth_core::{Error, Result};
use safetensors::{Dtype, tensor::TensorInfo};

use crate::{
    checkpoint,
    config::Config,
    header::SafetensorsFile,
    nn::{Embedding, Linear, Quantized, RmsNorm},
    ops::{self, Array},
    quantization::{Mode, Quantization, Scheme},
};

/// Types that weights may have.
const FLOATS: &[Dtype] = &[Dtype::F32, Dtype::F16, Dtype::BF16];

/// Bytes that are read between two looks at how far it is, or a part of all where these are many.
const READ_AT_ONCE: u64 = 64 << 20;
const READ_SHARE: u64 = 64;

/// A checkpoint, or the part of it below a path. Cheap to clone and to narrow.
#[derive(Clone)]
pub struct Weights {
    checkpoint: Rc<Checkpoint>,
    prefix: String,
}

struct Checkpoint {
    files: Vec<SafetensorsFile>,
    places: HashMap<String, usize>,
    quantization: Option<Quantization>,
    lazy: RefCell<Vec<Array>>,
    /// The first read that failed.
    failure: Arc<OnceLock<String>>,
}

impl Weights {
    /// Opens the safetensors files of the model folder `dir` and checks their headers.
    pub fn open(dir: &Path, config: &Config) -> Result<Self> {
        let files = checkpoint::open(dir)?;
        checkpoint::refuse_vision(&files)?;
        let checkpoint = Checkpoint {
            places: checkpoint::places(&files)?,
            files,
            quantization: config.quantization.clone(),
            lazy: RefCell::default(),
            failure: Arc::default(),
        };
        Ok(Self { checkpoint: Rc::new(checkpoint), prefix: String::new() })
    }

    /// The tensors below `name`.
    pub fn sub(&self, name: impl Display) -> Self {
        Self { checkpoint: Rc::clone(&self.checkpoint), prefix: format!("{}.", self.path(name)) }
    }

    /// The checkpoint's files.
    pub(crate) fn files(&self) -> &[SafetensorsFile] {
        &self.checkpoint.files
    }

    /// Whether there is a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.checkpoint.places.contains_key(&self.path(name))
    }

    /// Reads everything that was asked for into memory, and returns how many bytes that is. `progress` is told how many
    /// are there, and how many there will be.
    pub fn finish(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<u64> {
        let arrays = self.checkpoint.lazy.take();
        let total = arrays.iter().map(bytes).sum();
        let at_once = READ_AT_ONCE.max(total / READ_SHARE);
        let (mut done, mut next) = (0, 0);
        progress(done, total);
        while next < arrays.len() {
            let (first, before) = (next, done);
            while next < arrays.len() && done - before < at_once {
                done += bytes(&arrays[next]);
                next += 1;
            }
            self.read(&arrays[first..next])?;
            progress(done, total);
        }
        Ok(total)
    }

    fn read(&self, arrays: &[Array]) -> Result<()> {
        let outcome = ops::eval(arrays);
        match (self.checkpoint.failure.get(), outcome) {
            (Some(failure), _) => Err(Error::model_load(failure)),
            (None, Err(error)) => Err(Error::model_load(format!("the weights cannot be read: {}", error.message))),
            (None, Ok(())) => Ok(()),
        }
    }

    /// A projection from `input` to `output` features: dense, or quantized where scales stand beside the weight.
    pub fn linear(&self, name: &str, output: usize, input: usize) -> Result<Linear> {
        self.sub(name).refuse_bias()?;
        self.linear_with(name, output, input, None)
    }

    /// As [`Weights::linear`], with a bias.
    pub fn linear_with_bias(&self, name: &str, output: usize, input: usize) -> Result<Linear> {
        let bias = self.sub(name).tensor("bias", &[output])?;
        self.linear_with(name, output, input, Some(bias))
    }

    /// A bias that no one adds would make the model answer nonsense.
    fn refuse_bias(&self) -> Result<()> {
        let path = self.path("bias");
        match self.checkpoint.find(&path) {
            Err(_) => Ok(()),
            Ok((file, _)) => Err(Error::model_load(format!(
                "{}: {path} is not expected: config.json describes a layer without bias",
                file.name
            ))),
        }
    }

    fn linear_with(&self, name: &str, output: usize, input: usize, bias: Option<Array>) -> Result<Linear> {
        match self.matrix(name, output, input)? {
            Matrix::Dense(weight) => Linear::dense(&weight, bias),
            Matrix::Quantized(weight) => Ok(Linear::quantized(weight, bias)),
        }
    }

    /// A table of `rows` vectors of `dims` numbers: dense, or quantized where scales stand beside it.
    pub fn embedding(&self, name: &str, rows: usize, dims: usize) -> Result<Embedding> {
        match self.matrix(name, rows, dims)? {
            Matrix::Dense(weight) => Embedding::dense(weight),
            Matrix::Quantized(weight) => Ok(Embedding::quantized(weight)),
        }
    }

    /// A norm over `dims` numbers.
    pub fn rms_norm(&self, name: &str, dims: usize, eps: f32) -> Result<RmsNorm> {
        Ok(RmsNorm::new(self.sub(name).tensor("weight", &[dims])?, eps))
    }

    /// A tensor of floats of exactly this shape.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Array> {
        self.checkpoint.load(&self.path(name), shape, FLOATS)
    }

    fn matrix(&self, name: &str, rows: usize, columns: usize) -> Result<Matrix> {
        let layer = self.sub(name);
        if !layer.has("scales") {
            return layer.tensor("weight", &[rows, columns]).map(Matrix::Dense);
        }
        let path = self.path(name);
        let scheme = self.checkpoint.scheme(&path)?;
        layer.quantized(rows, columns, scheme).map(Matrix::Quantized)
    }

    /// The parts of a quantized matrix of `rows` × `columns` numbers.
    fn quantized(&self, rows: usize, columns: usize, scheme: Scheme) -> Result<Quantized> {
        let Scheme { mode, bits, group_size } = scheme;
        if !columns.is_multiple_of(group_size) {
            let path = self.path("weight");
            return Err(Error::model_load(format!(
                "{path} has {columns} columns, which groups of {group_size} do not divide"
            )));
        }
        let load = |name: &str, columns: usize, dtypes: &[Dtype]| {
            self.checkpoint.load(&self.path(name), &[rows, columns], dtypes)
        };
        let groups = columns / group_size;
        let affine = mode == Mode::Affine;
        Ok(Quantized {
            weight: load("weight", columns * bits / 32, &[Dtype::U32])?,
            scales: load("scales", groups, if affine { FLOATS } else { &[Dtype::U8] })?,
            biases: affine.then(|| load("biases", groups, FLOATS)).transpose()?,
            scheme,
        })
    }

    fn path(&self, name: impl Display) -> String {
        format!("{}{name}", self.prefix)
    }
}

fn bytes(array: &Array) -> u64 {
    array.nbytes() as u64
}

/// The weight of a linear layer or an embedding.
enum Matrix {
    Dense(Array),
    Quantized(Quantized),
}

impl Checkpoint {
    fn scheme(&self, path: &str) -> Result<Scheme> {
        self.quantization.as_ref().and_then(|quantization| quantization.scheme(path)).ok_or_else(|| {
            Error::model_load(format!("{path} is stored quantized, but config.json has no quantization for it"))
        })
    }

    /// Checks the tensor called `path` against what is expected of it, then reads it.
    fn load(&self, path: &str, shape: &[usize], dtypes: &[Dtype]) -> Result<Array> {
        let (file, info) = self.find(path)?;
        check(info, shape, dtypes).map_err(|reason| Error::model_load(format!("{}: {path} {reason}", file.name)))?;
        let (place, failure) = (format!("{}: {path}", file.name), Arc::clone(&self.failure));
        let (file, start) = file.extent(info);
        let read = move |bytes: &mut [u8], offset: usize| {
            if let Err(error) = file.read_exact_at(bytes, start + offset as u64) {
                failure.get_or_init(|| format!("{place} cannot be read: {error}"));
            }
        };
        let array = ops::lazy_array(info, Box::new(read))?;
        self.lazy.borrow_mut().push(array.clone());
        Ok(array)
    }

    fn find(&self, path: &str) -> Result<(&SafetensorsFile, &TensorInfo)> {
        let file = self.places.get(path).map(|&position| &self.files[position]);
        file.and_then(|file| Some((file, file.info(path)?))).ok_or_else(|| {
            let place = if let [only] = self.files.as_slice() { &only.name } else { "the checkpoint" };
            Error::model_load(format!("{place}: missing {path}"))
        })
    }
}

/// Compares a header entry with what is expected; `Err` ends a sentence that begins with the tensor's name.
fn check(info: &TensorInfo, shape: &[usize], dtypes: &[Dtype]) -> Result<(), String> {
    if info.shape != shape {
        return Err(format!("has shape {:?}, config.json implies {shape:?}", info.shape));
    }
    if !dtypes.contains(&info.dtype) {
        let known: Vec<_> = dtypes.iter().map(Dtype::to_string).collect();
        return Err(format!("has type {}, expected {}", info.dtype, known.join(" or ")));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
