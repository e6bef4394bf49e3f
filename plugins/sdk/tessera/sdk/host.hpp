// The host as a plugin sees it, and weight files through it.
#pragma once

#include <tessera/ext/clock.h>
#include <tessera/ext/weights.h>
#include <tessera/host.h>
#include <tessera/sdk/tensor.hpp>

#include <optional>
#include <string>
#include <utility>

namespace tessera::sdk {

// A reference to the host's table; copy freely.
class Host {
  public:
    Host(const tessera_host *table, const char *source) : table_(table), source_(source) {}

    [[nodiscard]] const tessera_host *table() const { return table_; }
    template <class Extension>
    [[nodiscard]] const Extension *extension(const char *id) const {
        return static_cast<const Extension *>(table_->get_extension(table_, id));
    }
    void log(tessera_log_level level, const std::string &message) const {
        table_->log(table_, level, source_, message.c_str());
    }
    void info(const std::string &message) const { log(TESSERA_LOG_INFO, message); }
    void warning(const std::string &message) const { log(TESSERA_LOG_WARNING, message); }
    void error(const std::string &message) const { log(TESSERA_LOG_ERROR, message); }

  private:
    const tessera_host *table_;
    const char *source_;
};

// The host's clock; copy freely.
class Clock {
  public:
    // Throws when the host has none.
    explicit Clock(const Host &host)
        : host_(host.table()), table_(host.extension<tessera_ext_clock>(TESSERA_EXT_CLOCK)) {
        if (table_ == nullptr) {
            throw Failure(Status::kUnsupported,
                          "the host has no " TESSERA_EXT_CLOCK ", needed to keep a budget");
        }
    }
    // Seconds that only grow.
    [[nodiscard]] double now() const { return 1e-9 * static_cast<double>(table_->now_ns(host_)); }

  private:
    const tessera_host *host_;
    const tessera_ext_clock *table_;
};

// An open weight file; move-only. Views it gives are valid while it lives.
class Weights {
  public:
    // `neighbour`: where a relative name is looked up first; throws when it cannot be opened.
    Weights(const Host &host, const std::string &name, const Weights *neighbour = nullptr)
        : host_(host.table()), table_(host.extension<tessera_ext_weights>(TESSERA_EXT_WEIGHTS)) {
        if (table_ == nullptr) {
            throw Failure(Status::kUnsupported,
                          "the host has no " TESSERA_EXT_WEIGHTS ", needed to open '" + name + "'");
        }
        check(table_->open(host_, neighbour != nullptr ? neighbour->weights_ : nullptr,
                           name.c_str(), &weights_),
              "opening a weight file");
    }
    Weights(Weights &&other) noexcept
        : host_(other.host_), table_(other.table_),
          weights_(std::exchange(other.weights_, nullptr)) {}
    Weights &operator=(Weights &&other) noexcept {
        std::swap(host_, other.host_);
        std::swap(table_, other.table_);
        std::swap(weights_, other.weights_);
        return *this;
    }
    Weights(const Weights &) = delete;
    Weights &operator=(const Weights &) = delete;
    ~Weights() {
        if (weights_ != nullptr) table_->close(host_, weights_);
    }

    [[nodiscard]] std::string path() const { return table_->get_path(weights_); }
    [[nodiscard]] std::optional<std::string> metadata(const char *key) const {
        const char *text = table_->get_metadata(weights_, key);
        return text != nullptr ? std::optional<std::string>(text) : std::nullopt;
    }
    [[nodiscard]] std::uint32_t count() const { return table_->get_count(weights_); }
    [[nodiscard]] std::string name(std::uint32_t index) const {
        return table_->get_name(weights_, index);
    }
    [[nodiscard]] std::optional<View> find(const std::string &name) const {
        View view{};
        if (table_->find(weights_, name.c_str(), &view) != TESSERA_OK) return std::nullopt;
        return view;
    }
    void discard(const std::string &name) const { table_->discard(weights_, name.c_str()); }

  private:
    const tessera_host *host_;
    const tessera_ext_weights *table_;
    const tessera_weights *weights_ = nullptr;
};

} // namespace tessera::sdk
