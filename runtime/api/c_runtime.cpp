// The C functions of runtime and model.
#include "api/boundary.hpp"
#include "api/objects.hpp"
#include "compute/registry.hpp"
#include "core/thread_priority.hpp"

#include <tessera/runtime.h>

#include <algorithm>
#include <thread>

namespace tessera::api {
namespace {

constexpr std::uint32_t kLongestWaitMs = 1u << 30; // so that no clock wraps

std::chrono::milliseconds wait_of(std::uint32_t timeout_ms) {
    return std::chrono::milliseconds(std::min(timeout_ms, kLongestWaitMs));
}

PathList paths_of(const char *const *list) {
    PathList paths;
    for (; list != nullptr && *list != nullptr; ++list) paths.emplace_back(*list);
    return paths;
}

std::string text_of(const char *text) { return text != nullptr ? text : ""; }

Result<tessera_callbacks> callbacks_of(const tessera_callbacks *from) {
    if (from == nullptr) return tessera_callbacks{};
    auto callbacks = read_struct(from, "callbacks");
    if (!callbacks) return callbacks;
    if ((callbacks->allocate == nullptr) != (callbacks->deallocate == nullptr)) {
        return make_error(Status::kInvalidArgument,
                          "callbacks: one of allocate and deallocate; expected both or none");
    }
    const int files =
        (callbacks->open != nullptr) + (callbacks->read != nullptr) + (callbacks->close != nullptr);
    if (files != 0 && files != 3) {
        return make_error(Status::kInvalidArgument,
                          "callbacks: {} of open, read and close; expected all or none", files);
    }
    return callbacks;
}

Result<RuntimeConfig> config_of(const tessera_runtime_desc *from) {
    auto desc = read_struct(from, "runtime desc");
    if (!desc) return desc.error();
    if (desc->abi_version != TESSERA_ABI_VERSION) {
        return make_error(Status::kUnsupported,
                          "built for version {}.{} of the headers; the library is {}.{}",
                          desc->abi_version >> 16, desc->abi_version & 0xffff,
                          TESSERA_VERSION_MAJOR, TESSERA_VERSION_MINOR);
    }
    if (desc->nice > kOnlyIdle) {
        return make_error(Status::kInvalidArgument, "nice {}; expected at most {}", desc->nice,
                          kOnlyIdle);
    }
    auto callbacks = callbacks_of(desc->callbacks);
    if (!callbacks) return callbacks.error();
    RuntimeConfig config;
    config.program = desc->program != nullptr ? desc->program : "program";
    config.plugin_dirs = paths_of(desc->plugin_dirs);
    config.model_dirs = paths_of(desc->model_dirs);
    const unsigned half = std::max(1u, std::thread::hardware_concurrency() / 2);
    config.threads = desc->threads != 0 ? std::min(desc->threads, 1024u) : half;
    config.nice = desc->nice == 0 ? 10 : std::max(desc->nice, 0);
    if (desc->cpu_bytes != 0) config.cpu_bytes = desc->cpu_bytes;
    if (desc->gpu_bytes != 0) config.gpu_bytes = desc->gpu_bytes;
    config.reload_every = std::chrono::milliseconds(desc->reload_ms);
    if (desc->step_timeout_ms != 0) config.step_timeout = wait_of(desc->step_timeout_ms);
    config.callbacks = *callbacks;
    return config;
}

Result<ModelConfig> config_of(const tessera_model_desc *from) {
    auto desc = read_struct(from, "model desc");
    if (!desc) return desc.error();
    ModelConfig config;
    config.plugin = text_of(desc->plugin);
    config.model = text_of(desc->model);
    config.backend = text_of(desc->backend);
    config.exact = desc->exact != 0;
    config.lazy = desc->lazy != 0;
    config.batch = desc->batch;
    if ((desc->weights == nullptr) != (desc->weights_bytes == 0)) {
        return make_error(Status::kInvalidArgument, "model desc: weights at {} of {} bytes",
                          desc->weights, desc->weights_bytes);
    }
    if (desc->weights != nullptr) {
        const auto *const bytes = static_cast<const std::byte *>(desc->weights);
        config.weights =
            std::make_shared<const std::vector<std::byte>>(bytes, bytes + desc->weights_bytes);
    } else if (config.model.empty() && config.plugin.empty()) {
        return make_error(Status::kInvalidArgument, "model desc: neither a plugin nor a model");
    }
    if (!config.backend.empty()) {
        if (auto found = Compute::find(config.backend); !found) return found.error();
    }
    return config;
}

tessera_runtime_event c_event(const Event &event) {
    tessera_runtime_event c{};
    c.struct_size = sizeof c;
    c.type = event.type;
    c.model = {event.model};
    c.texture = {event.texture};
    c.job = event.job;
    c.step = event.step;
    c.total_steps = event.total_steps;
    c.status = static_cast<tessera_status>(event.status);
    c.plugin = event.plugin.c_str();
    c.text = event.text.c_str();
    return c;
}

tessera_model_info info_of(const Model &model) {
    tessera_model_info info{};
    info.struct_size = sizeof info;
    info.state = static_cast<std::uint32_t>(model.state);
    info.loaded = model.loaded;
    info.on_gpu = model.on_gpu ? 1 : 0;
    info.plugin = info.name = info.path = "";
    info.metadata = "{}";
    info.device = model.device.c_str();
    if (model.facts != nullptr) {
        const ModelFacts &facts = *model.facts;
        info.width = facts.width;
        info.height = facts.height;
        info.sizes = facts.sizes ? 1 : 0;
        info.param_count = static_cast<std::uint32_t>(facts.c_params.size());
        info.bytes = facts.bytes;
        info.plugin = facts.plugin.c_str();
        info.name = facts.name.c_str();
        info.path = facts.path.c_str();
        info.metadata = facts.metadata.c_str();
        info.abilities = facts.abilities;
        info.max_side = facts.max_side;
        info.input_count = static_cast<std::uint32_t>(facts.c_inputs.size());
    }
    return info;
}

Result<void> out_is_given(const void *out) {
    if (out != nullptr) return {};
    return make_error(Status::kInvalidArgument, "out is NULL");
}

// One of what a model describes, by index.
template <class T>
Result<void> entry_of(tessera_model model, std::uint32_t index, const T **out,
                      std::vector<T> ModelFacts::*entries, const char *what) {
    if (auto given = out_is_given(out); !given) return given;
    *out = nullptr;
    auto found = models().find(model.id, "model");
    if (!found) return found.error();
    const auto guard = (*found)->runtime->lock();
    const ModelFacts *const facts = (*found)->facts.get();
    if (facts == nullptr) {
        const bool failed = (*found)->state == ModelState::kFailed;
        return failed ? (*found)->error : make_error(Status::kBusy, "the model is still loading");
    }
    const std::vector<T> &all = facts->*entries;
    if (index >= all.size()) {
        return make_error(Status::kNotFound, "{} {}; {} has {}", what, index, facts->plugin,
                          all.size());
    }
    *out = &all[index];
    return {};
}

// One of what the last scan found.
template <class T>
Result<void> listed(tessera_runtime runtime, std::uint32_t index, T *out,
                    std::vector<T> Listing::*entries, const char *what) {
    auto found = runtimes().find(runtime.id, "runtime");
    if (!found) return found.error();
    const auto guard = (*found)->lock();
    const Listing *const listing = (*found)->listing();
    if (listing == nullptr) {
        return make_error(Status::kNotFound, "{} {}; tessera_runtime_scan looks for them", what,
                          index);
    }
    const std::vector<T> &all = listing->*entries;
    if (index >= all.size()) {
        return make_error(Status::kNotFound, "{} {}; there are {}", what, index, all.size());
    }
    return write_struct(all[index], out, what);
}

} // namespace
} // namespace tessera::api

using namespace tessera;
using namespace tessera::api;

extern "C" {

tessera_status tessera_runtime_open(const tessera_runtime_desc *desc, tessera_runtime *out) {
    return answer([&]() -> Result<void> {
        if (auto given = out_is_given(out); !given) return given;
        *out = {};
        auto config = config_of(desc);
        if (!config) return config.error();
        const std::uint64_t id = next_handle();
        auto runtime = Runtime::open(id, std::move(*config));
        if (!runtime) return runtime.error();
        try {
            runtimes().put(id, *runtime);
        } catch (...) {
            (void)(*runtime)->close(std::chrono::seconds(10));
            throw;
        }
        *out = {id};
        return {};
    });
}

tessera_status tessera_runtime_close(tessera_runtime runtime, uint32_t timeout_ms) {
    return answer([&]() -> Result<void> {
        auto taken = runtimes().take(runtime.id, "runtime");
        if (!taken) return taken.error();
        forget_all_of(**taken);
        return (*taken)->close(wait_of(timeout_ms));
    });
}

tessera_status tessera_runtime_frame(tessera_runtime runtime, const tessera_frame_info *info,
                                     void (*on_event)(void *user,
                                                      const tessera_runtime_event *event),
                                     void *user) {
    return answer([&]() -> Result<void> {
        auto found = runtimes().find(runtime.id, "runtime");
        if (!found) return found.error();
        auto frame = read_struct(info, "frame info");
        if (!frame) return frame.error();
        (*found)->frame(*frame);
        // Not those that on_event itself causes, or a program could stay here.
        for (std::size_t left = on_event != nullptr ? (*found)->event_count() : 0; left > 0;
             --left) {
            auto event = (*found)->next_event({});
            if (!event) break;
            const tessera_runtime_event c = c_event((*found)->deliver(std::move(*event)));
            on_event(user, &c);
        }
        return {};
    });
}

tessera_status tessera_runtime_poll(tessera_runtime runtime, uint32_t timeout_ms,
                                    tessera_runtime_event *out) {
    return answer([&]() -> Result<void> {
        auto found = runtimes().find(runtime.id, "runtime");
        if (!found) return found.error();
        if (auto checked = read_struct(out, "event"); !checked) return checked.error();
        auto event = (*found)->next_event(wait_of(timeout_ms));
        if (!event) return make_error(Status::kNotFound, "no event within {} ms", timeout_ms);
        return write_struct(c_event((*found)->deliver(std::move(*event))), out, "event");
    });
}

tessera_status tessera_runtime_stats(tessera_runtime runtime, tessera_stats *out) {
    return answer([&]() -> Result<void> {
        auto found = runtimes().find(runtime.id, "runtime");
        if (!found) return found.error();
        return write_struct((*found)->stats(), out, "stats");
    });
}

tessera_status tessera_runtime_trim(tessera_runtime runtime, uint64_t cpu_bytes,
                                    uint64_t gpu_bytes) {
    return answer([&]() -> Result<void> {
        auto found = runtimes().find(runtime.id, "runtime");
        if (!found) return found.error();
        (*found)->trim(cpu_bytes, gpu_bytes);
        return {};
    });
}

tessera_status tessera_model_open(tessera_runtime runtime, const tessera_model_desc *desc,
                                  tessera_model *out) {
    return answer([&]() -> Result<void> {
        if (auto given = out_is_given(out); !given) return given;
        *out = {};
        auto found = runtimes().find(runtime.id, "runtime");
        if (!found) return found.error();
        auto config = config_of(desc);
        if (!config) return config.error();
        const std::uint64_t id = next_handle();
        auto model = (*found)->open_model(id, std::move(*config));
        if (!model) return model.error();
        *out = {id};
        return {};
    });
}

tessera_status tessera_model_close(tessera_model model) {
    return answer([&]() -> Result<void> {
        auto taken = models().take(model.id, "model");
        if (!taken) return taken.error();
        (*taken)->runtime->close_model(**taken);
        return {};
    });
}

tessera_status tessera_model_wait(tessera_model model, uint32_t timeout_ms) {
    return answer([&]() -> Result<void> {
        auto found = models().find(model.id, "model");
        if (!found) return found.error();
        return (*found)->runtime->wait_model(**found, wait_of(timeout_ms));
    });
}

tessera_status tessera_model_get(tessera_model model, tessera_model_info *out) {
    return answer([&]() -> Result<void> {
        auto found = models().find(model.id, "model");
        if (!found) return found.error();
        const auto guard = (*found)->runtime->lock();
        return write_struct(info_of(**found), out, "model info");
    });
}

tessera_status tessera_model_estimate(tessera_runtime runtime, const tessera_model_desc *desc,
                                      uint64_t *bytes) {
    return answer([&]() -> Result<void> {
        if (auto given = out_is_given(bytes); !given) return given;
        auto found = runtimes().find(runtime.id, "runtime");
        if (!found) return found.error();
        auto config = config_of(desc);
        if (!config) return config.error();
        auto size = (*found)->estimate(*config);
        if (!size) return size.error();
        *bytes = *size;
        return {};
    });
}

tessera_status tessera_model_param(tessera_model model, uint32_t index, const tessera_param **out) {
    return answer([&] { return entry_of(model, index, out, &ModelFacts::c_params, "parameter"); });
}

tessera_status tessera_model_input(tessera_model model, uint32_t index,
                                   const tessera_input_slot **out) {
    return answer([&] { return entry_of(model, index, out, &ModelFacts::c_inputs, "input"); });
}

tessera_status tessera_runtime_scan(tessera_runtime runtime, uint32_t timeout_ms) {
    return answer([&]() -> Result<void> {
        auto found = runtimes().find(runtime.id, "runtime");
        if (!found) return found.error();
        return (*found)->scan(wait_of(timeout_ms));
    });
}

tessera_status tessera_runtime_plugin(tessera_runtime runtime, uint32_t index,
                                      tessera_plugin_info *out) {
    return answer([&] { return listed(runtime, index, out, &Listing::c_plugins, "plugin"); });
}

tessera_status tessera_runtime_model(tessera_runtime runtime, uint32_t index,
                                     tessera_model_entry *out) {
    return answer([&] { return listed(runtime, index, out, &Listing::c_models, "model"); });
}

tessera_status tessera_runtime_backend(tessera_runtime runtime, uint32_t index,
                                       tessera_backend_info *out) {
    return answer([&]() -> Result<void> {
        auto found = runtimes().find(runtime.id, "runtime");
        if (!found) return found.error();
        const auto backends = compute_backends();
        if (index >= backends.size()) {
            return make_error(Status::kNotFound, "backend {}; there are {}", index,
                              backends.size());
        }
        tessera_backend_info info{};
        info.struct_size = sizeof info;
        info.name = backends[index].name;
        info.missing = backends[index].missing != nullptr ? backends[index].missing : "";
        return write_struct(info, out, "backend info");
    });
}

} // extern "C"
