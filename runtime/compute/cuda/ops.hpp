// The operations of the CUDA backend, as the table in compute.h describes them; cuda_compute.cu
// puts them into the table. Each one checks its shapes, reports through Cuda::fail and returns.
//
// cuda_compute.cu has already dealt with: an earlier failure, required pointers that are NULL,
// struct_size of options, and the current device.
#pragma once

#include "compute/cuda/cuda.hpp"

namespace tessera::cuda {

// ---- products: linear.cu, attention.cu, conv.cu ----
Result<tessera_tensor> pack_linear(Cuda &cuda, const tessera_tensor &host_weight,
                                   tessera_dtype precision);
void linear(Cuda &cuda, const tessera_tensor &x, const tessera_tensor &packed_weight,
            const tessera_linear &options, const tessera_tensor &out);
void attention(Cuda &cuda, const tessera_tensor &query, const tessera_tensor &key,
               const tessera_tensor &value, const tessera_attention &options,
               const tessera_tensor &out);
Result<tessera_tensor> pack_conv2d(Cuda &cuda, const tessera_tensor &host_weight,
                                   tessera_dtype precision);
void conv2d(Cuda &cuda, const tessera_tensor &x, const tessera_tensor &packed_weight,
            const tessera_conv2d &options, const tessera_tensor &out);

// ---- norms: norm.cu ----
void layer_norm(Cuda &cuda, const tessera_tensor &x, const tessera_tensor *gamma,
                const tessera_tensor *beta, float epsilon, const tessera_tensor &out);
void group_norm(Cuda &cuda, const tessera_tensor &x, std::uint32_t groups,
                const tessera_tensor &gamma, const tessera_tensor &beta, float epsilon,
                tessera_activation_kind activation, const tessera_tensor &out);

// ---- element by element: elementwise.cu ----
void fill(Cuda &cuda, float value, const tessera_tensor &out);
void copy(Cuda &cuda, const tessera_tensor &x, const tessera_tensor &out);
// Tensors of one shape and any dtype of 1, 2, 4 or 8 bytes; nothing is checked.
void copy_strided(Cuda &cuda, const tessera_tensor &from, const tessera_tensor &to);
void scale_offset(Cuda &cuda, const tessera_tensor &x, float scale, float offset,
                  const tessera_tensor &out);
void add(Cuda &cuda, const tessera_tensor &a, const tessera_tensor &b, const tessera_tensor &out);
void activate(Cuda &cuda, const tessera_tensor &x, tessera_activation_kind kind,
              const tessera_tensor &out);
void modulate(Cuda &cuda, const tessera_tensor &x, const tessera_tensor &shift,
              const tessera_tensor &scale, const tessera_tensor &out);

// ---- rows and pixels: gather.cu ----
void gather_rows(Cuda &cuda, const tessera_tensor &x, const tessera_tensor &index,
                 const tessera_tensor &out);
void scatter_rows(Cuda &cuda, const tessera_tensor &x, const tessera_tensor &index,
                  const tessera_tensor &out);
void pixel_shuffle(Cuda &cuda, const tessera_tensor &x, std::uint32_t factor,
                   const tessera_tensor &out);
void pixel_unshuffle(Cuda &cuda, const tessera_tensor &x, std::uint32_t factor,
                     const tessera_tensor &out);
void to_rgba8(Cuda &cuda, const tessera_tensor &x, const tessera_tensor &out);

// ---- sampling: random.cu, sampling.cu ----
void normal(Cuda &cuda, const tessera_random &random, const tessera_tensor &out);
void guide(Cuda &cuda, const tessera_tensor &conditional, const tessera_tensor &unconditional,
           float scale, std::uint32_t guided_width, const tessera_tensor &out);
void reverse_step(Cuda &cuda, const tessera_tensor &x, const tessera_tensor &model,
                  const tessera_tensor *noise, const tessera_reverse_step &step,
                  const tessera_tensor &out);

// ---- extensions: denoise.cu ----
// "tessera.compute-denoise/1"; its functions find the Cuda in compute->compute_data.
const void *denoise_extension();

} // namespace tessera::cuda
