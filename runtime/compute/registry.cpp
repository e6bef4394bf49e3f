#include "compute/registry.hpp"

#include "compute/checked.hpp"
#include "compute/cpu/cpu_compute.hpp"
#include "compute/cuda_module.hpp"

#include <optional>
#include <utility>

namespace tessera {
namespace {

struct Backend {
    const char *name;
    std::string (*missing)(); // empty when it is available on this machine
    Result<std::unique_ptr<ComputeDevice>> (*open)(const ComputeOptions &options);
};

// Every backend, best first. A new one is a folder and a line here.
constexpr Backend kBackends[] = {
    {"cuda", missing_cuda, open_cuda_compute},
    {"cpu", [] { return std::string(); }, cpu::open_cpu_compute},
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
    static const std::vector<std::string> missing = [] {
        std::vector<std::string> reasons;
        for (const Backend &backend : kBackends) reasons.push_back(backend.missing());
        return reasons;
    }();
    std::vector<ComputeBackend> backends;
    for (std::size_t i = 0; i < missing.size(); ++i)
        backends.push_back({kBackends[i].name, missing[i].c_str()});
    return backends;
}

Result<Compute> Compute::open(std::string_view name, const ComputeOptions &options) {
    std::string known = "\"best\"";
    for (const Backend &backend : kBackends) {
        known += fmt::format(", \"{}\"", backend.name);
        if (name != backend.name && name != "best") continue;
        if (const std::string missing = backend.missing(); !missing.empty()) {
            if (name == "best") continue;
            return make_error(Status::kUnsupported, "compute backend \"{}\": {}", name, missing);
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
