// Small made-up models on a fresh compute, for tests.
#pragma once

#include "golden/synthetic.hpp"

#include "blocks/codec/latent_codec.hpp"
#include "blocks/model/config.hpp"
#include "mar/model.hpp"

#include "compute/registry.hpp"
#include "host/plugin/services.hpp"

#include <tessera/sdk/compute.hpp>
#include <tessera/sdk/host.hpp>

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <unistd.h>

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

// A host and a compute on `threads` threads; checked when asked.
struct TestDevice {
    explicit TestDevice(unsigned threads = 1, bool checked = false)
        : host(Host::create({})), owner(open(threads, checked)), compute(owner.table()),
          plugin_host(host->table(), "test") {}

    static Compute open(unsigned threads, bool checked) {
        ComputeOptions options;
        options.threads = threads;
        options.checked = checked;
        auto compute = Compute::open("cpu", options);
        if (!compute) throw std::runtime_error(compute.error().message);
        return std::move(*compute);
    }

    std::shared_ptr<Host> host;
    Compute owner;
    sdk::Compute compute;
    sdk::Host plugin_host;
};

// A made-up MAR model's file, ready to be changed by a test.
inline golden::SyntheticFile mar_file(const golden::SyntheticMar &shape) {
    golden::SyntheticFile file;
    file.tensors = shape.tensors();
    file.metadata["config"] = shape.config_json();
    file.metadata["kind"] = "mar_weights";
    return file;
}

inline mar::MarModel load_mar(const TestDevice &device, const std::string &path,
                              tessera_dtype precision = TESSERA_DTYPE_F32) {
    const sdk::Weights weights(device.plugin_host, path);
    const auto config =
        mar::MarConfig::read(Config::parse(weights.metadata("config").value(), path));
    WeightLoader loader(weights, device.compute);
    return loader.run([&](WeightLoader &l) { return mar::MarModel::load(config, l, precision); });
}

inline LatentCodec load_codec(const TestDevice &device, const std::string &path,
                              bool exact = false) {
    const sdk::Weights weights(device.plugin_host, path);
    WeightLoader loader(weights, device.compute);
    return loader.run([&](WeightLoader &l) { return LatentCodec::load(l, weights, exact); });
}

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
