// The host: the table of services that plugins receive, and what the players of one program share:
// open libraries, weight files, search paths. It runs no generator.
#pragma once

#include "assets/weight_cache.hpp"
#include "core/result.hpp"
#include "core/thread_pool.hpp"
#include "host/plugin/library.hpp"
#include "host/plugin/search.hpp"

#include <tessera/host.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace tessera {

struct HostConfig {
    std::string program = "tessera"; // for messages of plugins
    PathList plugin_dirs;            // searched before the usual places, see search.hpp
    PathList model_dirs;
    std::function<std::uint64_t()> now_ns; // monotonic clock; empty: the system's
    // [any] Weights that are not in the file system, by the name that they are asked for; nullptr:
    // not one of them, and the file system is next. Empty: there are none.
    std::function<Result<std::shared_ptr<const WeightSet>>(const std::string &name)> weights;
};

class WorkerScope;

// Made and destroyed on the control thread. One per program: a plugin library's `init` runs once
// per host, and its statics are the process's.
class Host : public std::enable_shared_from_this<Host> {
  public:
    [[nodiscard]] static std::shared_ptr<Host> create(const HostConfig &config);
    ~Host() = default;
    Host(const Host &) = delete;
    Host &operator=(const Host &) = delete;

    [[nodiscard]] const tessera_host *table() const { return &table_; }
    [[nodiscard]] const PathList &plugin_dirs() const { return plugin_dirs_; }
    [[nodiscard]] const PathList &model_dirs() const { return model_dirs_; }

    // [main] Shared with whoever has it open already.
    [[nodiscard]] Result<std::shared_ptr<Library>> open_library(const std::filesystem::path &path);

    // [any] By path or bundled name.
    [[nodiscard]] Result<std::shared_ptr<const WeightSet>> open_weights(std::string_view name);
    // [any] As open_weights; a relative name is one in the folder of `file`.
    [[nodiscard]] Result<std::shared_ptr<const WeightSet>>
    open_weights_next_to(const std::filesystem::path &file, std::string_view name);

    // [any] The clock that plugins have too (tessera.clock/1).
    [[nodiscard]] std::uint64_t now_ns() const { return now_ns_(); }
    [[nodiscard]] std::uint64_t now_us() const { return now_ns_() / 1000; }

    [[nodiscard]] bool is_main_thread() const { return std::this_thread::get_id() == main_; }
    [[nodiscard]] bool is_worker_thread() const;
    // Of the worker that asks; nullptr on other threads.
    [[nodiscard]] ThreadPool *thread_pool() const;

  private:
    friend class WorkerScope;
    explicit Host(const HostConfig &config);

    const std::thread::id main_ = std::this_thread::get_id();
    std::string program_;
    std::string version_;
    PathList plugin_dirs_;
    PathList model_dirs_;
    std::function<std::uint64_t()> now_ns_;
    std::function<Result<std::shared_ptr<const WeightSet>>(const std::string &name)> given_weights_;
    tessera_host table_{};
    WeightCache weights_;
    std::map<std::filesystem::path, std::weak_ptr<Library>> libraries_; // [main]

    [[nodiscard]] const WorkerScope *scope_of_this_thread() const;

    mutable std::mutex workers_mutex_; // for the list of scopes, the newest first
    WorkerScope *workers_ = nullptr;
};

// While it lives, this thread counts as [worker], and tessera.parallel/1 uses `pool` on it.
class WorkerScope {
  public:
    WorkerScope(Host &host, ThreadPool *pool);
    ~WorkerScope();
    WorkerScope(const WorkerScope &) = delete;
    WorkerScope &operator=(const WorkerScope &) = delete;

  private:
    friend class Host;
    Host &host_;
    const std::thread::id thread_ = std::this_thread::get_id();
    ThreadPool *const pool_;
    WorkerScope *next_ = nullptr; // of the host's list: destructors open scopes, and take no memory
};

} // namespace tessera
