// The table of compute.h over a device: what the entries of every backend have in common, once. An
// operation does nothing after a failure, is traced, and has its operands checked before the
// device's kernel runs; a function that returns a status reports its own failures.
//
// A device, for instance `cpu::Cpu`, has:
//   kBackend, kSource               its name, and what is in front of its log lines ("compute.cpu")
//   kMemory, description()          where its tensors live; what it is, for people
//   kHoldsF16                       where its packers take f16; others are asked for float32
//   Range(const char *operation)    a named range for tracing, as long as the object lives
//   make_current()                  before anything else is asked of it, on the calling thread
//   failed(), report(status, message), take_status()    the sticky error
//   allocate(wanted) -> Result<tessera_tensor>, release(data), finish()
//   extension(id) -> const void *
//   and in its namespace a kernel for each of TESSERA_OPERATIONS, a packer for each of
//   TESSERA_PACKS.
#pragma once

#include "compute/operands.hpp"
#include "compute/operations.hpp"
#include "core/log.hpp"

#include <memory>
#include <utility>

namespace tessera::table {

// A table and the device behind it: what compute_data of the table points to.
template <class Device>
struct Opened {
    Opened(const tessera_compute &entries, std::unique_ptr<Device> given)
        : table(entries),
          device(std::move(given)), info{.struct_size = sizeof(tessera_compute_info),
                                         .memory = Device::kMemory,
                                         .backend = Device::kBackend,
                                         .device = device->description().c_str()} {
        table.info = &info;
        table.compute_data = this;
    }
    tessera_compute table;
    std::unique_ptr<Device> device;
    tessera_compute_info info;
};

template <class Device>
[[nodiscard]] Device &device_of(const tessera_compute *compute) {
    return *static_cast<Opened<Device> *>(compute->compute_data)->device;
}

// ---- operations ----

// Runs kernel(device) when no earlier failure sticks and rule() holds; else that is reported.
template <class Device, class Rule, class Kernel>
void operate(const tessera_compute *compute, const char *operation, Rule &&rule, Kernel &&kernel) {
    const typename Device::Range range(operation);
    auto &device = device_of<Device>(compute);
    if (device.failed()) return;
    device.make_current();
    if (const Result<> fits = rule(); fits)
        kernel(device);
    else
        device.report(fits.error().status, fmt::format("{}: {}", operation, fits.error().message));
}

// An argument as the kernel gets it; options are a copy.
template <class A, operations::Role kRole, class P = operations::Parameter<A, kRole>>
[[nodiscard]] std::conditional_t<operations::kIsOptions<A>, std::remove_cvref_t<P>, P>
kernel_argument(A argument) {
    if constexpr (operations::kIsOptions<A>)
        return operations::copy_options(argument);
    else if constexpr (std::is_reference_v<P>)
        return *argument;
    else
        return argument;
}

template <class Device, class Operation, class Entry = operations::EntryOf<Operation>,
          class Indices = typename operations::Signature<Entry>::Indices>
struct Operate;
template <class Device, class Operation, class Table, class... A, std::size_t... I>
struct Operate<Device, Operation, void (*Table::*)(const tessera_compute *, A...),
               std::index_sequence<I...>> {
    static void entry(const tessera_compute *compute, A... arguments) {
        operate<Device>(
            compute, Operation::kName, [&] { return Operation::kRule(arguments...); },
            [&](Device &device) {
                Operation::kernel(
                    device,
                    kernel_argument<A, operations::role_of<Operation, A...>(I)>(arguments)...);
            });
    }
};

// ---- memory and weights ----

template <class Device>
tessera_status refused(const char *function, const Error &error) {
    log::error(Device::kSource, "{}: {}", function, error.message);
    return static_cast<tessera_status>(error.status);
}

// The status of `made`; a success goes into *out.
template <class Device>
tessera_status answer(const char *function, const Result<tessera_tensor> &made,
                      tessera_tensor *out) {
    if (!made) return refused<Device>(function, made.error());
    *out = *made;
    return TESSERA_OK;
}

template <class Device>
tessera_status allocate(const tessera_compute *compute, tessera_tensor *tensor) {
    auto &device = device_of<Device>(compute);
    device.make_current();
    const Result<> fits = operands::allocate(tensor);
    return answer<Device>(
        "allocate", fits ? device.allocate(*tensor) : Result<tessera_tensor>(fits.error()), tensor);
}

template <class Device>
void release(const tessera_compute *compute, tessera_tensor *tensor) {
    if (tensor == nullptr || tensor->data == nullptr) return;
    auto &device = device_of<Device>(compute);
    device.make_current();
    device.release(std::exchange(tensor->data, nullptr));
}

template <class Device, class Packer>
tessera_status pack(const tessera_compute *compute, const char *function, const Result<> &fits,
                    Packer packer, const tessera_tensor *weight, tessera_dtype precision,
                    tessera_tensor *out) {
    auto &device = device_of<Device>(compute);
    device.make_current();
    constexpr bool kHoldsF16 = requires { Device::kHoldsF16; };
    if (!kHoldsF16 && precision == TESSERA_DTYPE_F16) precision = TESSERA_DTYPE_F32;
    return answer<Device>(
        function, fits ? packer(device, *weight, precision) : Result<tessera_tensor>(fits.error()),
        out);
}

template <class Device>
tessera_status synchronize(const tessera_compute *compute) {
    const typename Device::Range range("synchronize");
    auto &device = device_of<Device>(compute);
    device.make_current();
    device.finish();
    return static_cast<tessera_status>(device.take_status());
}

// ---- the table ----

template <class Device>
constexpr tessera_compute make_table() {
    tessera_compute table{};
    table.get_extension = [](const tessera_compute *compute, const char *id) -> const void * {
        return id != nullptr ? device_of<Device>(compute).extension(id) : nullptr;
    };
    table.allocate = allocate<Device>;
    table.release = release<Device>;
    table.synchronize = synchronize<Device>;
#define TESSERA_PACK_ENTRY(name)                                                                   \
    table.name = [](const tessera_compute *compute, const tessera_tensor *weight,                  \
                    tessera_dtype precision, tessera_tensor *out) {                                \
        return pack<Device>(                                                                       \
            compute, #name, operands::name(weight, precision, out),                                \
            [](Device &device, const auto &...given) { return name(device, given...); }, weight,   \
            precision, out);                                                                       \
    };
    TESSERA_PACKS(TESSERA_PACK_ENTRY)
#undef TESSERA_PACK_ENTRY
#define TESSERA_ENTRY(name, ...) table.name = Operate<Device, operations::name##_operation>::entry;
    TESSERA_OPERATIONS(TESSERA_ENTRY)
#undef TESSERA_ENTRY
    return table;
}

// The table of a device, until `close`.
template <class Device>
[[nodiscard]] const tessera_compute *open(std::unique_ptr<Device> device) {
    return &(new Opened<Device>(make_table<Device>(), std::move(device)))->table;
}

template <class Device>
void close(const tessera_compute *compute) {
    delete static_cast<Opened<Device> *>(compute->compute_data);
}

} // namespace tessera::table
