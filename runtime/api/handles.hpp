// Numbers for what programs hold. A number is never given twice, so a stale one is always known.
#pragma once

#include "core/result.hpp"

#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>

namespace tessera::api {

// Of every kind of handle together.
[[nodiscard]] std::uint64_t next_handle();

// Thread-safe.
template <class T>
class Handles {
  public:
    void put(std::uint64_t id, std::shared_ptr<T> object) {
        const std::lock_guard lock(mutex_);
        objects_[id] = std::move(object);
    }
    [[nodiscard]] Result<std::shared_ptr<T>> find(std::uint64_t id, const char *what) {
        const std::lock_guard lock(mutex_);
        const auto at = objects_.find(id);
        if (at != objects_.end()) return at->second;
        return make_error(Status::kNotFound, "{} {}: no such handle, or closed", what, id);
    }
    [[nodiscard]] Result<std::shared_ptr<T>> take(std::uint64_t id, const char *what) {
        auto found = find(id, what);
        if (!found) return found;
        const std::lock_guard lock(mutex_);
        if (objects_.erase(id) == 0) {
            return make_error(Status::kNotFound, "{} {}: closed already", what, id);
        }
        return found;
    }
    // Forgets all that belong to something else.
    template <class Predicate>
    void drop_if(Predicate belongs) {
        std::map<std::uint64_t, std::shared_ptr<T>> dropped; // destroyed without the mutex
        const std::lock_guard lock(mutex_);
        for (auto at = objects_.begin(); at != objects_.end();) {
            const auto next = std::next(at);
            if (belongs(*at->second)) dropped.insert(objects_.extract(at)); // takes no memory
            at = next;
        }
    }

  private:
    std::mutex mutex_;
    std::map<std::uint64_t, std::shared_ptr<T>> objects_;
};

} // namespace tessera::api
