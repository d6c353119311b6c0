/* Linked whole into every program that uses MLX on Linux. */
#include <stdint.h>
#include <time.h>

/* mlx-rs seeds its random key with this clock of macOS. */
uint64_t mach_approximate_time(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#ifdef HEARTH_OPENBLAS
/*
 * OpenBLAS stands ahead of libmlx in the link order, so its functions win over the slow reference BLAS of MLX's wheel.
 * Naming one of them here is what makes the linker keep the library at all.
 */
extern void cblas_sgemm(void);
__attribute__((used, retain)) static void (*const keep_openblas)(void) = cblas_sgemm;
#endif
