// Small made-up models on a fresh compute, for tests.
#pragma once

#include "golden/synthetic.hpp"
#include "tests/blocks/test_device.hpp"

#include "blocks/codec/latent_codec.hpp"
#include "blocks/model/config.hpp"
#include "mar/model.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace tessera::blocks {

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

} // namespace tessera::blocks
