#include "host/plugin/services.hpp"

#include "core/log.hpp"
#include "core/program.hpp"
#include "host/plugin/plugin_text.hpp"
#include "host/plugin/services_weights.hpp"
#include "host/plugin/trial.hpp"

#include <tessera/ext/clock.h>
#include <tessera/ext/parallel.h>
#include <tessera/ext/thread_check.h>
#include <tessera/ext/weights.h>
#include <tessera/values/clock.hpp>

#include <system_error>
#include <utility>

namespace tessera {
namespace {

const Host &host_of(const tessera_host *table) {
    return *static_cast<const Host *>(table->host_data);
}

void log_line(const tessera_host * /*host*/, tessera_log_level level, const char *source,
              const char *message) {
    const bool known = level >= TESSERA_LOG_DEBUG && level <= TESSERA_LOG_ERROR;
    log::write(known ? static_cast<log::Level>(level) : log::Level::kWarning,
               source != nullptr ? copy_text(source) : "plugin", copy_text(message));
}

void parallel_for(const tessera_host *host, std::uint32_t count,
                  void (*run)(void *context, std::uint32_t index), void *context) {
    if (run == nullptr) return;
    ThreadPool *const pool = host_of(host).thread_pool();
    if (pool == nullptr) {
        for (std::uint32_t i = 0; i < count; ++i) run(context, i);
        return;
    }
    pool->parallel_for(count, [&](std::int64_t i) { run(context, static_cast<std::uint32_t>(i)); });
}

std::uint32_t get_thread_count(const tessera_host *host) {
    const ThreadPool *const pool = host_of(host).thread_pool();
    return pool != nullptr ? pool->thread_count() : 1;
}

std::int32_t is_main(const tessera_host *host) { return host_of(host).is_main_thread() ? 1 : 0; }
std::int32_t is_worker(const tessera_host *host) {
    return host_of(host).is_worker_thread() ? 1 : 0;
}

std::uint64_t now_ns(const tessera_host *host) { return host_of(host).now_ns(); }

const void *get_extension(const tessera_host * /*host*/, const char *id) {
    static constexpr tessera_ext_parallel kParallel{parallel_for, get_thread_count};
    static constexpr tessera_ext_thread_check kThreadCheck{is_main, is_worker};
    static constexpr tessera_ext_clock kClock{now_ns};
    if (id == nullptr) return nullptr;
    const std::string_view wanted(id);
    if (wanted == TESSERA_EXT_WEIGHTS) return &weights_extension();
    if (wanted == TESSERA_EXT_PARALLEL) return &kParallel;
    if (wanted == TESSERA_EXT_THREAD_CHECK) return &kThreadCheck;
    if (wanted == TESSERA_EXT_CLOCK) return &kClock;
    return nullptr;
}

// Installed with this program: trusted not to crash when it is opened.
bool is_own_plugin(const std::filesystem::path &library) {
    const std::filesystem::path folder = program_folder();
    for (const char *const own :
         {"../lib/tessera/plugins", "../" TESSERA_LIBDIR "/tessera/plugins"}) {
        std::error_code code;
        const auto canonical = std::filesystem::canonical(folder / own, code);
        if (!code && library.parent_path() == canonical) return true;
    }
    return false;
}

} // namespace

Host::Host(const HostConfig &config)
    : program_(config.program), version_(fmt::format("{}.{}.{}", TESSERA_VERSION_MAJOR,
                                                     TESSERA_VERSION_MINOR, TESSERA_VERSION_PATCH)),
      plugin_dirs_(tessera::plugin_dirs(config.plugin_dirs)),
      model_dirs_(tessera::model_dirs(config.model_dirs)),
      now_ns_(config.now_ns ? config.now_ns : values::monotonic_ns),
      given_weights_(config.weights) {
    table_.abi_version = TESSERA_ABI_VERSION;
    table_.name = program_.c_str();
    table_.version = version_.c_str();
    table_.host_data = this;
    table_.log = log_line;
    table_.get_extension = get_extension;
}

std::shared_ptr<Host> Host::create(const HostConfig &config) {
    return std::shared_ptr<Host>(new Host(config));
}

Result<std::shared_ptr<Library>> Host::open_library(const std::filesystem::path &path) {
    std::error_code code;
    const auto canonical = std::filesystem::canonical(path, code);
    if (!code) {
        const auto known = libraries_.find(canonical);
        if (known != libraries_.end()) {
            auto library = known->second.lock();
            if (library && library->is_current()) return library;
        }
    }
    const bool is_own = !code && is_own_plugin(canonical);
    if (!is_own) {
        const std::string end =
            try_in_child([&] { (void)Library::open(path, &table_, shared_from_this(), false); });
        if (!end.empty()) {
            return make_error(Status::kFailed, "plugin {}: opening it {}", canonical.string(), end);
        }
    }
    auto library = Library::open(path, &table_, shared_from_this(), true);
    if (library && !code) libraries_[canonical] = *library;
    return library;
}

Result<std::shared_ptr<const WeightSet>> Host::open_weights(std::string_view name) {
    if (given_weights_) {
        auto given = given_weights_(std::string(name));
        if (!given || *given != nullptr) return given;
    }
    auto path = find_model(name, model_dirs_);
    if (!path) return path.error();
    return weights_.open(*path);
}

Result<std::shared_ptr<const WeightSet>>
Host::open_weights_next_to(const std::filesystem::path &file, std::string_view name) {
    // An absolute name replaces the folder.
    const std::filesystem::path path = file.parent_path() / std::filesystem::path(name);
    if (given_weights_) {
        auto given = given_weights_(path.string());
        if (!given || *given != nullptr) return given;
    }
    return weights_.open(path);
}

const WorkerScope *Host::scope_of_this_thread() const {
    const std::lock_guard lock(workers_mutex_);
    const auto me = std::this_thread::get_id();
    const WorkerScope *at = workers_;
    while (at != nullptr && at->thread_ != me) at = at->next_;
    return at; // ended by this thread alone
}

bool Host::is_worker_thread() const { return scope_of_this_thread() != nullptr; }

ThreadPool *Host::thread_pool() const {
    const WorkerScope *const scope = scope_of_this_thread();
    return scope != nullptr ? scope->pool_ : nullptr;
}

WorkerScope::WorkerScope(Host &host, ThreadPool *pool) : host_(host), pool_(pool) {
    const std::lock_guard lock(host_.workers_mutex_);
    next_ = std::exchange(host_.workers_, this);
}

WorkerScope::~WorkerScope() {
    const std::lock_guard lock(host_.workers_mutex_);
    WorkerScope **at = &host_.workers_;
    while (*at != this) at = &(*at)->next_;
    *at = next_;
}

} // namespace tessera
