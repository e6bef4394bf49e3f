#include "compute/registry.hpp"

#include "compute/checked.hpp"
#include "compute/cpu/cpu_compute.hpp"
#include "compute/backend_loader.hpp"

#include <optional>
#include <utility>

namespace tessera {
namespace {

struct Backend {
    const char *name;
    std::string (*missing)(); // empty when it is available on this machine
    Result<OpenedCompute> (*open)(const ComputeOptions &options);
};

// Every backend, best first. A new one is a folder and a line here.
constexpr Backend kBackends[] = {
    {"cuda", missing_cuda, open_cuda_compute},
    {"cpu", [] { return std::string(); }, cpu::open_cpu_compute},
};

} // namespace

struct Compute::Parts {
    explicit Parts(OpenedCompute &&given) : opened(std::move(given)) {}
    OpenedCompute opened;
    std::optional<CheckedCompute> checked;
};

Compute::Compute(std::unique_ptr<Parts> parts)
    : parts_(std::move(parts)),
      table_(parts_->checked ? parts_->checked->table() : parts_->opened.get()) {}
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
        auto opened = backend.open(options);
        if (!opened) return opened.error();
        auto parts = std::make_unique<Parts>(std::move(*opened));
        if (options.checked) parts->checked.emplace(*parts->opened);
        return Compute(std::move(parts));
    }
    return make_error(Status::kNotFound, "compute backend \"{}\" is unknown; expected one of {}",
                      name, known);
}

} // namespace tessera
