#include "compute/registry.hpp"

#include "compute/backend_loader.hpp"
#include "compute/checked.hpp"
#include "compute/cpu/cpu_compute.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace tessera {
namespace {

struct Backend {
    const char *name;
    Result<OpenedCompute> (*open)(const ComputeOptions &options, BackendSettings settings);

    // An option without "=" is the device.
    bool has_devices = false;

    // Empty when it is available on this machine.
    [[nodiscard]] std::string missing(bool for_best = false) const {
        return open != nullptr ? std::string() : missing_module(name, for_best);
    }
};

// Every backend, best first; without a function it is a module. A new one is a folder and a line
// here.
constexpr Backend kBackends[] = {
    {"cuda", nullptr},
    {"vulkan", nullptr, true},
    {"cpu", cpu::open_cpu_compute},
};

// "name:key=value,key=value", where a device may stand alone
struct Choice {
    std::string name;
    std::vector<std::pair<std::string, std::string>> options;
};

Result<Choice> parse(std::string_view text) {
    const std::size_t colon = text.find(':');
    Choice choice{std::string(text.substr(0, colon)), {}};
    const bool has_devices =
        std::any_of(std::begin(kBackends), std::end(kBackends), [&](const Backend &backend) {
            return backend.has_devices && choice.name == backend.name;
        });
    std::string_view rest = colon == text.npos ? std::string_view() : text.substr(colon + 1);
    while (!rest.empty()) {
        const std::string_view pair = rest.substr(0, rest.find(','));
        rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
        const std::size_t equals = pair.find('=');
        if (equals == pair.npos && has_devices) {
            choice.options.emplace_back("device", pair);
            continue;
        }
        if (equals == pair.npos || equals == 0) {
            return make_error(Status::kInvalidArgument,
                              "compute backend \"{}\": option \"{}\"; expected key=value", text,
                              pair);
        }
        choice.options.emplace_back(pair.substr(0, equals), pair.substr(equals + 1));
    }
    return choice;
}

Result<const Backend *> find_backend(const std::string &name) {
    std::string known = "\"best\"";
    for (const Backend &backend : kBackends) {
        known += fmt::format(", \"{}\"", backend.name);
        const bool for_best = name == "best";
        if (name != backend.name && !for_best) continue;
        const std::string missing = backend.missing(for_best);
        if (missing.empty()) return &backend;
        if (for_best) continue;
        return make_error(Status::kUnsupported, "compute backend \"{}\": {}", name, missing);
    }
    return make_error(Status::kNotFound, "compute backend \"{}\" is unknown; expected one of {}",
                      name, known);
}

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

std::vector<std::string> compute_devices(std::string_view name) {
    for (const Backend &backend : kBackends) {
        if (name == backend.name && backend.has_devices) return module_devices(backend.name);
    }
    return {};
}

Result<> Compute::find(std::string_view text) {
    const auto choice = parse(text);
    if (!choice) return choice.error();
    const auto backend = find_backend(choice->name);
    return backend ? Result<>() : Result<>(backend.error());
}

Result<Compute> Compute::open(std::string_view text, const ComputeOptions &options) {
    const auto choice = parse(text);
    if (!choice) return choice.error();
    const auto backend = find_backend(choice->name);
    if (!backend) return backend.error();
    std::vector<BackendSetting> settings;
    for (const auto &[key, value] : choice->options)
        settings.push_back({key.c_str(), value.c_str()});
    const auto open = (*backend)->open;
    auto opened = open != nullptr ? open(options, settings)
                                  : open_module((*backend)->name, settings, options.vulkan);
    if (!opened) {
        return make_error(opened.error().status, "compute backend \"{}\": {}", (*backend)->name,
                          opened.error().message);
    }
    return adopt(std::move(*opened), options.checked);
}

Compute Compute::adopt(OpenedCompute opened, bool checked) {
    auto parts = std::make_unique<Parts>(std::move(opened));
    if (checked) parts->checked.emplace(*parts->opened);
    return Compute(std::move(parts));
}

} // namespace tessera
