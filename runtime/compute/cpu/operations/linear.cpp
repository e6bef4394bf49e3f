// linear: packed weights and products of rows with them.
#include "compute/cpu/ops.hpp"
#include "compute/cpu/rows.hpp"
#include "compute/operands.hpp"

#include <tessera/values/half.hpp>

#include <atomic>
#include <cstring>

namespace tessera::cpu {
namespace {

// Before the panels of a packed matrix, so that weights of another kind or level are noticed.
struct alignas(64) PackedHeader {
    std::uint64_t magic;
    std::int64_t panel_columns;
};
constexpr std::uint64_t kMagic = 0x6e696c2d6b636170; // "pack-lin"

// n elements of any alignment, `stride` elements apart.
void read_floats(const std::byte *from, tessera_dtype dtype, std::int64_t stride, std::int64_t n,
                 float *to) {
    if (dtype == TESSERA_DTYPE_F32) {
        if (stride == 1) {
            std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(float));
            return;
        }
        for (std::int64_t i = 0; i < n; ++i) std::memcpy(to + i, from + i * stride * 4, 4);
        return;
    }
    const auto convert = dtype == TESSERA_DTYPE_F16 ? values::f16_to_float : values::bf16_to_float;
    for (std::int64_t i = 0; i < n; ++i) {
        std::uint16_t half;
        std::memcpy(&half, from + i * stride * 2, 2);
        to[i] = convert(half);
    }
}

// A row of activations into element `at` of a copy, which is bf16 or float32.
void copy_row(const GemmKernels &gemm, const float *row, std::int64_t width, bool to_bf16,
              std::byte *copy, std::int64_t at) {
    if (to_bf16) {
        gemm.to_bf16(row, width, reinterpret_cast<std::uint16_t *>(copy) + at);
    } else {
        std::memcpy(reinterpret_cast<float *>(copy) + at, row,
                    static_cast<std::size_t>(width) * sizeof(float));
    }
}

} // namespace

Result<tessera_tensor> pack_linear(Cpu &cpu, const tessera_tensor &weight,
                                   tessera_dtype precision) {
    const GemmKernels &gemm = cpu.kernels().gemm;
    const std::int64_t columns = weight.shape[0];
    const std::int64_t inner = weight.shape[1];
    PackedMatrix packed{
        .columns = columns, .segment_length = inner, .bf16 = precision == TESSERA_DTYPE_BF16};
    const auto bytes = static_cast<std::size_t>(packed_bytes(gemm, packed));
    auto *memory = static_cast<std::byte *>(allocate_aligned(sizeof(PackedHeader) + bytes));
    // A panel's columns as floats, for each thread.
    const std::int64_t per_thread = gemm.panel_columns * inner;
    auto *rows = cpu.scratch<float>(Scratch::kA, per_thread * cpu.pool().thread_count());
    if (!memory || !rows) {
        free_aligned(memory);
        return make_error(Status::kOutOfMemory, "pack_linear: no memory for {} bytes", bytes);
    }
    new (memory) PackedHeader{kMagic, gemm.panel_columns};
    std::byte *panels = memory + sizeof(PackedHeader);
    cpu.pool().run([&](Region &region) {
        float *own = rows + per_thread * region.thread_index();
        region.for_each(panel_count(gemm, packed), [&](std::int64_t panel) {
            const std::int64_t first = panel * gemm.panel_columns;
            const std::int64_t count = std::min(gemm.panel_columns, columns - first);
            const float *pointers[kMaxPanelColumns];
            for (std::int64_t c = 0; c < count; ++c) {
                pointers[c] = own + c * inner;
                read_floats(static_cast<const std::byte *>(weight.data) +
                                (first + c) * weight.stride[0] *
                                    static_cast<std::int64_t>(dtype_size(weight.dtype)),
                            weight.dtype, weight.stride[1], inner, own + c * inner);
            }
            gemm.pack_panel(pointers, count, 1, inner, packed.bf16,
                            panels + panel * panel_bytes(gemm, packed));
        });
    });
    tessera_tensor out{};
    out.data = memory;
    out.dtype = precision;
    out.memory = TESSERA_MEMORY_HOST;
    out.layout = TESSERA_LAYOUT_PACKED;
    out.rank = 2;
    for (int i = 0; i < TESSERA_MAX_RANK; ++i) out.shape[i] = i < 2 ? weight.shape[i] : 1;
    return out;
}

Result<PackedMatrix> packed_matrix(const Cpu &cpu, const tessera_tensor &packed) {
    PackedHeader header;
    std::memcpy(&header, packed.data, sizeof header);
    if (header.magic != kMagic || header.panel_columns != cpu.kernels().gemm.panel_columns) {
        return make_error(Status::kInvalidArgument,
                          "weight {} was not packed by pack_linear of this compute",
                          describe(packed));
    }
    return PackedMatrix{.data = static_cast<const std::byte *>(packed.data) + sizeof header,
                        .columns = packed.shape[0],
                        .segment_length = packed.shape[1],
                        .bf16 = packed.dtype == TESSERA_DTYPE_BF16};
}

void linear(Cpu &cpu, const tessera_tensor &x, const tessera_tensor &weight,
            const tessera_linear &options, const tessera_tensor &out) {
    const auto matrix = packed_matrix(cpu, weight);
    if (!matrix) return cpu.fail(matrix.error().status, "linear: {}", matrix.error().message);
    const auto rows = operands::as_rows(x);
    const auto out_rows = operands::as_rows(out);

    GemmCall call{.weight = *matrix,
                  .a = x.data,
                  .a_stride = rows->stride,
                  .rows = rows->count,
                  .out = data_of(out),
                  .out_stride = out_rows->stride,
                  .epilogue = {}};
    call.epilogue.activation = options.activation;
    if (options.bias) call.epilogue.bias = data_of(*options.bias);
    if (options.gate) {
        call.epilogue.gate = data_of(*options.gate);
        const auto gates = operands::as_rows(*options.gate);
        call.epilogue.gate_stride = gates->stride;
        call.epilogue.gate_rows = rows->count / gates->count;
    }
    if (options.residual) {
        call.epilogue.residual = data_of(*options.residual);
        call.epilogue.residual_stride = operands::as_rows(*options.residual)->stride;
    }

    // Rows are copied when the product wants bf16, or when their stride makes them fall on the same
    // cache sets while a tile reads them side by side.
    const GemmKernels &gemm = cpu.kernels().gemm;
    const bool to_bf16 = gemm_takes_bf16(gemm, *matrix);
    const bool copies = to_bf16 || (rows->count > 1 && rows->stride % 128 == 0);
    const std::int64_t stride = padded_stride(rows->width);
    std::byte *copy = nullptr;
    if (copies) {
        copy = cpu.scratch<std::byte>(Scratch::kA, rows->count * stride * (to_bf16 ? 2 : 4));
        if (!copy) return;
        call.a = copy;
        call.a_stride = stride;
    }
    constexpr std::int64_t kRowsOfPiece = 16;
    const float *from = data_of(x);
    cpu.pool().run([&](Region &region) {
        const std::int64_t blocks = copies ? (rows->count + kRowsOfPiece - 1) / kRowsOfPiece : 0;
        region.for_each(blocks, [&](std::int64_t block) {
            const std::int64_t end = std::min(rows->count, (block + 1) * kRowsOfPiece);
            for (std::int64_t r = block * kRowsOfPiece; r < end; ++r)
                copy_row(gemm, from + r * rows->stride, rows->width, to_bf16, copy, r * stride);
        });
        region.for_each(gemm_pieces(gemm, call),
                        [&](std::int64_t piece) { run_piece(gemm, call, piece); });
    });
    if (options.normed == nullptr) return;
    layer_norm(cpu, out, options.norm_gamma, options.norm_beta, options.norm_epsilon,
               *options.normed);
}

} // namespace tessera::cpu
