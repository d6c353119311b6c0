//! Every number format that MLX quantizes to, one layer each, against Python's MLX.

use hearth_mlx::{
    config::Config,
    ops::{self, Array, Dtype},
    weights::Weights,
};

use crate::fixture::{folder, tensors};

const NAME: &str = "quantized-layers";
const INPUT: usize = 128;
const OUTPUT: usize = 8;

fn values(array: &Array) -> Vec<f32> {
    ops::to_vec(&ops::astype(array, Dtype::Float32).expect("a cast")).expect("values")
}

fn assert_close(name: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{name}");
    let apart = found.iter().zip(expected).fold(0.0_f32, |apart, (a, b)| apart.max((a - b).abs()));
    assert!(apart <= 1e-4, "{name}: differs by {apart}");
}

#[test]
fn each_format_computes_what_python_computes() {
    let config = Config::from_dir(&folder(NAME)).expect("config.json");
    let weights = Weights::open(&folder(NAME), &config).expect("weights");
    let expected = tensors(NAME);
    let x = Array::from_slice(&expected["x"], &[3, INPUT as i32]);
    let rows = Array::from_slice(&[2_u32, 3, 4], &[3]);
    let names: Vec<_> = expected.keys().filter_map(|key| key.strip_suffix(".linear")).collect();
    assert_eq!(names.len(), 6 * 3 + 3, "a file of all formats");
    for name in names {
        let linear = weights.linear(name, OUTPUT, INPUT).and_then(|layer| layer.forward(&x));
        assert_close(name, &values(&linear.expect(name)), &expected[&format!("{name}.linear")]);
        let embedded = weights.embedding(name, OUTPUT, INPUT).and_then(|layer| layer.forward(&rows));
        assert_close(name, &values(&embedded.expect(name)), &expected[&format!("{name}.rows")]);
    }
}
