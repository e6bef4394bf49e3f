// Every operation of compute.h, once: its name and what its tensors are to it. From this list come
// the declarations of the rules (operands.hpp) and of a backend's kernels (KernelOf), the table
// over them (table.hpp), and the checked table (checked_operations.cpp).
#pragma once

#include "core/result.hpp"

#include <tessera/compute.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <type_traits>
#include <utility>

// OPERATION(name in compute.h, its tensors in the order of its arguments...)
// clang-format off
#define TESSERA_OPERATIONS(OPERATION)                                                              \
    OPERATION(upload, host("host_source"), written("out"))                                         \
    OPERATION(download, read("source"), host_written("host_out"))                                  \
    OPERATION(linear, read("x"), packed("packed_weight", "pack_linear"), written("out"))           \
    OPERATION(attention, read("query"), read("key"), read("value"), written("out"))                \
    OPERATION(conv2d, read("x"), packed("packed_weight", "pack_conv2d"), written("out"))           \
    OPERATION(depthwise_conv2d, read("x"), read("kernel"), written("out"))                         \
    OPERATION(rotary, in_place("x"), read("turns"), written("out"))                                \
    OPERATION(layer_norm, in_place("x"), optional("gamma"), optional("beta"), written("out"))      \
    OPERATION(rms_norm, in_place("x"), optional("gamma"), written("out"))                          \
    OPERATION(group_norm, in_place("x"), read("gamma"), read("beta"), written("out"))              \
    OPERATION(fill, written("out"))                                                                \
    OPERATION(copy, in_place("x"), written("out"))                                                 \
    OPERATION(scale_offset, in_place("x"), written("out"))                                         \
    OPERATION(add, in_place("a"), in_place("b"), written("out"))                                   \
    OPERATION(activate, in_place("x"), written("out"))                                             \
    OPERATION(modulate, in_place("x"), in_place("shift"), in_place("scale"), written("out"))       \
    OPERATION(gather_rows, read("x"), anywhere("index"), written("out"))                           \
    OPERATION(scatter_rows, read("x"), anywhere("index"), written("out"))                          \
    OPERATION(pixel_shuffle, read("x"), written("out"))                                            \
    OPERATION(pixel_unshuffle, read("x"), written("out"))                                          \
    OPERATION(to_rgba8, read("x"), written("out"))                                                 \
    OPERATION(normal, written("out"))                                                              \
    OPERATION(guide, read("conditional"), read("unconditional"), written("out"))                   \
    OPERATION(reverse_step, in_place("x"), read("model"), written("out"))                          \
    OPERATION(softmax, in_place("x"), written("out"))                                              \
    OPERATION(argmax, read("x"), written("out"))                                                   \
    OPERATION(choose, read("x"), written("out"))                                                   \
    OPERATION(first_not_finite, read("x"), written("out"))

// PACK(name in compute.h): a host weight and a precision make a packed weight.
#define TESSERA_PACKS(PACK)                                                                        \
    PACK(pack_linear)                                                                              \
    PACK(pack_conv2d)
// clang-format on

namespace tessera::operations {

// ---- what a tensor is to its operation ----

enum class Role {
    kRead,        // on the device, apart from what is written
    kInPlace,     // on the device, apart from what is written or exactly that
    kOptional,    // as kRead, or NULL
    kPacked,      // a weight from a pack_* function
    kHost,        // read, on the host
    kAnywhere,    // read, on the device (apart from what is written) or on the host
    kWritten,     // on the device
    kHostWritten, // on the host
    kNone,        // of what is no tensor
};

struct Tensor {
    const char *name; // as in compute.h, for messages
    Role role;
    const char *made_by = nullptr; // kPacked: the pack_* function
};

constexpr Tensor read(const char *name) { return {name, Role::kRead}; }
constexpr Tensor in_place(const char *name) { return {name, Role::kInPlace}; }
constexpr Tensor optional(const char *name) { return {name, Role::kOptional}; }
constexpr Tensor host(const char *name) { return {name, Role::kHost}; }
constexpr Tensor anywhere(const char *name) { return {name, Role::kAnywhere}; }
constexpr Tensor written(const char *name) { return {name, Role::kWritten}; }
constexpr Tensor host_written(const char *name) { return {name, Role::kHostWritten}; }
constexpr Tensor packed(const char *name, const char *made_by) {
    return {name, Role::kPacked, made_by};
}

// A tensor of one call; NULL: absent.
struct Operand {
    Tensor is;
    const tessera_tensor *tensor;
};

// ---- options ----

// A growable struct as this build knows it: what the caller's version lacks is zero.
template <class T>
[[nodiscard]] T copy_options(const T *given) {
    T options{};
    if (given != nullptr) {
        std::memcpy(&options, given, std::min<std::size_t>(given->struct_size, sizeof(T)));
    }
    options.struct_size = sizeof(T);
    return options;
}

// The tensors that options bring along, any of them NULL; options without tensors need no line.
template <class T>
[[nodiscard]] std::array<Operand, 0> tensors_of(const T &) {
    return {};
}
[[nodiscard]] inline std::array<Operand, 6> tensors_of(const tessera_linear &options) {
    return {{{read("bias"), options.bias},
             {read("gate"), options.gate},
             {in_place("residual"), options.residual},
             {written("normed"), options.normed},
             {read("norm_gamma"), options.norm_gamma},
             {read("norm_beta"), options.norm_beta}}};
}
[[nodiscard]] inline std::array<Operand, 2> tensors_of(const tessera_attention &options) {
    return {
        {{anywhere("query_rank"), options.query_rank}, {anywhere("key_rank"), options.key_rank}}};
}
[[nodiscard]] inline std::array<Operand, 2> tensors_of(const tessera_conv2d &options) {
    return {{{read("bias"), options.bias}, {in_place("residual"), options.residual}}};
}
[[nodiscard]] inline std::array<Operand, 1> tensors_of(const tessera_random &options) {
    return {{{host("index"), options.index}}};
}

[[nodiscard]] inline std::array<Operand, 1> tensors_of(const tessera_depthwise_conv2d &options) {
    return {{{read("bias"), options.bias}}};
}
[[nodiscard]] inline std::array<Operand, 1> tensors_of(const tessera_rotary &options) {
    return {{{anywhere("position"), options.position}}};
}
[[nodiscard]] inline std::array<Operand, 1> tensors_of(const tessera_choice &options) {
    return {{{host("index"), copy_options(options.random).index}}};
}
[[nodiscard]] inline std::array<Operand, 5> tensors_of(const tessera_reverse &options) {
    return {{{in_place("state"), options.state},
             {in_place("kept"), options.kept},
             {read("noise"), options.noise},
             {read("columns"), options.columns},
             {written("clean"), options.clean}}};
}

// ---- rules ----

template <class Entry>
struct Signature;
template <class Return, class Table, class... A>
struct Signature<Return (*Table::*)(const tessera_compute *, A...)> {
    using Rule = Result<>(A...);
    using Indices = std::index_sequence_for<A...>;
};
template <class Operation>
using EntryOf = std::remove_cv_t<decltype(Operation::kEntry)>;

} // namespace tessera::operations

// What an operation asks of its operands: shapes, dtypes, layout, rows, ranges, the same for every
// backend. A rule gets the arguments as they are in compute.h, of which it is the first reader: any
// may be NULL. Its error names the operand. They are in operands.cpp.
namespace tessera::operands {
#define TESSERA_RULE(name, ...) operations::Signature<decltype(&tessera_compute::name)>::Rule name;
TESSERA_OPERATIONS(TESSERA_RULE)
TESSERA_PACKS(TESSERA_RULE)
#undef TESSERA_RULE
} // namespace tessera::operands

namespace tessera::operations {

// ---- operations as types ----

#define TESSERA_OPERATION_TYPE(name, ...)                                                          \
    struct name##_operation {                                                                      \
        static constexpr const char *kName = #name;                                                \
        static constexpr auto kEntry = &tessera_compute::name;                                     \
        static constexpr auto kRule = operands::name;                                              \
        static constexpr Tensor kTensors[] = {__VA_ARGS__};                                        \
        /* The function of that name in the namespace of the device. */                            \
        template <class Device, class... Args>                                                     \
        static void kernel(Device &device, Args &&...args) {                                       \
            name(device, std::forward<Args>(args)...);                                             \
        }                                                                                          \
    };
TESSERA_OPERATIONS(TESSERA_OPERATION_TYPE)
#undef TESSERA_OPERATION_TYPE

// ---- kernels ----

template <class A>
inline constexpr bool kIsTensor = std::is_same_v<A, const tessera_tensor *>;
template <class A>
inline constexpr bool kIsOptions = false;
template <class T>
inline constexpr bool kIsOptions<const T *> = requires(const T &options) {
    options.struct_size;
};

// The role of argument `at` of A...; what is no tensor has none.
template <class Operation, class... A>
constexpr Role role_of(std::size_t at) {
    constexpr bool kTensor[] = {kIsTensor<A>...};
    const auto number = std::count(kTensor, kTensor + at, true);
    return kTensor[at] ? Operation::kTensors[number].role : Role::kNone;
}

// An argument as the kernel gets it: a tensor by reference, unless it may be absent; options at
// their full size and other structs by reference; a number as it is.
template <class A, Role kRole>
using Parameter = std::conditional_t<std::is_pointer_v<A> && kRole != Role::kOptional,
                                     std::add_lvalue_reference_t<std::remove_pointer_t<A>>, A>;

template <class Device, class Operation, class Entry = EntryOf<Operation>,
          class Indices = typename Signature<Entry>::Indices>
struct KernelType;
template <class Device, class Operation, class Table, class... A, std::size_t... I>
struct KernelType<Device, Operation, void (*Table::*)(const tessera_compute *, A...),
                  std::index_sequence<I...>> {
    static_assert((std::size_t{0} + ... + (kIsTensor<A> ? 1U : 0U)) ==
                      std::size(Operation::kTensors),
                  "TESSERA_OPERATIONS has another number of tensors than compute.h");
    using Function = void(Device &, Parameter<A, role_of<Operation, A...>(I)>...);
};

// A kernel: declared, not defined, by `KernelOf<Device, linear_operation> linear;`. The operands
// keep the operation's rule when it is called.
template <class Device, class Operation>
using KernelOf = typename KernelType<Device, Operation>::Function;

} // namespace tessera::operations
