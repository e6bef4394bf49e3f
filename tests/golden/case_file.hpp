// A recorded case: tensors and metadata of a safetensors file, as plain vectors for comparison.
#pragma once

#include "blocks/model/config.hpp"

#include <tessera/sdk/host.hpp>

#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace tessera::golden {

// A tensor's values on the host, in C order.
template <class T>
struct Values {
    std::vector<std::int64_t> shape;
    std::vector<T> data;

    [[nodiscard]] std::int64_t rows(int dimension) const { return shape.at(dimension); }
    // Entries [index] of the first dimension.
    [[nodiscard]] Values at(std::int64_t index) const {
        Values part;
        part.shape.assign(shape.begin() + 1, shape.end());
        const auto size = static_cast<std::ptrdiff_t>(data.size()) / shape.at(0);
        part.data.assign(data.begin() + index * size, data.begin() + (index + 1) * size);
        return part;
    }
};

// The name of what was recorded at a step of a run: "step.03.what".
[[nodiscard]] std::string at_step(int step, const std::string &what);

// A stage of a case that its file does not hold; `tensor` is what is missing.
struct MissingStage : sdk::Failure {
    MissingStage(const std::string &path, std::string what)
        : Failure(sdk::Status::kInvalidArgument, path + ": " + what + " is missing"),
          tensor(std::move(what)) {}
    std::string tensor;
};

class CaseFile {
  public:
    CaseFile(const sdk::Host &host, const std::string &path) : file_(host, path) {}

    [[nodiscard]] const sdk::Weights &weights() const { return file_; }
    [[nodiscard]] std::string path() const { return file_.path(); }
    [[nodiscard]] bool has(const std::string &name) const { return file_.find(name).has_value(); }
    // These throw MissingStage when there is no such tensor, Failure when it is of another type.
    [[nodiscard]] Values<float> floats(const std::string &name) const;          // F32 or F64
    [[nodiscard]] Values<double> doubles(const std::string &name) const;        // F32 or F64
    [[nodiscard]] Values<std::int64_t> integers(const std::string &name) const; // I64, I32, U8
    [[nodiscard]] Values<double> numbers(const std::string &name) const; // any of these types
    [[nodiscard]] std::string text(const char *key) const;
    [[nodiscard]] blocks::Config object(const char *key) const;
    // Names of tensors that end in `suffix`.
    [[nodiscard]] std::vector<std::string> names_ending(const std::string &suffix) const;

    // What has been read so far; `forget` takes readings back, of a stage that came to nothing.
    [[nodiscard]] const std::set<std::string> &used() const { return used_; }
    void forget(std::set<std::string> used) const { used_ = std::move(used); }

  private:
    [[nodiscard]] sdk::View get(const std::string &name) const;
    sdk::Weights file_;
    mutable std::set<std::string> used_;
};

} // namespace tessera::golden
