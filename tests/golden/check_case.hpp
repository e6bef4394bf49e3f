// Comparing our results with a recorded case, stage by stage: what tessera-check-case and the
// golden tests run. Limits are those of the fixtures' description, section 2.
#pragma once

#include "golden/case_file.hpp"

#include <tessera/sdk/compute.hpp>

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace tessera::golden {

// The worst deviation of each stage against its limit.
class Report {
  public:
    // A deviation is compared in units of its limit, so that calls with different scales may share
    // a stage. A limit of 0 asks for equality.
    void add(const std::string &stage, double deviation, double limit);

    // max|ours - theirs| against limit * scale; the scale defaults to max|theirs|.
    void compare(const std::string &stage, std::span<const float> ours,
                 std::span<const float> theirs, double limit, double scale);
    void compare(const std::string &stage, std::span<const float> ours,
                 std::span<const float> theirs, double limit);

    // Runs `check` for a stage, which is named as not held where the file lacks a part of it. What
    // it compared before stays.
    template <class Check>
    void attempt(const CaseFile &file, const std::string &stage, Check &&check) {
        std::set<std::string> used = file.used();
        const int compared_before = comparisons_;
        try {
            check();
        } catch (const MissingStage &missing) {
            if (comparisons_ == compared_before) file.forget(std::move(used));
            add_missing(stage, missing.tensor);
        }
    }
    // Names the tensors of the file that no stage has read.
    void name_rest(const CaseFile &file);

    // At least one comparison, and none beyond its limit.
    [[nodiscard]] bool ok() const;
    [[nodiscard]] bool empty() const { return stages_.empty(); }
    void print() const; // tables on standard output

    // Names of the stages compared, of those the file does not hold, of tensors not compared.
    [[nodiscard]] std::vector<std::string> compared() const;
    [[nodiscard]] std::vector<std::string> missing() const;
    [[nodiscard]] const std::vector<std::string> &rest() const { return rest_; }

  private:
    void add_missing(const std::string &stage, const std::string &tensor);

    struct Missing {
        std::string stage;
        std::string tensor; // the first one
        int times = 0;
    };
    struct Stage {
        std::string name;
        double deviation = 0.0; // of the worst comparison
        double limit = 0.0;
        double ratio = -1.0;
        int comparisons = 0;
    };
    int comparisons_ = 0;
    std::vector<Stage> stages_;
    std::vector<Missing> missing_;
    std::vector<std::string> rest_;
};

struct CaseContext {
    sdk::Host host;
    sdk::Compute compute;
    bool exact;          // float32 weights; else bf16 with looser limits
    std::string weights; // path, or "-" for cases that need none
    std::string decoder; // path of a latent codec; empty: what the case names
};

// Compares whatever stages the case holds, by its `kind`; throws Failure on bad input, and when it
// holds none.
[[nodiscard]] Report check_case(const CaseContext &context, const std::string &case_path);

// A kind of case. One static object next to its check makes it known; the folders here, one for
// each generator, are found by the build.
using Check = void (*)(const CaseContext &context, const CaseFile &file, Report &report);
struct Kind {
    Kind(const char *name, Check check);
};

// The check of the file's kind; throws Failure for one that is not known.
void check_by_kind(const CaseContext &context, const CaseFile &file, Report &report);

// ---- shared by the checks ----------------------------------------------------------------------

[[nodiscard]] double max_abs(std::span<const float> values);
[[nodiscard]] double max_difference(std::span<const float> a, std::span<const float> b);

[[nodiscard]] sdk::Tensor to_device(const sdk::Compute &compute, const Values<float> &values);
[[nodiscard]] std::vector<float> to_host(const sdk::Compute &compute, const sdk::View &view);
// (batch, channels, height, width) to channels last, and one image of it as (1, h, w, c).
[[nodiscard]] Values<float> channels_last(const Values<float> &values);
[[nodiscard]] Values<float> one_of(const Values<float> &values, std::int64_t index);

// `name` next to the case file.
[[nodiscard]] std::string next_to(const CaseFile &file, const std::string &name);

} // namespace tessera::golden
