// Comparing our results with a recorded case: report, helpers, choice by kind.
#include "golden/check_case.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <map>

namespace tessera::golden {

void Report::add(const std::string &stage, double deviation, double limit) {
    auto found = std::find_if(stages_.begin(), stages_.end(),
                              [&](const Stage &s) { return s.name == stage; });
    if (found == stages_.end()) found = stages_.insert(stages_.end(), Stage{stage});
    double ratio = 0.0;
    if (std::isnan(deviation)) {
        ratio = std::numeric_limits<double>::infinity();
    } else if (deviation > 0.0) {
        ratio = deviation / limit; // a limit of 0 gives infinity
    }
    ++found->comparisons;
    ++comparisons_;
    if (ratio <= found->ratio) return;
    found->ratio = ratio;
    found->deviation = deviation;
    found->limit = limit;
}

void Report::compare(const std::string &stage, std::span<const float> ours,
                     std::span<const float> theirs, double limit, double scale) {
    add(stage, max_difference(ours, theirs), limit * scale);
}

void Report::compare(const std::string &stage, std::span<const float> ours,
                     std::span<const float> theirs, double limit) {
    compare(stage, ours, theirs, limit, max_abs(theirs));
}

bool Report::ok() const {
    return !stages_.empty() && std::all_of(stages_.begin(), stages_.end(),
                                           [](const Stage &s) { return s.ratio <= 1.0; });
}

void Report::add_missing(const std::string &stage, const std::string &tensor) {
    auto found = std::find_if(missing_.begin(), missing_.end(),
                              [&](const Missing &m) { return m.stage == stage; });
    if (found == missing_.end()) found = missing_.insert(missing_.end(), Missing{stage, tensor});
    ++found->times;
}

void Report::name_rest(const CaseFile &file) {
    for (std::string &name : file.names_ending("")) {
        if (file.used().count(name) == 0) rest_.push_back(std::move(name));
    }
}

std::vector<std::string> Report::compared() const {
    std::vector<std::string> names;
    for (const Stage &stage : stages_) names.push_back(stage.name);
    return names;
}

std::vector<std::string> Report::missing() const {
    std::vector<std::string> names;
    for (const Missing &missing : missing_) names.push_back(missing.stage);
    return names;
}

void Report::print() const {
    std::printf("%-36s %12s %12s %10s %6s\n", "stage", "deviation", "limit", "of limit", "count");
    for (const Stage &s : stages_) {
        std::printf("%-36s %12.3e %12.3e %9.1f%% %6d%s\n", s.name.c_str(), s.deviation, s.limit,
                    100.0 * s.ratio, s.comparisons, s.ratio <= 1.0 ? "" : "  FAILED");
    }
    for (const Missing &m : missing_) {
        std::printf("not in the file: %s (%s%s)\n", m.stage.c_str(), m.tensor.c_str(),
                    m.times > 1 ? (" and " + std::to_string(m.times - 1) + " more").c_str() : "");
    }
    for (const std::string &name : rest_) std::printf("not compared: %s\n", name.c_str());
}

namespace {

std::map<std::string, Check> &kinds() {
    static std::map<std::string, Check> all;
    return all;
}

} // namespace

Kind::Kind(const char *name, Check check) { kinds()[name] = check; }

void check_by_kind(const CaseContext &context, const CaseFile &file, Report &report) {
    const std::string kind = file.text("kind");
    const auto found = kinds().find(kind);
    if (found == kinds().end()) {
        std::string all;
        for (const auto &[name, check] : kinds()) all += (all.empty() ? "" : ", ") + name;
        throw sdk::Failure(sdk::Status::kInvalidArgument,
                           file.path() + ": kind '" + kind + "', expected one of " + all);
    }
    found->second(context, file, report);
}

Report check_case(const CaseContext &context, const std::string &case_path) {
    const CaseFile file(context.host, case_path);
    Report report;
    check_by_kind(context, file, report);
    report.name_rest(file);
    if (report.empty()) {
        std::string lacking;
        for (const std::string &stage : report.missing()) {
            lacking += (lacking.empty() ? "" : ", ") + stage;
        }
        throw sdk::Failure(sdk::Status::kInvalidArgument,
                           file.path() + ": holds no stage of kind '" + file.text("kind") +
                               "' to compare; it lacks " + lacking);
    }
    return report;
}

double max_abs(std::span<const float> values) {
    double largest = 0.0;
    for (const float v : values) largest = std::max(largest, std::abs(static_cast<double>(v)));
    return largest;
}

double max_difference(std::span<const float> a, std::span<const float> b) {
    if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
    double largest = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double difference = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
        if (std::isnan(difference)) return std::numeric_limits<double>::infinity();
        largest = std::max(largest, difference);
    }
    return largest;
}

sdk::Tensor to_device(const sdk::Compute &compute, const Values<float> &values) {
    return compute.to_device(
        sdk::make_view(const_cast<float *>(values.data.data()), TESSERA_DTYPE_F32, values.shape));
}

std::vector<float> to_host(const sdk::Compute &compute, const sdk::View &view) {
    std::vector<float> data(static_cast<std::size_t>(sdk::element_count(view)));
    compute.download(view, sdk::make_view(data.data(), TESSERA_DTYPE_F32,
                                          {view.shape, static_cast<std::size_t>(view.rank)}));
    compute.synchronize();
    return data;
}

Values<float> channels_last(const Values<float> &values) {
    const auto batch = values.rows(0), channels = values.rows(1);
    const auto height = values.rows(2), width = values.rows(3);
    Values<float> out{{batch, height, width, channels}, {}};
    out.data.reserve(values.data.size());
    for (std::int64_t b = 0; b < batch; ++b) {
        for (std::int64_t pixel = 0; pixel < height * width; ++pixel) {
            for (std::int64_t c = 0; c < channels; ++c) {
                out.data.push_back(values.data[(b * channels + c) * height * width + pixel]);
            }
        }
    }
    return out;
}

Values<float> one_of(const Values<float> &values, std::int64_t index) {
    Values<float> one = values.at(index);
    one.shape.insert(one.shape.begin(), 1);
    return one;
}

std::string next_to(const CaseFile &file, const std::string &name) {
    return (std::filesystem::path(file.path()).parent_path() / name).string();
}

} // namespace tessera::golden
