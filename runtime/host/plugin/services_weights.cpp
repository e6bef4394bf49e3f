#include "host/plugin/services_weights.hpp"

#include "core/log.hpp"
#include "host/plugin/services.hpp"

#include <exception>
#include <memory>
#include <string_view>
#include <utility>

// One open file of one plugin; the mapping behind it is shared.
struct tessera_weights {
    std::shared_ptr<const tessera::WeightSet> set;
};

namespace tessera {
namespace {

constexpr std::string_view kSource = "weights";

tessera_status fail(const Error &error) {
    log::error(kSource, "{}", error.message);
    return static_cast<tessera_status>(error.status);
}

Result<std::shared_ptr<const WeightSet>>
open_set(const tessera_host *host, const tessera_weights *next_to, const char *name) {
    Host &self = *static_cast<Host *>(host->host_data);
    if (next_to != nullptr) return self.open_weights_next_to(next_to->set->path(), name);
    return self.open_weights(name);
}

tessera_status open(const tessera_host *host, const tessera_weights *next_to, const char *name,
                    const tessera_weights **out_weights) {
    if (out_weights == nullptr || name == nullptr || *name == '\0') {
        return fail(make_error(Status::kInvalidArgument, "open without a {}",
                               out_weights == nullptr ? "result" : "name"));
    }
    *out_weights = nullptr;
    // A hostile header can ask for much memory; nothing may be thrown into a plugin.
    try {
        auto set = open_set(host, next_to, name);
        if (!set) return fail(set.error());
        *out_weights = new tessera_weights{std::move(*set)};
        return TESSERA_OK;
    } catch (const std::bad_alloc &) {
        return fail(make_error(Status::kOutOfMemory, "{}: not enough memory to open it", name));
    } catch (const std::exception &exception) {
        return fail(make_error(Status::kFailed, "{}: {}", name, exception.what()));
    }
}

void close(const tessera_host * /*host*/, const tessera_weights *weights) { delete weights; }

const char *get_path(const tessera_weights *weights) {
    return weights != nullptr ? weights->set->path().c_str() : nullptr;
}

const char *get_metadata(const tessera_weights *weights, const char *key) {
    if (weights == nullptr || key == nullptr) return nullptr;
    const auto &metadata = weights->set->header().metadata;
    const auto at = metadata.find(std::string_view(key));
    return at != metadata.end() ? at->second.c_str() : nullptr;
}

std::uint32_t get_count(const tessera_weights *weights) {
    if (weights == nullptr) return 0;
    return static_cast<std::uint32_t>(weights->set->header().entries.size());
}

const char *get_name(const tessera_weights *weights, std::uint32_t index) {
    if (index >= get_count(weights)) return nullptr;
    return weights->set->header().entries[index].name.c_str();
}

tessera_status find(const tessera_weights *weights, const char *name, tessera_tensor *out_tensor) {
    if (weights == nullptr || name == nullptr || out_tensor == nullptr) {
        return fail(make_error(Status::kInvalidArgument, "find without file, name or result"));
    }
    const auto tensor = weights->set->find(name);
    if (!tensor) return TESSERA_ERROR_NOT_FOUND;
    *out_tensor = *tensor;
    return TESSERA_OK;
}

void discard(const tessera_weights *weights, const char *name) {
    if (weights != nullptr && name != nullptr) weights->set->discard(name);
}

} // namespace

const tessera_ext_weights &weights_extension() {
    static constexpr tessera_ext_weights kTable{open,      close,    get_path, get_metadata,
                                                get_count, get_name, find,     discard};
    return kTable;
}

} // namespace tessera
