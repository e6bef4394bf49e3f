#include "compute/registry.hpp"

#include "compute/checked.hpp"
#include "compute/cpu/cpu_compute.hpp"

#include <optional>
#include <utility>

namespace tessera {
namespace {

// Every backend, best first. A new one is a folder and a line here.
constexpr ComputeBackend kBackends[] = {
    {"cuda", "this build has no CUDA backend; use \"cpu\"", nullptr},
    {"cpu", "", cpu::open_cpu_compute},
};

} // namespace

struct Compute::Parts {
    std::unique_ptr<ComputeDevice> device;
    std::optional<CheckedCompute> checked;
};

Compute::Compute() : parts_(std::make_unique<Parts>()) {}
Compute::Compute(Compute &&) noexcept = default;
Compute &Compute::operator=(Compute &&) noexcept = default;
Compute::~Compute() = default;

void Compute::set_stepping(bool stepping) const {
    if (parts_->checked) parts_->checked->set_stepping(stepping);
}

std::vector<ComputeBackend> compute_backends() {
    return {std::begin(kBackends), std::end(kBackends)};
}

Result<Compute> Compute::open(std::string_view name, const ComputeOptions &options) {
    std::string known = "\"best\"";
    for (const ComputeBackend &backend : kBackends) {
        known += fmt::format(", \"{}\"", backend.name);
        if (name != backend.name && !(name == "best" && backend.open)) continue;
        if (!backend.open) {
            return make_error(Status::kUnsupported, "compute backend \"{}\": {}", name,
                              backend.missing);
        }
        auto device = backend.open(options);
        if (!device) return device.error();
        Compute compute;
        compute.parts_->device = std::move(*device);
        compute.table_ = compute.parts_->device->table();
        if (options.checked) {
            compute.table_ = compute.parts_->checked.emplace(*compute.table_).table();
        }
        return compute;
    }
    return make_error(Status::kNotFound, "compute backend \"{}\" is unknown; expected one of {}",
                      name, known);
}

} // namespace tessera
