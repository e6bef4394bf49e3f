// The operations of the CPU backend, as the table in compute.h describes them; cpu_compute.cpp puts
// them into the table. Each one checks its shapes, reports through Cpu::fail and returns.
//
// cpu_compute.cpp has already dealt with: an earlier failure, required pointers that are NULL, and
// struct_size of options. Operations may take for granted that tensors have a valid rank,
// non-negative dimensions, host memory, and data unless they are empty.
#pragma once

#include "compute/cpu/cpu.hpp"

namespace tessera::cpu {

// ---- products: linear.cpp, attention.cpp, conv*.cpp ----
Result<tessera_tensor> pack_linear(Cpu &cpu, const tessera_tensor &host_weight,
                                   tessera_dtype precision);
// A packed weight of pack_linear as the product core wants it.
Result<PackedMatrix> packed_matrix(const Cpu &cpu, const tessera_tensor &packed);
void linear(Cpu &cpu, const tessera_tensor &x, const tessera_tensor &packed_weight,
            const tessera_linear &options, const tessera_tensor &out);
void attention(Cpu &cpu, const tessera_tensor &query, const tessera_tensor &key,
               const tessera_tensor &value, const tessera_attention &options,
               const tessera_tensor &out);
Result<tessera_tensor> pack_conv2d(Cpu &cpu, const tessera_tensor &host_weight,
                                   tessera_dtype precision);
void conv2d(Cpu &cpu, const tessera_tensor &x, const tessera_tensor &packed_weight,
            const tessera_conv2d &options, const tessera_tensor &out);

// ---- norms: norm.cpp ----
void layer_norm(Cpu &cpu, const tessera_tensor &x, const tessera_tensor *gamma,
                const tessera_tensor *beta, float epsilon, const tessera_tensor &out);
void group_norm(Cpu &cpu, const tessera_tensor &x, std::uint32_t groups,
                const tessera_tensor *gamma, const tessera_tensor *beta, float epsilon,
                tessera_activation_kind activation, const tessera_tensor &out);

// ---- element by element: elementwise.cpp ----
void fill(Cpu &cpu, float value, const tessera_tensor &out);
void copy(Cpu &cpu, const tessera_tensor &x, const tessera_tensor &out);
void scale_offset(Cpu &cpu, const tessera_tensor &x, float scale, float offset,
                  const tessera_tensor &out);
void add(Cpu &cpu, const tessera_tensor &a, const tessera_tensor &b, const tessera_tensor &out);
void activate(Cpu &cpu, const tessera_tensor &x, tessera_activation_kind kind,
              const tessera_tensor &out);
void modulate(Cpu &cpu, const tessera_tensor &x, const tessera_tensor &shift,
              const tessera_tensor &scale, const tessera_tensor &out);

// ---- rows and pixels: gather.cpp ----
void gather_rows(Cpu &cpu, const tessera_tensor &x, const tessera_tensor &index,
                 const tessera_tensor &out);
void scatter_rows(Cpu &cpu, const tessera_tensor &x, const tessera_tensor &index,
                  const tessera_tensor &out);
void pixel_shuffle(Cpu &cpu, const tessera_tensor &x, std::uint32_t factor,
                   const tessera_tensor &out);
void pixel_unshuffle(Cpu &cpu, const tessera_tensor &x, std::uint32_t factor,
                     const tessera_tensor &out);
void to_rgba8(Cpu &cpu, const tessera_tensor &x, const tessera_tensor &out);

// ---- sampling: random.cpp, sampling.cpp ----
void normal(Cpu &cpu, const tessera_random &random, const tessera_tensor &out);
void guide(Cpu &cpu, const tessera_tensor &conditional, const tessera_tensor &unconditional,
           float scale, std::uint32_t guided_width, const tessera_tensor &out);
void reverse_step(Cpu &cpu, const tessera_tensor &x, const tessera_tensor &model,
                  const tessera_tensor *noise, const tessera_reverse_step &step,
                  const tessera_tensor &out);

// ---- extensions: denoise.cpp ----
// "tessera.compute-denoise/1"; its functions find the Cpu in compute->compute_data.
const void *denoise_extension();

} // namespace tessera::cpu
