// A host and a compute for tests of blocks and of plugins made of them.
#pragma once

#include "compute/registry.hpp"
#include "host/plugin/services.hpp"

#include <tessera/sdk/compute.hpp>
#include <tessera/sdk/host.hpp>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <unistd.h>
#include <vector>

namespace tessera::blocks {

// A directory of its own, gone at the end.
class TemporaryDirectory {
  public:
    TemporaryDirectory() {
        std::string pattern =
            (std::filesystem::temp_directory_path() / "tessera_blocks_XXXXXX").string();
        path_ = mkdtemp(pattern.data());
    }
    ~TemporaryDirectory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    TemporaryDirectory(const TemporaryDirectory &) = delete;
    TemporaryDirectory &operator=(const TemporaryDirectory &) = delete;
    [[nodiscard]] std::string operator/(const std::string &name) const {
        return (path_ / name).string();
    }

  private:
    std::filesystem::path path_;
};

// A host and a compute on `threads` threads; checked when asked. TESSERA_TEST_BACKEND names another
// backend than the CPU.
struct TestDevice {
    explicit TestDevice(unsigned threads = 1, bool checked = false)
        : host(Host::create({})), owner(open(threads, checked)), compute(owner.table()),
          plugin_host(host->table(), "test") {}

    static Compute open(unsigned threads, bool checked) {
        ComputeOptions options;
        options.threads = threads;
        options.checked = checked;
        const char *const backend = std::getenv("TESSERA_TEST_BACKEND");
        auto compute = Compute::open(backend != nullptr ? backend : "cpu", options);
        if (!compute) throw std::runtime_error(compute.error().message);
        return std::move(*compute);
    }

    std::shared_ptr<Host> host;
    Compute owner;
    sdk::Compute compute;
    sdk::Host plugin_host;
};

inline std::vector<float> to_host(const sdk::Compute &compute, const sdk::View &view) {
    std::vector<float> data(static_cast<std::size_t>(sdk::element_count(view)));
    compute.download(view, sdk::make_view(data.data(), TESSERA_DTYPE_F32,
                                          {view.shape, static_cast<std::size_t>(view.rank)}));
    compute.synchronize();
    return data;
}

// The message of the Failure that `body` throws; empty when it throws none.
template <class Body>
std::string failure_of(Body &&body) {
    try {
        body();
    } catch (const sdk::Failure &failure) {
        return failure.what();
    }
    return "";
}

} // namespace tessera::blocks
