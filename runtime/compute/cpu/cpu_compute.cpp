#include "compute/cpu/cpu_compute.hpp"

#include "compute/cpu/ops.hpp"
#include "compute/cpu/rows.hpp"
#include "compute/operands.hpp"
#include "core/log.hpp"

#include <tessera/ext/compute_denoise.h>

#include <cstring>
#include <fstream>

namespace tessera::cpu {
namespace {

Cpu &device_of(const tessera_compute *compute) {
    return *static_cast<Cpu *>(compute->compute_data);
}

// ---- memory ----

tessera_status allocate(const tessera_compute *, tessera_tensor *tensor) {
    if (const auto check = operands::allocate(tensor); !check) {
        log::error("compute.cpu", "allocate: {}", check.error().message);
        return static_cast<tessera_status>(check.error().status);
    }
    const auto bytes = static_cast<std::size_t>(*size_bytes(*tensor));
    const auto view = make_view(allocate_aligned(bytes), tensor->dtype,
                                std::span(tensor->shape, static_cast<std::size_t>(tensor->rank)));
    if (!view || !view->data) {
        log::error("compute.cpu", "allocate: no memory for {} bytes, {}", bytes, describe(*tensor));
        return TESSERA_ERROR_OUT_OF_MEMORY;
    }
    *tensor = *view;
    return TESSERA_OK;
}

void release(const tessera_compute *, tessera_tensor *tensor) {
    if (!tensor) return;
    free_aligned(tensor->data);
    tensor->data = nullptr;
}

// Row by row; rows whose elements are side by side on both sides are copied at once.
void copy_strided(const tessera_tensor &from, const tessera_tensor &to) {
    const auto element = static_cast<std::int64_t>(dtype_size(from.dtype));
    const auto *source = static_cast<const std::byte *>(from.data);
    auto *target = static_cast<std::byte *>(to.data);
    const RowOffsets from_row(from, from);
    const RowOffsets to_row(to, to);
    const std::int64_t width = row_width(from);
    const std::int64_t from_step = from.rank == 0 ? 1 : from.stride[from.rank - 1];
    const std::int64_t to_step = to.rank == 0 ? 1 : to.stride[to.rank - 1];
    const bool dense = from_step == 1 && to_step == 1;
    for (std::int64_t row = 0; row < row_count(from); ++row) {
        const std::byte *a = source + from_row(row) * element;
        std::byte *b = target + to_row(row) * element;
        const std::int64_t count = dense ? 1 : width;
        const auto bytes = static_cast<std::size_t>(dense ? width * element : element);
        for (std::int64_t i = 0; i < count; ++i) {
            std::memcpy(b + i * to_step * element, a + i * from_step * element, bytes);
        }
    }
}

void transfer(const tessera_compute *compute, const char *operation, const tessera_tensor *from,
              const tessera_tensor *to) {
    Cpu &cpu = device_of(compute);
    if (cpu.failed()) return;
    if (const auto check = operands::transfer(from, to); !check) {
        return cpu.fail(check.error().status, "{}: {}", operation, check.error().message);
    }
    if (*element_count(*from) == 0) return;
    copy_strided(*from, *to);
}

void upload(const tessera_compute *compute, const tessera_tensor *from, const tessera_tensor *to) {
    transfer(compute, "upload", from, to);
}
void download(const tessera_compute *compute, const tessera_tensor *from,
              const tessera_tensor *to) {
    transfer(compute, "download", from, to);
}

tessera_status synchronize(const tessera_compute *compute) {
    return static_cast<tessera_status>(device_of(compute).take_status());
}

// ---- weights ----

using Pack = Result<tessera_tensor>(Cpu &, const tessera_tensor &, tessera_dtype);

tessera_status pack(const tessera_compute *compute, const char *operation, const Result<> &check,
                    Pack *packer, const tessera_tensor *weight, tessera_dtype precision,
                    tessera_tensor *out) {
    const auto packed = check ? packer(device_of(compute), *weight, precision)
                              : Result<tessera_tensor>(check.error());
    if (!packed) {
        log::error("compute.cpu", "{}: {}", operation, packed.error().message);
        return static_cast<tessera_status>(packed.error().status);
    }
    *out = *packed;
    return TESSERA_OK;
}

tessera_status pack_linear(const tessera_compute *compute, const tessera_tensor *weight,
                           tessera_dtype precision, tessera_tensor *out) {
    return pack(compute, "pack_linear", operands::pack_linear(weight, precision, out),
                cpu::pack_linear, weight, precision, out);
}
tessera_status pack_conv2d(const tessera_compute *compute, const tessera_tensor *weight,
                           tessera_dtype precision, tessera_tensor *out) {
    return pack(compute, "pack_conv2d", operands::pack_conv2d(weight, precision, out),
                cpu::pack_conv2d, weight, precision, out);
}

// ---- operations ----

// Runs body(cpu) unless an operation has failed before, or a required tensor is missing.
template <class Body>
void operate(const tessera_compute *compute, const char *operation,
             std::initializer_list<const void *> required, Body &&body) {
    Cpu &cpu = device_of(compute);
    if (cpu.failed()) return;
    std::size_t index = 0;
    for (const void *pointer : required) {
        if (!pointer) {
            return cpu.fail(Status::kInvalidArgument, "{}: required argument {} is NULL", operation,
                            index);
        }
        ++index;
    }
    body(cpu);
}

void linear(const tessera_compute *compute, const tessera_tensor *x, const tessera_tensor *weight,
            const tessera_linear *options, const tessera_tensor *out) {
    operate(compute, "linear", {x, weight, out}, [&](Cpu &cpu) {
        cpu::linear(cpu, *x, *weight, operands::copy_options(options), *out);
    });
}
void attention(const tessera_compute *compute, const tessera_tensor *query,
               const tessera_tensor *key, const tessera_tensor *value,
               const tessera_attention *options, const tessera_tensor *out) {
    operate(compute, "attention", {query, key, value, out}, [&](Cpu &cpu) {
        cpu::attention(cpu, *query, *key, *value, operands::copy_options(options), *out);
    });
}
void conv2d(const tessera_compute *compute, const tessera_tensor *x, const tessera_tensor *weight,
            const tessera_conv2d *options, const tessera_tensor *out) {
    operate(compute, "conv2d", {x, weight, out}, [&](Cpu &cpu) {
        cpu::conv2d(cpu, *x, *weight, operands::copy_options(options), *out);
    });
}
void layer_norm(const tessera_compute *compute, const tessera_tensor *x,
                const tessera_tensor *gamma, const tessera_tensor *beta, float epsilon,
                const tessera_tensor *out) {
    operate(compute, "layer_norm", {x, out},
            [&](Cpu &cpu) { cpu::layer_norm(cpu, *x, gamma, beta, epsilon, *out); });
}
void group_norm(const tessera_compute *compute, const tessera_tensor *x, std::uint32_t groups,
                const tessera_tensor *gamma, const tessera_tensor *beta, float epsilon,
                tessera_activation_kind activation, const tessera_tensor *out) {
    operate(compute, "group_norm", {x, out}, [&](Cpu &cpu) {
        cpu::group_norm(cpu, *x, groups, gamma, beta, epsilon, activation, *out);
    });
}
void fill(const tessera_compute *compute, float value, const tessera_tensor *out) {
    operate(compute, "fill", {out}, [&](Cpu &cpu) { cpu::fill(cpu, value, *out); });
}
void copy(const tessera_compute *compute, const tessera_tensor *x, const tessera_tensor *out) {
    operate(compute, "copy", {x, out}, [&](Cpu &cpu) { cpu::copy(cpu, *x, *out); });
}
void scale_offset(const tessera_compute *compute, const tessera_tensor *x, float scale,
                  float offset, const tessera_tensor *out) {
    operate(compute, "scale_offset", {x, out},
            [&](Cpu &cpu) { cpu::scale_offset(cpu, *x, scale, offset, *out); });
}
void add(const tessera_compute *compute, const tessera_tensor *a, const tessera_tensor *b,
         const tessera_tensor *out) {
    operate(compute, "add", {a, b, out}, [&](Cpu &cpu) { cpu::add(cpu, *a, *b, *out); });
}
void activate(const tessera_compute *compute, const tessera_tensor *x, tessera_activation_kind kind,
              const tessera_tensor *out) {
    operate(compute, "activate", {x, out}, [&](Cpu &cpu) { cpu::activate(cpu, *x, kind, *out); });
}
void modulate(const tessera_compute *compute, const tessera_tensor *x, const tessera_tensor *shift,
              const tessera_tensor *scale, const tessera_tensor *out) {
    operate(compute, "modulate", {x, shift, scale, out},
            [&](Cpu &cpu) { cpu::modulate(cpu, *x, *shift, *scale, *out); });
}
void gather_rows(const tessera_compute *compute, const tessera_tensor *x,
                 const tessera_tensor *index, const tessera_tensor *out) {
    operate(compute, "gather_rows", {x, index, out},
            [&](Cpu &cpu) { cpu::gather_rows(cpu, *x, *index, *out); });
}
void scatter_rows(const tessera_compute *compute, const tessera_tensor *x,
                  const tessera_tensor *index, const tessera_tensor *out) {
    operate(compute, "scatter_rows", {x, index, out},
            [&](Cpu &cpu) { cpu::scatter_rows(cpu, *x, *index, *out); });
}
void pixel_shuffle(const tessera_compute *compute, const tessera_tensor *x, std::uint32_t factor,
                   const tessera_tensor *out) {
    operate(compute, "pixel_shuffle", {x, out},
            [&](Cpu &cpu) { cpu::pixel_shuffle(cpu, *x, factor, *out); });
}
void pixel_unshuffle(const tessera_compute *compute, const tessera_tensor *x, std::uint32_t factor,
                     const tessera_tensor *out) {
    operate(compute, "pixel_unshuffle", {x, out},
            [&](Cpu &cpu) { cpu::pixel_unshuffle(cpu, *x, factor, *out); });
}
void to_rgba8(const tessera_compute *compute, const tessera_tensor *x, const tessera_tensor *out) {
    operate(compute, "to_rgba8", {x, out}, [&](Cpu &cpu) { cpu::to_rgba8(cpu, *x, *out); });
}
void normal(const tessera_compute *compute, const tessera_random *random,
            const tessera_tensor *out) {
    operate(compute, "normal", {random, out},
            [&](Cpu &cpu) { cpu::normal(cpu, operands::copy_options(random), *out); });
}
void guide(const tessera_compute *compute, const tessera_tensor *conditional,
           const tessera_tensor *unconditional, float scale, std::uint32_t guided_width,
           const tessera_tensor *out) {
    operate(compute, "guide", {conditional, unconditional, out}, [&](Cpu &cpu) {
        cpu::guide(cpu, *conditional, *unconditional, scale, guided_width, *out);
    });
}
void reverse_step(const tessera_compute *compute, const tessera_tensor *x,
                  const tessera_tensor *model, const tessera_tensor *noise,
                  const tessera_reverse_step *step, const tessera_tensor *out) {
    operate(compute, "reverse_step", {x, model, step, out},
            [&](Cpu &cpu) { cpu::reverse_step(cpu, *x, *model, noise, *step, *out); });
}

const void *get_extension(const tessera_compute *, const char *id) {
    if (id && std::strcmp(id, TESSERA_EXT_COMPUTE_DENOISE) == 0) return denoise_extension();
    return nullptr;
}

constexpr tessera_compute kTable = {
    .info = nullptr,
    .compute_data = nullptr,
    .get_extension = get_extension,
    .allocate = allocate,
    .release = release,
    .upload = upload,
    .download = download,
    .synchronize = synchronize,
    .pack_linear = pack_linear,
    .pack_conv2d = pack_conv2d,
    .linear = linear,
    .attention = attention,
    .conv2d = conv2d,
    .layer_norm = layer_norm,
    .group_norm = group_norm,
    .fill = fill,
    .copy = copy,
    .scale_offset = scale_offset,
    .add = add,
    .activate = activate,
    .modulate = modulate,
    .gather_rows = gather_rows,
    .scatter_rows = scatter_rows,
    .pixel_shuffle = pixel_shuffle,
    .pixel_unshuffle = pixel_unshuffle,
    .to_rgba8 = to_rgba8,
    .normal = normal,
    .guide = guide,
    .reverse_step = reverse_step,
};

// "AMD EPYC", or "CPU" where nobody tells.
std::string processor_name() {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
        const std::size_t colon = line.find(": ");
        if (line.starts_with("model name") && colon != std::string::npos) {
            return line.substr(colon + 2);
        }
    }
    return "CPU";
}

class CpuCompute final : public ComputeDevice {
  public:
    CpuCompute(const Kernels &kernels, const ComputeOptions &options)
        : own_pool_(options.pool ? nullptr
                                 : std::make_unique<ThreadPool>(
                                       ThreadPool::Options{.threads = options.threads})),
          cpu_(kernels, options.pool ? *options.pool : *own_pool_),
          device_(fmt::format("{}, {} threads, {}", processor_name(), cpu_.pool().thread_count(),
                              kernels.name)),
          info_{.struct_size = sizeof(tessera_compute_info),
                .memory = TESSERA_MEMORY_HOST,
                .backend = "cpu",
                .device = device_.c_str()},
          table_(kTable) {
        table_.info = &info_;
        table_.compute_data = &cpu_;
    }
    [[nodiscard]] const tessera_compute *table() const override { return &table_; }

  private:
    std::unique_ptr<ThreadPool> own_pool_;
    Cpu cpu_;
    std::string device_;
    tessera_compute_info info_;
    tessera_compute table_;
};

} // namespace

Result<std::unique_ptr<ComputeDevice>> open_cpu_compute(const ComputeOptions &options) {
    const auto kernels = choose_kernels(options.isa);
    if (!kernels) return kernels.error();
    return std::unique_ptr<ComputeDevice>(std::make_unique<CpuCompute>(**kernels, options));
}

} // namespace tessera::cpu
