// Element-by-element operations: fill, copy, scale_offset, add, activate, modulate.
#include "compute/cuda/kernels/activation.cuh"
#include "compute/cuda/kernels/rows.cuh"
#include "compute/cuda/ops.hpp"

namespace tessera::cuda {
namespace {

struct Fill {
    float value;
    float *out;
    __device__ void operator()(const std::int64_t *at, std::int64_t c) const {
        out[at[0] + c] = value;
    }
};

template <class T>
struct Copy {
    const T *x;
    std::int64_t x_step;
    T *out;
    std::int64_t out_step;
    __device__ void operator()(const std::int64_t *at, std::int64_t c) const {
        out[at[1] + c * out_step] = x[at[0] + c * x_step];
    }
};

struct ScaleOffset {
    const float *x;
    float scale;
    float offset;
    float *out;
    __device__ void operator()(const std::int64_t *at, std::int64_t c) const {
        out[at[1] + c] = x[at[0] + c] * scale + offset;
    }
};

struct Add {
    const float *a;
    const float *b;
    float *out;
    __device__ void operator()(const std::int64_t *at, std::int64_t c) const {
        out[at[2] + c] = a[at[0] + c] + b[at[1] + c];
    }
};

struct Activate {
    const float *x;
    tessera_activation_kind kind;
    float *out;
    __device__ void operator()(const std::int64_t *at, std::int64_t c) const {
        out[at[1] + c] = activated(x[at[0] + c], kind);
    }
};

struct Modulate {
    const float *x;
    const float *shift;
    const float *scale;
    float *out;
    __device__ void operator()(const std::int64_t *at, std::int64_t c) const {
        out[at[3] + c] = x[at[0] + c] * (1.0F + scale[at[2] + c]) + shift[at[1] + c];
    }
};

template <class T>
void copy_elements(Cuda &cuda, const tessera_tensor &x, const tessera_tensor &out) {
    const std::int32_t last = x.rank - 1;
    const Copy<T> body{static_cast<const T *>(x.data), x.rank == 0 ? 1 : x.stride[last],
                       static_cast<T *>(out.data), x.rank == 0 ? 1 : out.stride[last]};
    for_each_element<2>(cuda, "copy", out, {&x, &out}, body);
}

} // namespace

void fill(Cuda &cuda, float value, const tessera_tensor &out) {
    for_each_element<1>(cuda, "fill", out, {&out}, Fill{value, data_of(out)});
}

void copy_strided(Cuda &cuda, const tessera_tensor &from, const tessera_tensor &to) {
    switch (dtype_size(from.dtype)) {
    case 1:
        return copy_elements<std::uint8_t>(cuda, from, to);
    case 2:
        return copy_elements<std::uint16_t>(cuda, from, to);
    case 4:
        return copy_elements<std::uint32_t>(cuda, from, to);
    default:
        return copy_elements<std::uint64_t>(cuda, from, to);
    }
}

void copy(Cuda &cuda, const tessera_tensor &x, const tessera_tensor &out) {
    copy_strided(cuda, x, out);
}

void scale_offset(Cuda &cuda, const tessera_tensor &x, float scale, float offset,
                  const tessera_tensor &out) {
    for_each_element<2>(cuda, "scale_offset", out, {&x, &out},
                        ScaleOffset{data_of(x), scale, offset, data_of(out)});
}

void add(Cuda &cuda, const tessera_tensor &a, const tessera_tensor &b, const tessera_tensor &out) {
    for_each_element<3>(cuda, "add", out, {&a, &b, &out},
                        Add{data_of(a), data_of(b), data_of(out)});
}

void activate(Cuda &cuda, const tessera_tensor &x, tessera_activation_kind kind,
              const tessera_tensor &out) {
    for_each_element<2>(cuda, "activate", out, {&x, &out},
                        Activate{data_of(x), kind, data_of(out)});
}

void modulate(Cuda &cuda, const tessera_tensor &x, const tessera_tensor &shift,
              const tessera_tensor &scale, const tessera_tensor &out) {
    for_each_element<4>(cuda, "modulate", out, {&x, &shift, &scale, &out},
                        Modulate{data_of(x), data_of(shift), data_of(scale), data_of(out)});
}

} // namespace tessera::cuda
