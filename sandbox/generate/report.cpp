#include "sandbox/generate/report.hpp"

#include <tessera/version.h>

#include <nlohmann/json.hpp>

#include <utility>

namespace tessera {
namespace {

// Begins as Json::object(): what becomes an object by its first member is destroyed as one, even if
// there was no memory to make it.
using Json = nlohmann::ordered_json;

double seconds(std::uint64_t us) { return static_cast<double>(us) * 1e-6; }

Json times_json(const RunReport &times) {
    Json json = Json::object();
    json["activate"] = seconds(times.activation_us);
    json["begin"] = seconds(times.begin_us);
    Json steps = Json::array();
    for (const std::uint64_t us : times.step_us) steps.push_back(seconds(us));
    json["steps"] = std::move(steps);
    json["end"] = seconds(times.end_us);
    json["total"] = seconds(times.total_us);
    return json;
}

Json jobs_json(const std::vector<JobRecord> &jobs) {
    Json list = Json::array();
    for (const JobRecord &job : jobs) {
        Json json = Json::object();
        json["label"] = job.label;
        json["first_image"] = job.first_image;
        json["image_count"] = job.image_count;
        json["files"] = job.files;
        json["seams"] = job.seams;
        json["total_steps"] = job.times.total_steps;
        json["step_calls"] = job.times.call_count;
        json["seconds"] = times_json(job.times);
        // From a plugin: what is no object is left out.
        Json values = Json::parse(job.values, nullptr, false);
        if (values.is_object()) json["values"] = std::move(values);
        list.push_back(std::move(json));
    }
    return list;
}

// Choices by name: indices are for programs.
Json values_json(const Params &params) {
    Json values = Json::parse(params.to_json(), nullptr, false);
    for (auto &value : values) {
        if (value.is_object()) value = Json(value["name"]);
    }
    return values;
}

double mean_seam(const std::vector<JobRecord> &jobs) {
    double sum = 0;
    std::size_t count = 0;
    for (const JobRecord &job : jobs) {
        for (const double seam : job.seams) sum += seam;
        count += job.seams.size();
    }
    return count > 0 ? sum / static_cast<double>(count) : 0;
}

} // namespace

std::string report_json(const GenerateOptions &options, const Session &session,
                        const GenerateRecord &record) {
    Json report = Json::object();
    report["format"] = "tessera-report/1";
    report["version"] = fmt::format("{}.{}.{}", TESSERA_VERSION_MAJOR, TESSERA_VERSION_MINOR,
                                    TESSERA_VERSION_PATCH);
    report["plugin"] = {{"id", session.info().id},
                        {"version", session.info().version},
                        {"library", session.info().library.string()}};
    report["model"] = session.info().model;
    report["device"] = session.device();
    report["precision"] = options.precision == TESSERA_PRECISION_EXACT ? "exact" : "default";
    report["threads"] = options.threads;
    report["seed"] = record.seed;
    report["values"] = values_json(session.params());
    report["width"] = record.width;
    report["height"] = record.height;
    report["tokens"] = record.tokens;
    report["seconds"] = {{"load", seconds(record.load_us)},
                         {"activate", seconds(record.activate_us)},
                         {"first_image", seconds(record.first_image_us)},
                         {"total", seconds(record.total_us)}};
    report["seam"] = mean_seam(record.jobs);
    report["jobs"] = jobs_json(record.jobs);
    if (!record.error.empty()) report["error"] = record.error;
    return report.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

} // namespace tessera
