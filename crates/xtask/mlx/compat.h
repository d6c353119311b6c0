/*
 * What mlx-c takes for granted on a Mac, for Linux. Included ahead of every mlx-c source file, and of its headers when
 * the Rust bindings are generated. It stands in for mlx-c's own half.h, which declares the half types on Arm alone.
 */
#ifndef HEARTH_MLX_COMPAT_H
#define HEARTH_MLX_COMPAT_H

#define MLX_HALF_H
#define HAS_FLOAT16
#define HAS_BFLOAT16

#ifdef __cplusplus

#include <version>
#ifndef __cpp_lib_format /* GCC 12 */
#define FMT_HEADER_ONLY
#include <fmt/format.h>
namespace std {
using fmt::format;
}
#endif

#include "mlx/types/half_types.h"
using mlx::core::bfloat16_t;
using mlx::core::float16_t;

#else /* read by bindgen: bfloat16_t is to be u16; float16_t is replaced by a struct that mlx-rs can look into */

#include <stdint.h>
typedef uint16_t bfloat16_t;
typedef struct float16_t {
  uint16_t bits;
} float16_t;

#endif
#endif
