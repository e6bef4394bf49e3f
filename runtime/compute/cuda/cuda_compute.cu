// The CUDA backend's table, and the entry of its module.
#include "compute/cuda/module.hpp"
#include "compute/cuda/ops.hpp"
#include "compute/cuda/range.hpp"
#include "compute/operands.hpp"

#include <tessera/ext/compute_denoise.h>
#include <tessera/version.h>

#include <algorithm>
#include <cstring>

namespace tessera::cuda {
namespace {

constexpr const char *kSource = "compute.cuda";

Cuda &device_of(const tessera_compute *compute) {
    return *static_cast<Cuda *>(compute->compute_data);
}

// ---- memory ----

tessera_status allocate(const tessera_compute *compute, tessera_tensor *tensor) {
    if (const auto check = operands::allocate(tensor); !check) {
        log::error(kSource, "allocate: {}", check.error().message);
        return static_cast<tessera_status>(check.error().status);
    }
    Cuda &cuda = device_of(compute);
    cuda.make_current();
    const auto memory = cuda.allocate(static_cast<std::size_t>(*size_bytes(*tensor)));
    if (!memory) {
        log::error(kSource, "allocate {}: {}", shape_text(*tensor), memory.error().message);
        return static_cast<tessera_status>(memory.error().status);
    }
    const auto view = make_view(*memory, tensor->dtype,
                                std::span(tensor->shape, static_cast<std::size_t>(tensor->rank)));
    *tensor = *view;
    tensor->memory = TESSERA_MEMORY_CUDA;
    return TESSERA_OK;
}

void release(const tessera_compute *compute, tessera_tensor *tensor) {
    if (!tensor || !tensor->data) return;
    Cuda &cuda = device_of(compute);
    cuda.make_current();
    cuda.forget(tensor->data);
    cuda.release(tensor->data);
    tensor->data = nullptr;
}

// Whether a copy between host and device may start.
bool may_copy(const tessera_compute *compute, const char *operation, const tessera_tensor *from,
              const tessera_tensor *to) {
    Cuda &cuda = device_of(compute);
    if (cuda.failed()) return false;
    if (const auto check = operands::transfer(from, to); !check) {
        cuda.fail(check.error().status, "{}: {}", operation, check.error().message);
        return false;
    }
    cuda.make_current();
    return true;
}

void upload(const tessera_compute *compute, const tessera_tensor *from, const tessera_tensor *to) {
    if (may_copy(compute, "upload", from, to)) device_of(compute).upload(*from, *to);
}
void download(const tessera_compute *compute, const tessera_tensor *from,
              const tessera_tensor *to) {
    if (may_copy(compute, "download", from, to)) device_of(compute).download(*from, *to);
}

tessera_status synchronize(const tessera_compute *compute) {
    const Range range("synchronize");
    Cuda &cuda = device_of(compute);
    cuda.make_current();
    cuda.finish();
    return static_cast<tessera_status>(cuda.take_status());
}

// ---- weights ----

using Pack = Result<tessera_tensor>(Cuda &, const tessera_tensor &, tessera_dtype);

tessera_status pack(const tessera_compute *compute, const char *operation, const Result<> &check,
                    Pack *packer, const tessera_tensor *weight, tessera_dtype precision,
                    tessera_tensor *out) {
    Cuda &cuda = device_of(compute);
    cuda.make_current();
    const auto packed =
        check ? packer(cuda, *weight, precision) : Result<tessera_tensor>(check.error());
    if (!packed) {
        log::error(kSource, "{}: {}", operation, packed.error().message);
        return static_cast<tessera_status>(packed.error().status);
    }
    *out = *packed;
    return TESSERA_OK;
}

tessera_status pack_linear(const tessera_compute *compute, const tessera_tensor *weight,
                           tessera_dtype precision, tessera_tensor *out) {
    return pack(compute, "pack_linear", operands::pack_linear(weight, precision, out),
                cuda::pack_linear, weight, precision, out);
}
tessera_status pack_conv2d(const tessera_compute *compute, const tessera_tensor *weight,
                           tessera_dtype precision, tessera_tensor *out) {
    return pack(compute, "pack_conv2d", operands::pack_conv2d(weight, precision, out),
                cuda::pack_conv2d, weight, precision, out);
}

// ---- operations ----

// Runs body(cuda) unless an operation has failed before, or a required tensor is missing.
template <class Body>
void operate(const tessera_compute *compute, const char *operation,
             std::initializer_list<const void *> required, Body &&body) {
    const Range range(operation);
    Cuda &cuda = device_of(compute);
    if (cuda.failed()) return;
    cuda.make_current();
    std::size_t index = 0;
    for (const void *pointer : required) {
        if (!pointer) {
            return cuda.fail(Status::kInvalidArgument, "{}: required argument {} is NULL",
                             operation, index);
        }
        ++index;
    }
    body(cuda);
}

void linear(const tessera_compute *compute, const tessera_tensor *x, const tessera_tensor *weight,
            const tessera_linear *options, const tessera_tensor *out) {
    operate(compute, "linear", {x, weight, out}, [&](Cuda &cuda) {
        cuda::linear(cuda, *x, *weight, operands::copy_options(options), *out);
    });
}
void attention(const tessera_compute *compute, const tessera_tensor *query,
               const tessera_tensor *key, const tessera_tensor *value,
               const tessera_attention *options, const tessera_tensor *out) {
    operate(compute, "attention", {query, key, value, out}, [&](Cuda &cuda) {
        cuda::attention(cuda, *query, *key, *value, operands::copy_options(options), *out);
    });
}
void conv2d(const tessera_compute *compute, const tessera_tensor *x, const tessera_tensor *weight,
            const tessera_conv2d *options, const tessera_tensor *out) {
    operate(compute, "conv2d", {x, weight, out}, [&](Cuda &cuda) {
        cuda::conv2d(cuda, *x, *weight, operands::copy_options(options), *out);
    });
}
void layer_norm(const tessera_compute *compute, const tessera_tensor *x,
                const tessera_tensor *gamma, const tessera_tensor *beta, float epsilon,
                const tessera_tensor *out) {
    operate(compute, "layer_norm", {x, out},
            [&](Cuda &cuda) { cuda::layer_norm(cuda, *x, gamma, beta, epsilon, *out); });
}
void group_norm(const tessera_compute *compute, const tessera_tensor *x, std::uint32_t groups,
                const tessera_tensor *gamma, const tessera_tensor *beta, float epsilon,
                tessera_activation_kind activation, const tessera_tensor *out) {
    operate(compute, "group_norm", {x, gamma, beta, out}, [&](Cuda &cuda) {
        cuda::group_norm(cuda, *x, groups, *gamma, *beta, epsilon, activation, *out);
    });
}
void fill(const tessera_compute *compute, float value, const tessera_tensor *out) {
    operate(compute, "fill", {out}, [&](Cuda &cuda) { cuda::fill(cuda, value, *out); });
}
void copy(const tessera_compute *compute, const tessera_tensor *x, const tessera_tensor *out) {
    operate(compute, "copy", {x, out}, [&](Cuda &cuda) { cuda::copy(cuda, *x, *out); });
}
void scale_offset(const tessera_compute *compute, const tessera_tensor *x, float scale,
                  float offset, const tessera_tensor *out) {
    operate(compute, "scale_offset", {x, out},
            [&](Cuda &cuda) { cuda::scale_offset(cuda, *x, scale, offset, *out); });
}
void add(const tessera_compute *compute, const tessera_tensor *a, const tessera_tensor *b,
         const tessera_tensor *out) {
    operate(compute, "add", {a, b, out}, [&](Cuda &cuda) { cuda::add(cuda, *a, *b, *out); });
}
void activate(const tessera_compute *compute, const tessera_tensor *x, tessera_activation_kind kind,
              const tessera_tensor *out) {
    operate(compute, "activate", {x, out},
            [&](Cuda &cuda) { cuda::activate(cuda, *x, kind, *out); });
}
void modulate(const tessera_compute *compute, const tessera_tensor *x, const tessera_tensor *shift,
              const tessera_tensor *scale, const tessera_tensor *out) {
    operate(compute, "modulate", {x, shift, scale, out},
            [&](Cuda &cuda) { cuda::modulate(cuda, *x, *shift, *scale, *out); });
}
void gather_rows(const tessera_compute *compute, const tessera_tensor *x,
                 const tessera_tensor *index, const tessera_tensor *out) {
    operate(compute, "gather_rows", {x, index, out},
            [&](Cuda &cuda) { cuda::gather_rows(cuda, *x, *index, *out); });
}
void scatter_rows(const tessera_compute *compute, const tessera_tensor *x,
                  const tessera_tensor *index, const tessera_tensor *out) {
    operate(compute, "scatter_rows", {x, index, out},
            [&](Cuda &cuda) { cuda::scatter_rows(cuda, *x, *index, *out); });
}
void pixel_shuffle(const tessera_compute *compute, const tessera_tensor *x, std::uint32_t factor,
                   const tessera_tensor *out) {
    operate(compute, "pixel_shuffle", {x, out},
            [&](Cuda &cuda) { cuda::pixel_shuffle(cuda, *x, factor, *out); });
}
void pixel_unshuffle(const tessera_compute *compute, const tessera_tensor *x, std::uint32_t factor,
                     const tessera_tensor *out) {
    operate(compute, "pixel_unshuffle", {x, out},
            [&](Cuda &cuda) { cuda::pixel_unshuffle(cuda, *x, factor, *out); });
}
void to_rgba8(const tessera_compute *compute, const tessera_tensor *x, const tessera_tensor *out) {
    operate(compute, "to_rgba8", {x, out}, [&](Cuda &cuda) { cuda::to_rgba8(cuda, *x, *out); });
}
void normal(const tessera_compute *compute, const tessera_random *random,
            const tessera_tensor *out) {
    operate(compute, "normal", {random, out},
            [&](Cuda &cuda) { cuda::normal(cuda, operands::copy_options(random), *out); });
}
void guide(const tessera_compute *compute, const tessera_tensor *conditional,
           const tessera_tensor *unconditional, float scale, std::uint32_t guided_width,
           const tessera_tensor *out) {
    operate(compute, "guide", {conditional, unconditional, out}, [&](Cuda &cuda) {
        cuda::guide(cuda, *conditional, *unconditional, scale, guided_width, *out);
    });
}
void reverse_step(const tessera_compute *compute, const tessera_tensor *x,
                  const tessera_tensor *model, const tessera_tensor *noise,
                  const tessera_reverse_step *step, const tessera_tensor *out) {
    operate(compute, "reverse_step", {x, model, step, out},
            [&](Cuda &cuda) { cuda::reverse_step(cuda, *x, *model, noise, *step, *out); });
}

const void *get_extension(const tessera_compute *compute, const char *id) {
    if (!id) return nullptr;
    if (std::strcmp(id, TESSERA_EXT_COMPUTE_DENOISE) == 0) return denoise_extension();
    if (std::strcmp(id, TESSERA_EXT_CUDA) == 0) return &device_of(compute).extension();
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

// A table and the device behind it.
struct CudaCompute {
    explicit CudaCompute(std::unique_ptr<Cuda> given) : cuda(std::move(given)) {
        info.struct_size = sizeof info;
        info.memory = TESSERA_MEMORY_CUDA;
        info.backend = "cuda";
        info.device = cuda->description().c_str();
        table.info = &info;
        table.compute_data = cuda.get();
    }
    tessera_compute table = kTable; // first: `close` gets its address
    std::unique_ptr<Cuda> cuda;
    tessera_compute_info info{};
};

// ---- the module ----

constexpr int kOldestMajor = 7; // compute capability 7.5
constexpr int kOldestMinor = 5;

void write_message(ModuleMessage *message, const std::string &text) {
    const std::size_t length = std::min(text.size(), sizeof message->text - 1);
    std::memcpy(message->text, text.data(), length);
    message->text[length] = 0;
}

std::string version_text(int version) {
    return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

// Why the runtime finds no device; cudaGetDeviceCount leaves its result unwritten then.
std::string no_device_text(cudaError_t error) {
    int driver = 0;
    int runtime = 0;
    (void)cudaDriverGetVersion(&driver);
    (void)cudaRuntimeGetVersion(&runtime);
    (void)cudaGetLastError();
    if (error == cudaErrorInsufficientDriver && driver == 0)
        return "no NVIDIA driver on this machine";
    if (error == cudaErrorInsufficientDriver) {
        return fmt::format("the NVIDIA driver is for CUDA {}; expected {} or newer",
                           version_text(driver), version_text(runtime));
    }
    if (error == cudaSuccess || error == cudaErrorNoDevice) return "no CUDA device on this machine";
    return fmt::format("CUDA does not start: {}", cudaGetErrorString(error));
}

// The first device of a supported kind.
Result<int> usable_device() {
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess || count == 0)
        return make_error(Status::kUnsupported, "{}", no_device_text(error));
    std::string refused;
    for (int device = 0; device < count; ++device) {
        int major = 0;
        int minor = 0;
        cudaError_t asked =
            cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
        if (asked == cudaSuccess)
            asked = cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
        const bool new_enough =
            major > kOldestMajor || (major == kOldestMajor && minor >= kOldestMinor);
        if (asked == cudaSuccess && new_enough) return device;
        refused += fmt::format(
            "{}device {}: {}", refused.empty() ? "" : "; ", device,
            asked != cudaSuccess
                ? std::string(cudaGetErrorString(asked))
                : fmt::format("compute capability {}.{}, expected 7.5 or newer", major, minor));
    }
    (void)cudaGetLastError();
    return make_error(Status::kUnsupported, "{}", refused);
}

// Written once, before anything else of the module runs.
void (*program_log)(std::int32_t, const char *, const char *) = nullptr;

void set_log(void (*write)(std::int32_t, const char *, const char *)) {
    program_log = write;
    log::set_sink([](log::Level level, std::string_view source, std::string_view message) {
        program_log(static_cast<std::int32_t>(level), std::string(source).c_str(),
                    std::string(message).c_str());
    });
}

tessera_status probe(ModuleMessage *reason) {
    const auto device = usable_device();
    if (device) return TESSERA_OK;
    write_message(reason, device.error().message);
    return static_cast<tessera_status>(device.error().status);
}

const tessera_compute *open(const ModuleOptions *options, tessera_status *status,
                            ModuleMessage *message) {
    const auto device = usable_device();
    auto cuda =
        device ? Cuda::create(*device, *options) : Result<std::unique_ptr<Cuda>>(device.error());
    if (!cuda) {
        *status = static_cast<tessera_status>(cuda.error().status);
        write_message(message, cuda.error().message);
        return nullptr;
    }
    *status = TESSERA_OK;
    return &(new CudaCompute(std::move(*cuda)))->table;
}

void close(const tessera_compute *compute) {
    delete reinterpret_cast<const CudaCompute *>(compute); // its first member
}

constexpr ModuleTable kModule = {.struct_size = sizeof(ModuleTable),
                                 .abi_version = TESSERA_ABI_VERSION,
                                 .options_size = sizeof(ModuleOptions),
                                 .set_log = set_log,
                                 .probe = probe,
                                 .open = open,
                                 .close = close};

} // namespace
} // namespace tessera::cuda

extern "C" __attribute__((visibility("default"))) const tessera::cuda::ModuleTable *
tessera_cuda_module() {
    return &tessera::cuda::kModule;
}
