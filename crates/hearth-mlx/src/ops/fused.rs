//! Functions that a GPU runs as one kernel; the rules of [`super`] hold here too.
//!
//! MLX's compiler traces such a function once and makes a kernel of it. On the processor it is switched off (see
//! [`super::disable_compile`]), and the function runs as it is written.

use std::{
    cell::OnceCell,
    ffi::{c_int, c_void},
    mem, ptr,
};

use super::{Array, Result, Vector, c, check, handle, on_cpu};

/// A function of two arrays, element by element.
pub(crate) type Binary = fn(&Array, &Array) -> Result<Array>;

/// A [`Binary`] with its kernel. Belongs to a thread, as all arrays do.
#[derive(Debug)]
pub struct Fused {
    plain: Binary,
    compiled: OnceCell<Closure>,
}

#[derive(Debug)]
struct Closure(c::mlx_closure);

impl Fused {
    /// A function, not yet compiled.
    pub const fn new(plain: Binary) -> Self {
        Self { plain, compiled: OnceCell::new() }
    }

    /// Its value.
    pub fn call(&self, a: &Array, b: &Array) -> Result<Array> {
        if on_cpu() {
            return (self.plain)(a, b);
        }
        let compiled = match self.compiled.get() {
            Some(compiled) => compiled,
            None => {
                let compiled = Closure::compile(self.plain)?;
                self.compiled.get_or_init(|| compiled)
            }
        };
        compiled.call(a, b)
    }
}

impl Closure {
    fn compile(plain: Binary) -> Result<Self> {
        let mut compiled = Self(c::mlx_closure { ctx: ptr::null_mut() });
        // SAFETY: `trace` gets the function that it expects as its payload; the closure is copied by the call.
        unsafe {
            let traced = Self(c::mlx_closure_new_func_payload(Some(trace), plain as *mut c_void, None));
            check(c::mlx_compile(&mut compiled.0, traced.0, true))?;
        }
        Ok(compiled)
    }

    fn call(&self, a: &Array, b: &Array) -> Result<Array> {
        let inputs = Vector::new([a, b]);
        let mut outputs = Vector::new([]);
        // SAFETY: rule 2 of the ops module; the outputs' handle is written in place, and the function has one output.
        unsafe {
            check(c::mlx_closure_apply(&mut outputs.0, self.0, inputs.0))?;
            handle(|result| c::mlx_vector_array_get(result, outputs.0, 0))
        }
    }
}

impl Drop for Closure {
    fn drop(&mut self) {
        // SAFETY: the handle is this value's own.
        unsafe { c::mlx_closure_free(self.0) };
    }
}

/// Runs a [`Binary`] on the compiler's symbolic arrays.
unsafe extern "C" fn trace(
    outputs: *mut c::mlx_vector_array,
    inputs: c::mlx_vector_array,
    plain: *mut c_void,
) -> c_int {
    // SAFETY: the payload is a `Binary`, see `Closure::compile`; MLX passes two inputs and a valid place for the outputs.
    unsafe {
        let plain = mem::transmute::<*mut c_void, Binary>(plain);
        let input = |index| handle(|result| c::mlx_vector_array_get(result, inputs, index));
        match input(0).and_then(|a| plain(&a, &input(1)?)) {
            Ok(output) => c::mlx_vector_array_set_value(outputs, output.as_ptr()),
            Err(_) => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{disable_compile, multiply, to_vec},
        *,
    };

    fn product(a: &Array, b: &Array) -> Result<Array> {
        multiply(&multiply(a, b)?, b)
    }

    /// With the compiler off, its closure calls the function each time; the way through C is the same.
    #[test]
    fn the_compiler_gets_the_function_and_its_errors() {
        disable_compile().expect("a switch");
        let compiled = Closure::compile(product).expect("a closure");
        let (a, b) = (Array::from_slice(&[1.0_f32, 2.0], &[2]), Array::from_slice(&[3.0_f32, 4.0], &[2]));
        assert_eq!(to_vec::<f32>(&compiled.call(&a, &b).expect("a product")).expect("numbers"), [9.0, 32.0]);
        let longer = Array::from_slice(&[1.0_f32; 3], &[3]);
        let message = compiled.call(&a, &longer).expect_err("shapes that do not fit").message;
        assert!(message.starts_with("MLX: "), "{message}");
    }
}
