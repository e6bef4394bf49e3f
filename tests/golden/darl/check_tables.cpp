// Tables of DARL: rotations of heads by place, features of log-SNR.
#include "golden/darl/darl_case.hpp"

#include "blocks/model/time_embed.hpp"

#include <algorithm>
#include <cmath>

namespace tessera::golden {
namespace {

constexpr double kBase = 10000.0;
constexpr double kTableLimit = 1e-12; // of float64
constexpr double kFeatureLimit = 1e-6;
constexpr double kRotatedLimit = 1e-6;

// Cosines and sines at recorded places, and a query turned by them.
void check_rope(const CaseContext &context, const CaseFile &file, const std::string &model,
                Report &report) {
    const Values<float> column = file.floats(model + ".col"), row = file.floats(model + ".row");
    const Values<double> cosine = file.doubles(model + ".cos"), sine = file.doubles(model + ".sin");
    const std::int64_t places = cosine.rows(0), pairs = cosine.rows(1);
    double worst = 0.0;
    const auto angle = [&](std::int64_t place, std::int64_t pair) {
        const auto i = static_cast<std::size_t>(place);
        return darl::rotary_angle(static_cast<double>(column.data.at(i)),
                                  static_cast<double>(row.data.at(i)), pair, 2 * pairs, kBase);
    };
    for (std::int64_t place = 0; place < places; ++place) {
        for (std::int64_t pair = 0; pair < pairs; ++pair) {
            const auto at = static_cast<std::size_t>(place * pairs + pair);
            worst = std::max({worst, std::abs(std::cos(angle(place, pair)) - cosine.data[at]),
                              std::abs(std::sin(angle(place, pair)) - sine.data[at])});
        }
    }
    report.add("rotation angles", worst, kTableLimit);
    report.attempt(file, "rotated queries", [&] {
        const Values<float> query = file.floats(model + ".q"); // (batch, heads, rows, width)
        const Values<float> rotated = file.floats(model + ".q_rotated");
        const sdk::Tensor turns = context.compute.rotary_turns(places, pairs, angle);
        const sdk::Tensor x = to_device(context.compute, query);
        sdk::View heads = x.view(); // as (batch, rows, heads, width)
        std::swap(heads.shape[1], heads.shape[2]);
        std::swap(heads.stride[1], heads.stride[2]);
        context.compute.rotary(heads, turns, {}, heads);
        report.compare("rotated queries", to_host(context.compute, x), rotated.data, kRotatedLimit,
                       std::max(1.0, max_abs(rotated.data)));
    });
}

void check_darl_tables(const CaseContext &context, const CaseFile &file, Report &report) {
    for (const std::string &name : file.names_ending(".cos")) {
        const std::string model = name.substr(0, name.size() - 4);
        report.attempt(file, model, [&] { check_rope(context, file, model, report); });
    }
    report.attempt(file, "level features", [&] {
        report.compare("level features", blocks::time_features(file.floats("level.lambda").data),
                       file.floats("level.features").data, kFeatureLimit, 1.0);
    });
}

const Kind kKind("darl_tables", check_darl_tables);

} // namespace
} // namespace tessera::golden
