#include "sandbox/generate/list.hpp"

#include "compute/registry.hpp"
#include "host/generator/abilities.hpp"
#include "host/plugin/scan.hpp"
#include "host/run/session.hpp"

#include <cstdio>

namespace tessera {
namespace {

constexpr std::size_t kMaxLabels = 12; // shown of a choice

std::string describe_range(const Param &param) {
    switch (param.type) {
    case ParamType::kBool:
        return "on, off";
    case ParamType::kChoice: {
        std::string text;
        for (std::size_t i = 0; i < param.labels.size(); ++i) {
            if (i == kMaxLabels) {
                return text + fmt::format(", ... ({} in all)", param.labels.size());
            }
            text += (i == 0 ? "" : ", ") + param.labels[i];
        }
        return text;
    }
    case ParamType::kText:
        return "a text";
    case ParamType::kInt:
    case ParamType::kFloat:
        break;
    }
    return fmt::format("{} to {}{}{}", format_value(param, param.min),
                       format_value(param, param.max), param.unit.empty() ? "" : " ", param.unit);
}

void print_param(const Param &param) {
    const std::string initial = param.type == ParamType::kText
                                    ? fmt::format("\"{}\"", param.initial_text)
                                    : format_value(param, param.initial);
    fmt::print("      {} = {}  [{}]\n", param.key, initial, describe_range(param));
    if (!param.help.empty()) fmt::print("          {}\n", param.help);
}

// What went wrong, if anything did: it stands in the list, too.
Result<void> print_generator(const std::shared_ptr<Host> &host, const ScanEntry &entry,
                             const std::string &model) {
    if (!entry.usable()) {
        fmt::print("  {}  cannot be used: {}\n", entry.path.filename().string(),
                   entry.error.message);
        return entry.error;
    }
    fmt::print("  {}  {} {}\n", entry.descriptor.id, entry.descriptor.name,
               entry.descriptor.version);
    if (!entry.descriptor.description.empty())
        fmt::print("      {}\n", entry.descriptor.description);
    SessionConfig config;
    config.plugin = entry.descriptor.id;
    config.model = model;
    config.host = host;
    auto session = Session::create(std::move(config));
    if (!session) {
        fmt::print("      parameters unknown: {}\n", session.error().message);
        return session.error();
    }
    fmt::print("      can: {}\n", abilities_of((*session)->inputs(), (*session)->params()).text());
    for (const Param &param : (*session)->params().descriptions()) {
        if (!param.has(TESSERA_PARAM_HIDDEN)) print_param(param);
    }
    for (const InputSlot &slot : (*session)->inputs()) {
        fmt::print("      takes {}: {}\n", slot.key, slot.name);
    }
    return {};
}

} // namespace

bool print_list(const std::shared_ptr<Host> &host, const GenerateOptions &options) {
    const bool names_model = !options.model.empty() || !options.preset.empty();
    GenerateOptions settled = options;
    if (auto preset = settle_options(settled, *host); !preset) {
        fmt::print(stderr, "tessera-generate: {}\n", preset.error().message);
    }
    fmt::print("Plugins\n");
    bool is_whole = true;
    for (const ScanEntry &entry : scan_plugins(*host)) {
        const std::string own =
            names_model ? settled.model : default_model(*host, entry.descriptor.id);
        const auto printed = print_generator(host, entry, own);
        if (!printed && printed.error().status == Status::kOutOfMemory) is_whole = false;
    }
    fmt::print("Models\n");
    for (const ModelFile &model : list_models(host->model_dirs())) {
        fmt::print("  {}  {}\n", model.name, model.path.string());
    }
    fmt::print("Backends\n");
    for (const ComputeBackend &backend : compute_backends()) {
        const bool missing = backend.missing != nullptr && *backend.missing != '\0';
        fmt::print("  {}{}{}\n", backend.name, missing ? "  missing: " : "",
                   missing ? backend.missing : "");
        for (const std::string &device : compute_devices(backend.name))
            fmt::print("      {}\n", device);
    }
    return is_whole;
}

} // namespace tessera
