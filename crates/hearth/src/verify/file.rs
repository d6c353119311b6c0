//! A cache through a real file, as the disk tier writes them: safetensors.

use std::fs;

use hearth_core::runner::Tensor;
use hearth_core::{Error, Result};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize_to_file};
use serde_json::Value;

/// Writes the tensors to a temporary file and reads them again.
pub(super) fn through_a_file(tensors: Vec<Tensor>) -> Result<Vec<Tensor>> {
    let failed = |fault: &dyn std::fmt::Display| {
        let dir = std::env::temp_dir();
        Error::internal(format!("A cache cannot be written to {} and read again: {fault}.", dir.display()))
    };
    let file = tempfile::NamedTempFile::new().map_err(|error| failed(&error))?;
    let names: Vec<String> = tensors.iter().map(|tensor| tensor.name.clone()).collect();
    let views = tensors.iter().map(view).collect::<Result<Vec<_>>>()?;
    serialize_to_file(views, None, file.path()).map_err(|error| failed(&error))?;
    drop(tensors);
    let bytes = fs::read(file.path()).map_err(|error| failed(&error))?;
    let content = SafeTensors::deserialize(&bytes).map_err(|error| failed(&error))?;
    let read = |name: String| content.tensor(&name).map(|view| tensor(name, &view)).map_err(|error| failed(&error));
    names.into_iter().map(read).collect()
}

fn view(tensor: &Tensor) -> Result<(&str, TensorView<'_>)> {
    let Tensor { name, dtype, shape, data } = tensor;
    let wrong = |fault: String| Error::internal(format!("The cache's tensor {name} cannot be written: {fault}."));
    let known: Dtype = serde_json::from_value(Value::from(dtype.as_str())).map_err(|error| wrong(error.to_string()))?;
    let view = TensorView::new(known, shape.clone(), data).map_err(|error| wrong(error.to_string()))?;
    Ok((name, view))
}

fn tensor(name: String, view: &TensorView<'_>) -> Tensor {
    Tensor { name, dtype: view.dtype().to_string(), shape: view.shape().to_vec(), data: view.data().to_vec() }
}
